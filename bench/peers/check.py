"""Compares the networks of nets.py with golden vectors of the official code: names, shapes, results.

    python check.py [FOLDER of testdata/fixtures/forward]
"""

import json
import pathlib
import sys

import torch

import formula
import nets

CASES = {
    "pose_hrnet_w32_coco_256x192": "pose_w32",
    "pose_hrnet_w48_coco_384x288": "pose_w48",
    "face_hrnetv2_w18_300w": "face_w18",
    "cls_hrnet_w18": "cls_w18",
    "cls_hrnet_w18_small_v1": "cls_w18_small_v1",
    "seg_hrnet_w48_cityscapes": "seg_w48",
    "higher_hrnet_w32_coco_512": "higher_w32",
}
LIMIT = 1e-4  # of the largest output; float32 against float64


def main():
    here = pathlib.Path(__file__).resolve().parent
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here.parents[1] / "testdata/fixtures/forward"
    failed = False
    for case, name in CASES.items():
        golden = json.loads((folder / f"{case}.json").read_text())
        net = formula.fill(nets.build(name))
        problems = []
        count = sum(p.numel() for p in net.parameters())
        if count != golden["parameters"]:
            problems.append(f"{count} parameters, the official network has {golden['parameters']}")
        keys = folder / f"{case}.keys.json"
        if keys.exists():
            ours = {k: list(v.shape) for k, v in net.state_dict().items()}
            theirs = dict(json.loads(keys.read_text()))
            problems += [f"{k}: {ours.get(k)}, official {theirs.get(k)}"
                         for k in sorted(ours.keys() | theirs.keys()) if ours.get(k) != theirs.get(k)][:5]
        with torch.inference_mode():
            results = net(formula.network_input(golden["input_name"], golden["input_shape"]))
        results = results if isinstance(results, tuple) else (results,)
        worst = 0.0
        for result, wanted in zip(results, golden["outputs"], strict=True):
            if list(result.shape) != wanted["shape"]:
                problems.append(f"{wanted['name']}: shape {list(result.shape)}, official {wanted['shape']}")
                continue
            got = result.flatten()[wanted["indices"]].double()
            error = (got - torch.tensor(wanted["values"], dtype=torch.float64)).abs().max().item()
            worst = max(worst, error / wanted["abs_max"])
        if worst > LIMIT:
            problems.append(f"results differ by {worst:.1e} of the largest")
        print(f"{name:20} {case:32} {'; '.join(problems) or f'agrees, {worst:.1e}'}")
        failed |= bool(problems)
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
