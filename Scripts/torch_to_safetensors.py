#!/usr/bin/env python3
"""Writes the tensors of a PyTorch file as safetensors, for `init`.

Usage: torch_to_safetensors.py FILE.pth OUTPUT.safetensors [--key NAME] [--strip PREFIX]

FILE is what torch.save wrote: a state_dict, or a dictionary with one under --key (`state_dict` and
`model` are found without it). It is read with weights_only, so nothing in it is executed. Tensors
become fp32; `num_batches_tracked` and other whole numbers are left out. --strip removes a prefix of
names, for instance `module.` of DataParallel. The way back needs no script: safetensors.torch's
load_file reads the files of Convoy, and load_state_dict takes what it returns.

Needs torch. Ends with 65 when the file holds no tensors, or cannot be read.
"""

import argparse
import json
import os
import pickle
import struct
import sys
import warnings

import torch


def fail(text):
    print(f"torch_to_safetensors: {text}", file=sys.stderr)
    sys.exit(65)


def state_dict(path, key):
    warnings.simplefilter("ignore")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    except pickle.UnpicklingError:
        # torch's own text would tell people to execute the file.
        fail(
            f"{path}: expected a file of torch.save with tensors alone, found other objects or a "
            "damaged file; save the state_dict instead")
    except Exception as error:  # torch raises many kinds here
        line = str(error).strip().splitlines()
        fail(f"{path}: expected a file of torch.save with tensors alone, found: {line[0] if line else error!r}")
    for name in [key] if key else ["state_dict", "model"]:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            return content[name]
    if key:
        fail(f"{path}: expected a dictionary under {key!r}, found none")
    if not isinstance(content, dict):
        fail(f"{path}: expected a state_dict, found {type(content).__name__}")
    return content


def main():
    parser = argparse.ArgumentParser(description="PyTorch's tensors as safetensors.")
    parser.add_argument("file")
    parser.add_argument("output")
    parser.add_argument("--key", help="where in the file the state_dict is")
    parser.add_argument("--strip", default="", help="prefix to remove from names")
    options = parser.parse_args()
    header, parts, offset = {}, [], 0
    for name, tensor in state_dict(options.file, options.key).items():
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            continue
        data = tensor.detach().to(torch.float32).contiguous().numpy().astype("<f4").tobytes()
        name = name.removeprefix(options.strip)
        if name in header:
            fail(f"{options.file}: two tensors would be called {name}")
        header[name] = {
            "dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(data)],
        }
        parts.append(data)
        offset += len(data)
    if not header:
        fail(f"{options.file}: expected floating-point tensors, found none")
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    temporary = options.output + ".tmp"
    try:
        with open(temporary, "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            for data in parts:
                out.write(data)
        os.replace(temporary, options.output)
    except OSError as error:
        fail(f"{options.output}: {error.strerror}")
    print(f"{options.output}: {len(header)} tensors, {offset // 4} numbers")


if __name__ == "__main__":
    main()
