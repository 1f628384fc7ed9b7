"""The files of Keras: `.weights.h5`, `.keras`, and the older `.h5` and `.hdf5`.

HDF5 links to other files, virtual data sets and filters that are plug-ins are refused, so a file
reads nothing but itself and runs nothing.
"""

import io
import json
import os
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass, field

# No plug-in of HDF5 is loaded; the library asks for this when it starts.
os.environ["HDF5_PLUGIN_PRELOAD"] = "::"

import h5py  # noqa: E402
import numpy as np  # noqa: E402

from .model import LONGEST_TEXT, MOST_LAYERS, Refusal  # noqa: E402

LARGEST_FILE = 4 << 30
MOST_MEMBERS = 1024
MEMBER = "model.weights.h5"
# What h5py and zipfile raise for files that are damaged.
DAMAGE = (
    OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError,
    MemoryError, struct.error, zipfile.BadZipFile, zlib.error)

# The variables of each class of layers, in the order of `vars`; an optional one ends with a mark.
VARIABLES = {
    "Conv2D": ["kernel", "bias?"],
    "DepthwiseConv2D": ["depthwise_kernel", "bias?"],
    "SeparableConv2D": ["depthwise_kernel", "pointwise_kernel", "bias?"],
    "Dense": ["kernel", "bias?"],
    "BatchNormalization": ["gamma", "beta", "moving_mean", "moving_variance"],
}
GROUPS = {
    "conv2d": "Conv2D", "depthwise_conv2d": "DepthwiseConv2D",
    "separable_conv2d": "SeparableConv2D", "dense": "Dense",
    "batch_normalization": "BatchNormalization",
}


@dataclass
class KerasLayer:
    """A layer with weights: its class, its name, and its variables as data sets of HDF5."""

    cls: str
    name: str
    variables: dict = field(default_factory=dict)


