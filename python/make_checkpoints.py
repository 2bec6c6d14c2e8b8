"""Writes small checkpoints of every published kind with the real PyTorch, for the tests of hrnet-formats.

Input (stdin): the names, shapes and roles of tiny networks, printed by
    cargo run -p hrnet-proof --example tiny_models
Values follow the formula of the golden vectors (hrnet_proof::formula), keyed by the official name, so that tests can
recompute every bit. Output: one file per case under --out, and all of them in one pack (--pack), which holds what the
files share once; its format is at `pack` below.

Needs torch, numpy and safetensors. Deterministic except for PyTorch's serialization ids.
"""

import argparse
import gzip
import json
import math
import pathlib
import sys
from collections import Counter, OrderedDict
from datetime import datetime

import numpy as np
import torch
from safetensors.torch import save_file

MASK = (1 << 64) - 1


def fnv1a(name):
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = ((h ^ b) * 0x100000001B3) & MASK
    return h


def uniform(name, count):
    with np.errstate(over="ignore"):
        i = np.arange(1, count + 1, dtype=np.uint64)
        z = np.uint64(fnv1a(name)) + i * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def tensor(param):
    name, shape, role = param["name"], param["shape"], param["role"]
    if role == "BatchCount":
        return torch.tensor(7, dtype=torch.int64)
    u = uniform(name, math.prod(shape))
    if role in ("ConvWeight", "LinearWeight"):
        v = (2 * u - 1) * math.sqrt(6 / math.prod(shape[1:]))
    elif role == "ConvTransposeWeight":
        v = (2 * u - 1) * math.sqrt(6 / (shape[0] * shape[2] * shape[3] / 4))
    elif role == "Gamma":
        v = 0.2 + 0.6 * u
    elif role == "RunningVar":
        v = 0.5 + u
    else:
        v = (2 * u - 1) * 0.1
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


def state(params):
    return OrderedDict((p["name"], tensor(p)) for p in params)


def renamed(sd, rule):
    out = OrderedDict()
    for name, value in sd.items():
        new = rule(name)
        if new is not None:
            out[new] = value
    return out


def prefix(sd, text):
    return renamed(sd, lambda n: text + n)


def swap(trunk, table):
    """Trunk keys get a prefix; head keys follow the table (longest first); None drops a key."""

    def rule(name):
        for old, new in table:
            if name.startswith(old):
                return None if new is None else new + name[len(old):]
        return trunk + name

    return rule


def cast(sd, dtype, only=lambda n: True):
    return OrderedDict((n, t.to(dtype) if t.is_floating_point() and only(n) else t) for n, t in sd.items())


