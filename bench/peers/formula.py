"""Weights and inputs by formula, so that no file has to be passed on: testdata/fixtures and hrnet_proof::formula.

    u(name, i) = (splitmix(fnv1a(name) + (i + 1) * 0x9E3779B97F4A7C15) >> 11) * 2^-53     in [0, 1)

Values are computed in float64 and rounded to float32.
"""

import math

import numpy as np
import torch
from torch import nn


def fnv1a(name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) % 2**64
    return h


def uniform(name, count):
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64(fnv1a(name))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def network_input(name, shape):
    """A network input: values in -2..2."""
    values = (2 * uniform(name, math.prod(shape)) - 1) * 2
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def fill(net):
    """Sets every parameter and buffer of a network by its name."""
    for prefix, module in net.named_modules():
        own = list(module.named_parameters(recurse=False)) + list(module.named_buffers(recurse=False))
        for key, tensor in own:
            name = f"{prefix}.{key}" if prefix else key
            if key == "num_batches_tracked":
                tensor.zero_()
                continue
            u = uniform(name, tensor.numel())
            if isinstance(module, nn.BatchNorm2d) and key == "weight":
                value = 0.2 + 0.6 * u
            elif key == "running_var":
                value = 0.5 + u
            elif key == "weight":
                value = (2 * u - 1) * math.sqrt(6 / fan_in(module))
            else:
                value = (2 * u - 1) * 0.1
            tensor.data.copy_(torch.from_numpy(value.astype(np.float32).reshape(tensor.shape)))
    return net


def fan_in(module):
    if isinstance(module, nn.ConvTranspose2d):
        inputs, _, height, width = module.weight.shape
        return inputs * height * width / math.prod(module.stride)
    return math.prod(module.weight.shape[1:])
