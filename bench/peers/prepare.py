"""Makes the files of one case: checkpoint, input, ONNX model, and the result of plain PyTorch to compare with.

    python prepare.py '{"net": "pose_w32", "shape": [1, 3, 256, 192], "folder": "..."}'

Files that are there already are kept: names hold all that they depend on.
"""

import contextlib
import json
import os
import pathlib
import sys
import warnings

import numpy as np
import torch
from safetensors.torch import save_file

import executors
import formula
import nets

OPSET = 18


@contextlib.contextmanager
def whole(path):
    """A name to write to; the file gets its own name when it is complete."""
    part = path.with_name("part." + path.name)
    yield part
    os.replace(part, path)


def main():
    spec = json.loads(sys.argv[1])
    files = executors.files(spec["net"], spec["shape"], spec["folder"])
    files = {kind: pathlib.Path(files[kind]) for kind in ("checkpoint", "input", "onnx", "reference")}
    if all(path.exists() for path in files.values()):
        return
    net = formula.fill(nets.build(spec["net"]))
    x = formula.network_input("input:" + files["input"].name.split(".")[0], spec["shape"])
    with whole(files["checkpoint"]) as path:
        save_file(net.state_dict(), path)
    with whole(files["input"]) as path, open(path, "wb") as file:
        np.save(file, x.numpy())
    with torch.inference_mode():
        results = net(x)
    results = results if isinstance(results, tuple) else (results,)
    with whole(files["reference"]) as path, open(path, "wb") as file:
        np.savez(file, *(r.numpy() for r in results))
    with whole(files["onnx"]) as path, warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (x,), path, input_names=["image"], opset_version=OPSET, dynamo=True,
                          external_data=False, verbose=False)


if __name__ == "__main__":
    main()