class KerasFile:
    """An open file of Keras."""

    def __init__(self, path, writes_to=None):
        """Opens a file; with `writes_to`, a copy that `commit` writes there."""
        self.path, self.output = path, writes_to
        self.config, self.version, self.members = None, "", None
        size = os.path.getsize(path)
        if size > LARGEST_FILE:
            raise Refusal(f"{path}: expected at most {LARGEST_FILE} bytes, found {size}")
        with open(path, "rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
        try:
            if is_zip:
                self._open_archive()
            else:
                self._open_h5()
        except DAMAGE as error:
            if isinstance(error, OSError) and error.strerror and error.errno:
                raise
            raise Refusal(f"{path}: expected a file of Keras, found {first_line(error)}") from None

    def _open_archive(self):
        with zipfile.ZipFile(self.path) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            total = sum(entry.file_size for entry in entries)
            if len(names) > MOST_MEMBERS or total > LARGEST_FILE:
                raise Refusal(
                    f"{self.path}: expected at most {MOST_MEMBERS} members of {LARGEST_FILE} bytes, "
                    f"found {len(names)} of {total}")
            if MEMBER not in names or "config.json" not in names:
                raise Refusal(
                    f"{self.path}: expected config.json and {MEMBER} in it, found "
                    f"{', '.join(names[:8])}; is it a .keras file?")
            self.members = {name: read_member(archive, name) for name in names}
        self.config = parse_json(self.members["config.json"], f"{self.path}: config.json")
        metadata = parse_json(self.members.get("metadata.json", b"{}"), self.path)
        self.version = str(metadata.get("keras_version", ""))
        self.memory = io.BytesIO(self.members[MEMBER])
        self.h5 = h5py.File(self.memory, "r+" if self.output else "r")

    def _open_h5(self):
        if not h5py.is_hdf5(self.path):
            raise Refusal(f"{self.path}: expected a .keras or an HDF5 file, found other bytes")
        if self.output:
            with open(self.path, "rb") as file:
                self.memory = io.BytesIO(file.read())
            self.h5 = h5py.File(self.memory, "r+")
        else:
            self.h5 = h5py.File(self.path, "r")
        if "model_config" in self.h5.attrs:
            self.config = parse_json(self.h5.attrs["model_config"], f"{self.path}: model_config")
        self.version = str(text_of(self.h5.attrs.get("keras_version", "")))

    def layers(self):
        """The layers with weights. Those of a file without a configuration are in the order of
        their numbers, class by class; see `is_ordered`."""
        try:
            if "model_weights" in self.h5 or "layer_names" in self.h5.attrs:
                return self._layers_by_name()
            return self._layers_by_class()
        except DAMAGE as error:
            raise Refusal(
                f"{self.path}: expected weights of Keras, found {first_line(error)}") from None

    @property
    def is_ordered(self):
        """Whether the order of layers of different classes is known."""
        return self.config is not None or "layer_names" in self.h5.attrs

    def _layers_by_name(self):
        root = self.h5
        if "model_weights" in root:
            root = self._child(root, "model_weights")
        classes = {layer["name"]: layer["class_name"] for layer in config_layers(self.config)}
        found = []
        for name in strings(root.attrs, "layer_names"):
            group = self._child(root, name)
            variables = {}
            for path in strings(group.attrs, "weight_names"):
                data = group
                for part in path.split("/"):
                    data = self._child(data, part)
                role = path.split("/")[-1].split(":")[0]
                variables[role] = self._data(data, path)
            if not variables:
                continue
            cls = classes.get(name) or class_of(variables)
            if cls == "DepthwiseConv2D" and "kernel" in variables:
                variables["depthwise_kernel"] = variables.pop("kernel")
            allowed = {role.rstrip("?") for role in VARIABLES.get(cls, [])}
            if cls not in VARIABLES or not set(variables) <= allowed:
                raise self._unknown(name, cls or "a class of its own", variables)
            found.append(KerasLayer(cls, name, variables))
        return found

    def _layers_by_class(self):
        key = next((k for k in ("layers", "_layer_checkpoint_dependencies") if k in self.h5), None)
        if key is None:
            raise Refusal(
                f"{self.path}: expected weights of layers, found {', '.join(list(self.h5)[:8])}")
        root, found = self._child(self.h5, key), []
        if len(root) > MOST_LAYERS:
            raise Refusal(f"{self.path}: expected at most {MOST_LAYERS} layers, found {len(root)}")
        groups = {name: self._child(root, name) for name in root}
        for name, group in groups.items():
            match = re.fullmatch(r"(.*?)(?:_(\d+))?", name)
            cls = GROUPS.get(match[1]) or GROUPS.get(name)
            names = list(group)
            variables = self._child(group, "vars") if "vars" in names else {}
            if cls is None and len(variables) == 0 and "layers" not in names:
                continue  # no weights, or only the seed of a random layer
            if cls is None:
                raise self._unknown(name, match[1], variables)
            values = [
                self._data(self._child(variables, str(i)), f"{name}/vars/{i}")
                for i in range(len(variables))
            ]
            label = text_of(getattr(variables, "attrs", {}).get("name", "")) or name
            found.append((int(match[2] or 0), cls, name, label, values))
        return self._placed(found)

    def _placed(self, found):
        """Names the variables. Layers get the names and the order of the configuration."""
        kept, counts, places = {}, {}, {}
        for place, layer in enumerate(config_layers(self.config)):
            cls = layer["class_name"]
            prefix = {known: group for group, known in GROUPS.items()}.get(cls)
            if prefix is None:
                continue
            number = counts[prefix] = counts.get(prefix, -1) + 1
            kept[f"{prefix}_{number}" if number else prefix] = layer
            places[layer["name"]] = place
        layers = []
        for number, cls, group, label, values in found:
            config = kept.get(group, {}).get("config", {})
            roles = list(VARIABLES[cls])
            if cls == "BatchNormalization":
                if not config and len(values) == 2:
                    roles = roles[2:]
                roles = [
                    role for role in roles
                    if not (role == "gamma" and config.get("scale") is False)
                    and not (role == "beta" and config.get("center") is False)
                ]
            required = sum(not role.endswith("?") for role in roles)
            if not required <= len(values) <= len(roles):
                raise Refusal(
                    f"{self.path}: layer {label} ({cls}): expected the variables "
                    f"{', '.join(roles)}, found {len(values)}; give a .keras file, which says "
                    "which ones they are")
            name = kept[group]["name"] if group in kept else label
            variables = dict(zip((role.rstrip("?") for role in roles), values))
            layers.append((places.get(name, number), KerasLayer(cls, name, variables)))
        return [layer for _, layer in sorted(layers, key=lambda entry: entry[0])]

    def _child(self, group, name):
        """A member of a group; links to elsewhere are refused."""
        link = group.get(name, getlink=True) if isinstance(group, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            raise Refusal(
                f"{self.path}: {name}: expected a member of this file, found "
                f"{'none' if link is None else 'a link'}")
        return group[name]

    def _data(self, data, name):
        if not isinstance(data, h5py.Dataset) or data.dtype.kind != "f":
            raise Refusal(f"{self.path}: {name}: expected floating-point numbers, found others")
        if data.is_virtual or data.external:
            raise Refusal(f"{self.path}: {name}: expected numbers in this file, found them elsewhere")
        return data

    def _unknown(self, name, cls, variables):
        return Refusal(
            f"{self.path}: layer {name} ({cls}): expected one of {', '.join(VARIABLES)}, found other "
            f"weights ({', '.join(list(variables)[:6]) or 'of layers within'}); they cannot be converted")

    def commit(self):
        """Writes what was changed to the output, whole or not at all."""
        self.h5.close()
        temporary = self.output + ".tmp"
        with open(temporary, "wb") as out:
            if self.members is None:
                out.write(self.memory.getvalue())
            else:
                self.members[MEMBER] = self.memory.getvalue()
                with zipfile.ZipFile(out, "w") as archive:
                    for name, content in self.members.items():
                        archive.writestr(zipfile.ZipInfo(name), content)
        os.replace(temporary, self.output)


def read_member(archive, name):
    with archive.open(name) as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise Refusal(f"{name}: expected at most {LARGEST_FILE} bytes, found more")
    return content


def config_layers(config):
    """The layers of a configuration as dictionaries with `name` and `class_name`."""
    if config is None:
        return []
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    if not isinstance(layers, list) or len(layers) > MOST_LAYERS:
        raise Refusal(
            f"expected a Sequential or a functional model of at most {MOST_LAYERS} layers, found "
            f"{config.get('class_name')}; a model of classes has no list of layers")
    read = []
    for layer in layers:
        content = layer.get("config") if isinstance(layer, dict) else None
        name = layer.get("name") or content.get("name") if isinstance(content, dict) else None
        if not isinstance(name, str) or not isinstance(layer.get("class_name"), str):
            raise Refusal("expected layers with class_name, config and name, found others")
        read.append({**layer, "name": name})
    return read


def class_of(variables):
    """The class of a layer by its variables, for files that do not say it."""
    roles = set(variables)
    if "moving_mean" in roles:
        return "BatchNormalization"
    if "pointwise_kernel" in roles:
        return "SeparableConv2D"
    if "depthwise_kernel" in roles:
        return "DepthwiseConv2D"
    rank = len(variables["kernel"].shape) if "kernel" in roles else 0
    return {2: "Dense", 4: "Conv2D"}.get(rank)


def strings(attributes, name):
    """A list of names. Long ones are cut into numbered attributes."""
    parts = [attributes[name]] if name in attributes else []
    while name not in attributes and f"{name}{len(parts)}" in attributes:
        parts.append(attributes[f"{name}{len(parts)}"])
    return [text_of(value) for part in parts for value in np.asarray(part).reshape(-1)]


def text_of(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def parse_json(text, what):
    if len(text) > LONGEST_TEXT:
        raise Refusal(f"{what}: expected at most {LONGEST_TEXT} bytes of configuration, found more")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Refusal(f"{what}: expected an object of JSON, found other text")
    return value


def first_line(error):
    return (str(error).strip().splitlines() or [repr(error)])[0][:200]


def write_new(path, arrays):
    """Writes a `.weights.h5`: lists of arrays by the names that Keras 3 gives to layers."""
    temporary = path + ".tmp"
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        for name, values in arrays.items():
            for place, value in enumerate(values):
                file.create_dataset(f"layers/{name}/vars/{place}", data=value)
    with open(temporary, "wb") as out:
        out.write(memory.getvalue())
    os.replace(temporary, path)