def cases(models):
    pose, face = state(models["pose"]), state(models["face"])
    segment, higher = state(models["segment"]), state(models["higher"])
    pyramid, features = state(models["pyramid"]), state(models["features"])
    zipped = {}
    zipped["official"] = pose
    zipped["data_parallel"] = prefix(face, "module.")
    zipped["higher_fp16_wrapper"] = prefix(higher, "1.")
    zipped["features"] = features

    # Training checkpoint of the pose repository: state_dict with module., best_state_dict without, an optimizer.
    params = [torch.nn.Parameter(v.clone()) for n, v in pose.items() if n.startswith("final_layer")]
    optimizer = torch.optim.Adam(params, lr=1e-3)
    sum(p.sum() for p in params).backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3], 0.1)
    zipped["pose_training"] = {
        "epoch": 3,
        "model": "pose_hrnet",
        "state_dict": prefix(pose, "module."),
        "best_state_dict": pose,
        "perf": np.float64(0.744),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": {k: Counter(v) if k == "milestones" else v for k, v in schedule.state_dict().items()},
    }

    seg = prefix(segment, "model.")
    seg["loss.criterion.weight"] = torch.tensor([0.5, 1.0, 1.5, 2.0])
    zipped["segmentation_training"] = {"epoch": 1, "best_mIoU": 0.5, "state_dict": seg, "optimizer": {}}

    # InPlaceABN: no counters, some negative scales. The effective scale |w| + 1e-5 is what a reader must find.
    inplace = OrderedDict((n, v.clone()) for n, v in segment.items() if not n.endswith("num_batches_tracked"))
    for n in inplace:
        if n in ("bn1.weight", "last_layer.1.weight"):
            inplace[n][::2] *= -1
    zipped["inplace_abn"] = prefix(inplace, "model.")

    meta = {
        "epoch": 210,
        "iter": 5,
        "mmengine_version": "0.7.1",
        "time": "20220909_110000",
        "seed": np.int64(3),
        "date": datetime(2020, 1, 2, 3, 4, 5),
        "classes": ("a", "b"),
        "palette": [[1, 2, 3], [4, 5, 6]],
        "array": np.arange(3.0),
        "set": {1, 2},
    }
    mm = lambda sd: {"meta": meta, "state_dict": sd}
    zipped["mmpose1"] = mm(renamed(pose, swap("backbone.", [("final_layer.", "head.final_layer.")])))
    zipped["mmpose0"] = mm(renamed(pose, swap("backbone.", [("final_layer.", "keypoint_head.final_layer.")])))
    zipped["mmpose1_v2"] = mm(
        renamed(
            face,
            swap(
                "backbone.",
                [("head.0.", "head.conv_layers.0."), ("head.1.", "head.conv_layers.1."), ("head.3.", "head.final_layer.")],
            ),
        )
    )
    zipped["mmpose0_v2"] = mm(renamed(face, swap("backbone.", [("head.", "keypoint_head.final_layer.")])))
    zipped["mmpose0_higher"] = mm(
        renamed(
            higher,
            swap(
                "backbone.",
                [("final_layers.", "keypoint_head.final_layers."), ("deconv_layers.", "keypoint_head.deconv_layers.")],
            ),
        )
    )
    fcn = renamed(
        segment,
        swap(
            "backbone.",
            [
                ("last_layer.0.bias", None),
                ("last_layer.0.", "decode_head.convs.0.conv."),
                ("last_layer.1.", "decode_head.convs.0.bn."),
                ("last_layer.3.", "decode_head.conv_seg."),
            ],
        ),
    )
    ema = OrderedDict(fcn)
    ema["ema_backbone_conv1_weight"] = segment["conv1.weight"]
    zipped["mmseg_ema"] = mm(ema)
    det = renamed(
        pyramid,
        swap(
            "backbone.",
            [("neck.reduction_conv.0.", "neck.reduction_conv.conv.")]
            + [(f"neck.fpn_conv.{i}.", f"neck.fpn_convs.{i}.conv.") for i in range(5)],
        ),
    )
    det["rpn_head.rpn_conv.weight"] = torch.zeros(1, 1, 3, 3)
    det["roi_head.bbox_head.fc_cls.bias"] = torch.zeros(81)
    zipped["mmdet"] = mm(det)
    mrb = OrderedDict()
    for n, v in renamed(pyramid, swap("module.backbone.body.", [("neck.", "module.backbone.neck.")])).items():
        if n.endswith("num_batches_tracked"):
            continue
        mrb[n] = v
        if n.endswith("running_var"):
            mrb[n[: -len("running_var")] + "eps"] = torch.full_like(v, 1e-5)
    mrb["module.rpn.head.conv.weight"] = torch.zeros(1)
    zipped["maskrcnn_benchmark"] = {"model": mrb, "optimizer": {}, "scheduler": {}, "iteration": 90000}

    zipped["f16"] = cast(pose, torch.float16)
    zipped["bf16"] = cast(pose, torch.bfloat16)
    zipped["f64"] = cast(pose, torch.float64, lambda n: n.startswith(("bn", "final")))
    # Views: one flat storage for all norms of the stem, a transposed weight, a slice of a larger tensor.
    views = OrderedDict(pose)
    flat = torch.cat([pose[f"bn1.{k}"] for k in ("weight", "bias", "running_mean", "running_var")])
    for i, k in enumerate(("weight", "bias", "running_mean", "running_var")):
        views[f"bn1.{k}"] = flat[64 * i: 64 * (i + 1)]
    views["conv1.weight"] = pose["conv1.weight"].permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    small = "stage2.0.branches.1.0.conv1.weight"
    views[small] = pose[small].to(memory_format=torch.channels_last)
    final = pose["final_layer.weight"]
    views["final_layer.weight"] = torch.stack([final, torch.zeros_like(final)], 1)[:, 0]
    zipped["views"] = views

    legacy = {k: zipped[k] for k in ("official", "pose_training", "views")}
    modules = {"module": torch.nn.DataParallel(torch.nn.BatchNorm2d(2)), "module_dict": {"state_dict": torch.nn.ReLU()}}
    return zipped, legacy, modules, pose


def pack(files, unit=16, least=64):
    """One gzip file: a line of JSON with the pieces of every file, {name: [[start, length], ...]}, and the bytes that
    they are pieces of. What files share stands there once; gzip alone looks back 32 KB only."""
    pool, seen, index = bytearray(), {}, {}
    for name, data in files:
        pieces, at, literal, first = [], 0, 0, len(pool)

        def add(start, length):
            if pieces and pieces[-1][0] + pieces[-1][1] == start:
                pieces[-1][1] += length
            elif length:
                pieces.append([start, length])

        def keep(end):
            pool.extend(data[literal:end])
            add(len(pool) - (end - literal), end - literal)

        while at + unit <= len(data):
            old = seen.get(data[at: at + unit])
            if old is not None:
                length, most, step = 0, min(len(data) - at, len(pool) - old), 1 << 16
                while step:
                    a, b = old + length, at + length
                    if length + step <= most and pool[a: a + step] == data[b: b + step]:
                        length += step
                    else:
                        step >>= 1
                back = 0
                while back < min(at - literal, old) and data[at - back - 1] == pool[old - back - 1]:
                    back += 1
                if back + length >= least:
                    keep(at - back)
                    add(old - back, back + length)
                    at += length
                    literal = at
                    continue
            at += 1
        keep(len(data))
        for i in range(first, len(pool) - unit, 4):
            seen.setdefault(bytes(pool[i: i + unit]), i)
        index[name] = pieces
    return gzip.compress(json.dumps(index, separators=(",", ":")).encode() + b"\n" + pool, 9, mtime=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--pack", type=pathlib.Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    zipped, legacy, modules, pose = cases(json.load(sys.stdin))
    for name, content in zipped.items():
        torch.save(content, args.out / f"{name}.pth")
    for name, content in legacy.items():
        torch.save(content, args.out / f"{name}.legacy.pth", _use_new_zipfile_serialization=False)
    for name, content in modules.items():
        torch.save(content, args.out / f"{name}.pth")
        torch.save(content, args.out / f"{name}.legacy.pth", _use_new_zipfile_serialization=False)
    save_file({k: v.contiguous() for k, v in pose.items()}, args.out / "official.safetensors", {"format": "pt"})
    save_file({k: v.to(torch.float16) if v.dim() > 1 else v for k, v in pose.items()}, args.out / "f16.safetensors")
    if args.pack:
        files = [(p.name, p.read_bytes()) for p in sorted(args.out.iterdir())]
        args.pack.write_bytes(pack(files))


if __name__ == "__main__":
    main()
