"""A model file of Convoy from the configuration of a Keras model.

Sequential and functional models, also residual ones, with fixed sizes and channels last. A softmax
at the end is left out, since Convoy's loss has it.
"""

from dataclasses import dataclass, field

from .files import config_layers
from .model import Refusal, safe_name

ACTIVATIONS = {
    "relu": "relu", "relu6": "relu6", "sigmoid": "sigmoid", "tanh": "tanh", "silu": "silu",
    "swish": "silu", "gelu": "gelu", "hard_silu": "hard-swish", "hard_swish": "hard-swish",
    "hard_sigmoid": "hard-sigmoid",
}
INITIALIZERS = {"HeUniform": "he-uniform", "he_uniform": "he-uniform"}


@dataclass
class Line:
    """An entry of `layers`."""

    kind: str
    settings: dict
    name: str
    inputs: list = field(default_factory=list)


class Conversion:
    def __init__(self, config, version, what):
        self.what, self.version, self.notes = what, version, []
        self.lines, self.shape = [], None
        # What each layer of Keras gives: the name of a line, or "input".
        self.values, self.flat, self.paddings = {}, set(), {}
        self.names = {"input"}
        self.config = config

    def refuse(self, layer, expected, found):
        raise Refusal(
            f"{self.what}: layer {layer['name']} ({layer['class_name']}): expected {expected}, found "
            f"{found}")

    def yaml(self):
        layers = config_layers(self.config)
        last = None
        for place, layer in enumerate(layers):
            try:
                self.convert(layer, self.inputs_of(layer, last))
            except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError):
                self.refuse(layer, "the settings of Keras", "others")
            last = layer["name"]
        if self.shape is None or not self.lines:
            raise Refusal(f"{self.what}: expected an input with fixed sizes and layers, found none")
        if self.paddings:
            raise Refusal(
                f"{self.what}: layer {next(iter(self.paddings))}: expected zero padding before a "
                "convolution or a pool, found it elsewhere")
        self.put_output_last(last)
        text = [f"input: {self.shape}", "layers:"]
        before = "input"
        for line in self.lines:
            settings = [f"{key}: {word(value)}" for key, value in line.settings.items()]
            settings.append(f'name: "{line.name}"')
            if line.inputs != [before]:
                settings.append("from: [" + ", ".join(f'"{name}"' for name in line.inputs) + "]")
            text.append(f"  - {line.kind}: {{{', '.join(settings)}}}")
            before = line.name
        return "\n".join(text) + "\n"

    def put_output_last(self, last):
        inner = self.config["config"]
        outputs = inner.get("output_layers") if isinstance(inner, dict) else None
        names = sorted(set(strings_in(outputs)) & set(self.values)) if outputs else [last]
        if len(names) != 1:
            raise Refusal(f"{self.what}: expected one output, found {', '.join(names) or 'none'}")
        output = self.values[names[0]]
        self.lines.sort(key=lambda line: line.name == output)
        if self.lines[-1].name != output:
            raise Refusal(f"{self.what}: expected an output that a layer gives, found {names[0]}")
        for line in self.lines:
            if line.kind == "softmax" and line.name != output:
                raise Refusal(f"{self.what}: layer {line.name}: expected softmax as the output alone")
        if self.lines[-1].kind == "softmax":
            source = self.lines.pop().inputs[0]
            self.notes.append("the softmax at the end is part of Convoy's loss and left out")
            self.lines.sort(key=lambda line: line.name == source)

    def inputs_of(self, layer, last):
        """The names of the Keras layers that a layer reads."""
        nodes = layer.get("inbound_nodes")
        if nodes is None:  # a Sequential model
            return [] if last is None else [last]
        if layer["class_name"] == "InputLayer" and not nodes:
            return []
        if len(nodes) != 1:
            self.refuse(layer, "a layer that is used once", f"{len(nodes)} uses")
        names = histories(nodes[0])
        if not names:
            names = [entry[0] for entry in nodes[0]]
        for name in names:
            if name not in self.values:
                self.refuse(layer, "to read layers before it", repr(name))
        return names

    def add(self, kind, layer, inputs, settings=None, suffix="", is_flat=None):
        name = safe_name(layer["name"]) + suffix
        while name in self.names:
            name += "_"
        self.names.add(name)
        self.lines.append(Line(kind, settings or {}, name, inputs))
        if is_flat if is_flat is not None else inputs[0] in self.flat:
            self.flat.add(name)
        self.values[layer["name"]] = name
        return name

    def convert(self, layer, sources):
        config, cls = layer["config"], layer["class_name"]
        if config.get("data_format", "channels_last") != "channels_last":
            self.refuse(layer, "channels last", config["data_format"])
        first = next((config[key] for key in ("batch_shape", "batch_input_shape") if config.get(key)), None)
        if cls == "InputLayer" or self.shape is None:
            inner = self.config["config"]
            if first is None and isinstance(inner, dict):
                first = inner.get("build_input_shape")
            self.take_input(layer, first)
            if cls == "InputLayer":
                self.values[layer["name"]] = "input"
                return
        inputs = [self.values[name] for name in sources] or ["input"]
        padded = [name for name in sources if name in self.paddings]
        if padded and cls not in ("Conv2D", "DepthwiseConv2D", "MaxPooling2D"):
            self.refuse(layer, "no zero padding before it", padded[0])
        method = getattr(self, "convert_" + cls, None)
        if method is None:
            known = sorted(name[8:] for name in dir(self) if name.startswith("convert_"))
            self.refuse(layer, f"one of {', '.join(known)}", cls)
        method(layer, config, inputs)
        for name in padded:
            del self.paddings[name]

    def take_input(self, layer, shape):
        if self.shape is not None:
            self.refuse(layer, "one input", "a second one")
        sides = shape[1:] if isinstance(shape, list) else []
        if len(sides) != 3 or not all(type(side) is int and side > 0 for side in sides):
            self.refuse(layer, "an input of fixed height, width and channels", shape)
        self.shape = [sides[2], sides[0], sides[1]]

    # MARK: Layers with weights

    def window(self, layer, config, source, size_key="kernel_size"):
        """The settings of a kernel, with the zero padding before it."""
        settings = {"kernel": list(config[size_key]), "stride": list(config.get("strides", [1, 1]))}
        settings["padding"] = self.padding(layer, config, source)
        dilation = list(config.get("dilation_rate", [1, 1]))
        if dilation != [1, 1]:
            settings["dilation"] = dilation
        return settings

    def padding(self, layer, config, source):
        """The padding of a window, with the zero padding before it."""
        padding = config.get("padding", "valid")
        if padding not in ("valid", "same"):
            self.refuse(layer, "padding valid or same", padding)
        pending = next((name for name in self.paddings if self.values[name] == source), None)
        if pending is None:
            return padding
        if padding != "valid":
            self.refuse(layer, "padding valid after zero padding", padding)
        return self.paddings[pending]

    def initializer(self, config, key="kernel_initializer"):
        given = config.get(key) or {}
        name = given.get("class_name") if isinstance(given, dict) else str(given)
        return {"initializer": INITIALIZERS[name]} if name in INITIALIZERS else {}

    def convert_Conv2D(self, layer, config, inputs):
        settings = {"filters": config["filters"], **self.window(layer, config, inputs[0])}
        if config.get("groups", 1) != 1:
            settings["groups"] = config["groups"]
        self.weighted("conv2d", layer, config, inputs, settings | self.initializer(config), False)

    def convert_DepthwiseConv2D(self, layer, config, inputs):
        channels = self.channels(inputs[0])
        settings = {
            "filters": channels * config.get("depth_multiplier", 1),
            **self.window(layer, config, inputs[0]), "groups": channels,
        }
        settings |= self.initializer(config, "depthwise_initializer")
        self.weighted("conv2d", layer, config, inputs, settings, False)

    def convert_SeparableConv2D(self, layer, config, inputs):
        channels = self.channels(inputs[0])
        settings = {
            "filters": channels * config.get("depth_multiplier", 1),
            **self.window(layer, config, inputs[0]), "groups": channels, "bias": False,
        }
        settings |= self.initializer(config, "depthwise_initializer")
        between = self.add("conv2d", layer, inputs, settings, ".depthwise", is_flat=False)
        settings = {"filters": config["filters"], "kernel": 1}
        settings |= self.initializer(config, "pointwise_initializer")
        self.weighted("conv2d", layer, config, [between], settings, False, ".pointwise")

    def convert_Dense(self, layer, config, inputs):
        if inputs[0] not in self.flat:
            self.refuse(layer, "a flat input", "an image; add Flatten before it")
        settings = {"units": config["units"], **self.initializer(config)}
        self.weighted("dense", layer, config, inputs, settings, True)

    def weighted(self, kind, layer, config, inputs, settings, is_flat, suffix=""):
        if not config.get("use_bias", True):
            settings["bias"] = False
        activation = self.activation_name(layer, config)
        if activation == "relu":
            settings["activation"] = "relu"
        name = self.add(kind, layer, inputs, settings, suffix, is_flat)
        if activation not in ("linear", "relu"):
            self.apply(layer, activation, [name], f".{activation}")

    def convert_BatchNormalization(self, layer, config, inputs):
        axis = config.get("axis", -1)
        axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
        if axis not in (-1, 1 if inputs[0] in self.flat else 3):
            self.refuse(layer, "axis -1", axis)
        # Keras' momentum is the share of the old statistic, Convoy's that of the new one.
        momentum = round(1 - config.get("momentum", 0.99), 12)
        self.add(
            "batch-norm", layer, inputs,
            {"epsilon": config.get("epsilon", 1e-3), "momentum": momentum})

    def channels(self, name):
        """The number of channels of an image that a line gives."""
        while name != "input":
            line = next(line for line in self.lines if line.name == name)
            if line.kind == "concat":
                return sum(self.channels(source) for source in line.inputs)
            if "filters" in line.settings:
                return line.settings["filters"]
            name = line.inputs[0]
        return self.shape[0]

    # MARK: Layers without weights

    def activation_name(self, layer, config):
        given = config.get("activation") or "linear"
        if isinstance(given, dict) and given.get("class_name") == "function":
            given = given.get("config")
        if not isinstance(given, str):
            self.refuse(layer, "an activation by name", given)
        return given

    def apply(self, layer, activation, inputs, suffix=""):
        if activation == "linear":
            self.values[layer["name"]] = inputs[0]
        elif activation == "softmax":
            self.add("softmax", layer, inputs, suffix=suffix)
        elif activation == "hard_sigmoid" and not self.version.startswith("3"):
            self.refuse(layer, "hard_sigmoid of Keras 3", f"that of {self.version}, another function")
        elif activation in ACTIVATIONS:
            self.add(ACTIVATIONS[activation], layer, inputs, suffix=suffix)
        else:
            self.refuse(layer, f"one of {', '.join(ACTIVATIONS)}", activation)

    def convert_Activation(self, layer, config, inputs):
        self.apply(layer, self.activation_name(layer, config), inputs)

    def convert_Softmax(self, layer, config, inputs):
        if config.get("axis", -1) not in (-1, [-1]):
            self.refuse(layer, "axis -1", config["axis"])
        self.apply(layer, "softmax", inputs)

    def convert_ReLU(self, layer, config, inputs):
        slope = config.get("negative_slope") or 0
        largest = config.get("max_value")
        if config.get("threshold") or (slope and largest is not None) or largest not in (None, 6):
            self.refuse(layer, "a ReLU, or one up to 6", config)
        if slope:
            self.add("leaky-relu", layer, inputs, {"slope": slope})
        else:
            self.apply(layer, "relu6" if largest == 6 else "relu", inputs)

    def convert_LeakyReLU(self, layer, config, inputs):
        slope = config.get("negative_slope", config.get("alpha", 0.3))
        slope = slope.get("value", 0.3) if isinstance(slope, dict) else slope
        self.add("leaky-relu", layer, inputs, {"slope": float(slope)})

    def convert_Dropout(self, layer, config, inputs):
        if config.get("noise_shape") is not None:
            self.refuse(layer, "no noise_shape", config["noise_shape"])
        self.add("dropout", layer, inputs, {"rate": config["rate"]})

    def convert_Add(self, layer, config, inputs):
        self.add("add", layer, inputs)

    def convert_Multiply(self, layer, config, inputs):
        self.add("multiply", layer, inputs)

    def convert_Concatenate(self, layer, config, inputs):
        if config.get("axis", -1) not in (-1, 1 if inputs[0] in self.flat else 3):
            self.refuse(layer, "axis -1", config["axis"])
        self.add("concat", layer, inputs)

    def convert_Flatten(self, layer, config, inputs):
        if inputs[0] in self.flat:
            self.values[layer["name"]] = inputs[0]
        else:
            self.add("flatten", layer, inputs, is_flat=True)

    def pool(self, kind, layer, config, inputs, settings):
        size = list(config["pool_size"])
        self.add(kind, layer, inputs, {
            "size": size, "stride": list(config.get("strides") or size),
            "padding": self.padding(layer, config, inputs[0]), **settings})

    def convert_MaxPooling2D(self, layer, config, inputs):
        # Convoy's padding takes no part. Zeros take none either where nothing is below zero.
        before = next((line for line in self.lines if line.name == inputs[0]), None)
        is_rectified = before is not None and (
            before.kind in ("relu", "relu6") or before.settings.get("activation") == "relu")
        if not is_rectified and any(self.values[name] == inputs[0] for name in self.paddings):
            self.refuse(layer, "a ReLU before its zero padding", "none")
        self.pool("max-pool2d", layer, config, inputs, {})

    def convert_AveragePooling2D(self, layer, config, inputs):
        self.pool("average-pool2d", layer, config, inputs, {"count-padding": False})

    def convert_GlobalAveragePooling2D(self, layer, config, inputs):
        if config.get("keepdims"):
            self.refuse(layer, "keepdims false", "true")
        self.add("global-average-pool", layer, inputs, is_flat=True)

    def convert_ZeroPadding2D(self, layer, config, inputs):
        given = config["padding"]
        (top, bottom), (left, right) = [
            side if isinstance(side, list) else [side, side]
            for side in (given if isinstance(given, list) else [given, given])]
        self.values[layer["name"]] = inputs[0]
        self.paddings[layer["name"]] = [top, left, bottom, right]

    def convert_Rescaling(self, layer, config, inputs):
        if inputs[0] != "input" or abs(config["scale"] * 255 - 1) > 1e-6 or config.get("offset"):
            found = f"scale {config['scale']}, offset {config.get('offset')}"
            self.refuse(layer, "a scale of 1/255 at the input", found)
        self.values[layer["name"]] = inputs[0]
        self.notes.append("Rescaling by 1/255 is left out, since Convoy scales bytes itself")


def word(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def histories(value):
    """The layers that the tensors of a Keras 3 node come from, in order."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return [value["config"]["keras_history"][0]]
        return [name for part in value.values() for name in histories(part)]
    return [name for part in value for name in histories(part)] if isinstance(value, list) else []


def strings_in(value):
    if isinstance(value, list):
        return [name for part in value for name in strings_in(part)]
    return [value] if isinstance(value, str) else []
