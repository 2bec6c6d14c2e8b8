#!/usr/bin/env python3
"""Writes crates/hrnet-data/testdata/bottom_up.json: made-up scenes and the persons that the published rules find in them.

    pip install numpy torch munkres
    python make_bottom_up_cases.py [number of scenes] [seed] [file]

An independent statement of the rules of reference section 6.5 (HigherHRNet): aggregation by torch's bilinear resize, maxima by
torch's pooling, assignment by the munkres package. A scene is stored by its people; `maps` says how maps are made of them with
additions, multiplications and divisions only, so that every language makes the same numbers.
"""
import json
import sys

import numpy as np
import torch
import torch.nn.functional as F
from munkres import Munkres

J = 17
ORDER = [0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16]
PAIRS = [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)]
PEOPLE, DETECTION, TAG = 30, 0.1, 1.0


def scene(rng, side):
    """People of random joints; positions in 256ths of a pixel of the full size (quarters make symmetric ties), heights and tags in 64ths."""
    people = []
    count = int(rng.integers(1, 7))
    for p in range(count):
        centre = rng.uniform(0.2, 0.8, 2) * 4 * side
        if people and rng.random() < 0.3:
            centre = np.array(people[-1]["centre"]) + rng.uniform(-6, 6, 2)  # overlapping people
        spread = rng.uniform(0.08, 0.3) * 4 * side
        missing = rng.choice([0.0, 0.2, 0.6])
        joints = []
        for _ in range(J):
            at = np.round(np.clip(centre + spread * rng.normal(size=2), 2, 4 * side - 3) * 256) / 256
            height = int(rng.integers(12, 61)) / 64
            joints.append(None if rng.random() < missing else [float(at[0]), float(at[1]), height])
        # Tags more than one apart: a tie of assignments has no published answer.
        tag = int(round((2.5 * p - 4 + rng.uniform(-0.4, 0.4)) * 64)) / 64
        people.append({"centre": [float(v) for v in centre], "joints": joints, "tag": tag})
    for p in people:
        del p["centre"]
    return {"side": side, "flip": bool(rng.random() < 0.5), "seed": int(rng.integers(1, 1 << 30)), "people": people}


def noise(seed, n):
    """n numbers from 0 to 1/32: the upper 24 bits of a linear congruence modulo 2^32. Fine, so that equal maxima are rare."""
    out = np.empty(n, np.float32)
    state = seed
    for i in range(n):
        state = (state * 1664525 + 1013904223) % (1 << 32)
        out[i] = (state >> 8) / (1 << 29)
    return out


def maps(s, shift):
    """Heat and tags at side, heat at twice. `shift` moves tags of the second pass."""
    side = s["side"]
    low = noise(s["seed"], 2 * J * side * side).reshape(2 * J, side, side)
    high = noise(s["seed"] + 1, 4 * J * side * side).reshape(J, 2 * side, 2 * side)
    low[J:] += np.float32(-9)
    for person in s["people"]:
        for j, joint in enumerate(person["joints"]):
            if joint is None:
                continue
            x, y, height = joint
            for part, n, stride in ((low, side, 4.0), (high, 2 * side, 2.0)):
                cx, cy = (x + 0.5) / stride - 0.5, (y + 0.5) / stride - 0.5
                yy, xx = np.mgrid[0:n, 0:n].astype(np.float64)
                d = (xx - cx) * (xx - cx) + (yy - cy) * (yy - cy)
                value = (height / (1.0 + d / 4.0)).astype(np.float32)
                part[j] = np.where(d < 16.0, np.maximum(part[j], value), part[j])
                if part is low:
                    part[J + j] = np.where(d < 6.0, np.float32(person["tag"] + shift), part[J + j])
    return low, high


def flip_back(maps_, joints):
    order = list(range(joints))
    for a, b in PAIRS:
        order[a], order[b] = b, a
    return maps_[order][:, :, ::-1].copy()


def aggregate(s):
    side = s["side"]
    size = (4 * side, 4 * side)
    resize = lambda m, to: F.interpolate(torch.from_numpy(m)[None], size=to, mode="bilinear", align_corners=False)[0]
    passes = [maps(s, 0.0)]
    if s["flip"]:
        # The mirrored pass sees the mirrored maps of joints with exchanged sides, and other tags.
        low, high = maps(s, 0.125)
        mirrored = [flip_back(low[:J], J), flip_back(low[J:], J)]
        passes.append((np.concatenate(mirrored), flip_back(high, J)))
    heats, tags = [], []
    for i, (low, high) in enumerate(passes):
        both = (2 * side, 2 * side)
        heat = (resize(low[:J], both).numpy() + high) / 2
        tag = resize(low[J:], both).numpy()
        if i == 1:
            heat, tag = flip_back(heat, J), flip_back(tag, J)
        heats.append(heat)
        tags.append(resize(tag, size).numpy())
    heat = heats[0] if len(heats) == 1 else (heats[0] + heats[1]) / 2
    return resize(heat.astype(np.float32), size).numpy(), np.stack(tags, axis=3)


def peaks(heat, tags):
    t = torch.from_numpy(heat)[None]
    top = F.max_pool2d(t, 5, 1, 2)
    kept = (t * (t == top).float())[0].numpy()
    width = heat.shape[2]
    out = []
    for j in range(J):
        flat = kept[j].ravel()
        best = np.argsort(-flat, kind="stable")[:PEOPLE]
        best = best[flat[best] > DETECTION]
        out.append([(int(i % width), int(i // width), flat[i], tags[j, i // width, i % width]) for i in best])
    return out


def group(found):
    people, names = {}, {}
    for j in ORDER:
        if not found[j]:
            continue
        new = lambda f: (people.setdefault(f[3][0], [None] * J).__setitem__(j, f), names.__setitem__(f[3][0], [f[3]]))
        if not people:
            for f in found[j]:
                new(f)
            continue
        keys = list(people)[:PEOPLE]
        means = np.array([np.mean(names[k], axis=0) for k in keys])
        distance = np.linalg.norm(np.array([f[3] for f in found[j]])[:, None] - means[None], axis=2)
        cost = np.round(distance) * 100 - np.array([f[2] for f in found[j]])[:, None]
        if cost.shape[0] > cost.shape[1]:
            cost = np.concatenate([cost, np.full((cost.shape[0], cost.shape[0] - cost.shape[1]), 1e10)], axis=1)
        for row, column in Munkres().compute(cost.tolist()):
            f = found[j][row]
            if column < len(keys) and distance[row][column] < TAG:
                people[keys[column]][j] = f
                names[keys[column]].append(f[3])
            else:
                new(f)
    return list(people.values())


def quarter(heat, x, y):
    h, w = heat.shape
    right, left = heat[y, min(x + 1, w - 1)], heat[y, max(x - 1, 0)]
    below, above = heat[min(y + 1, h - 1), x], heat[max(y - 1, 0), x]
    return x + 0.5 + (0.25 if right > left else -0.25), y + 0.5 + (0.25 if below > above else -0.25)


def complete(person, heat, tags):
    score = float(np.mean([0.0 if f is None else f[2] for f in person]))
    mean = np.mean([tags[j, f[1], f[0]] for j, f in enumerate(person) if f is not None], axis=0)
    joints = []
    for j, f in enumerate(person):
        if f is None:
            distance = np.sqrt(((tags[j] - mean) ** 2).sum(axis=2))
            value = heat[j] - np.round(distance)
            y, x = np.unravel_index(np.argmax(value), value.shape)
            f = (int(x), int(y), heat[j, y, x]) if heat[j, y, x] > 0 else None
        joints.append([0.0, 0.0, 0.0] if f is None else [*quarter(heat[j], f[0], f[1]), round(float(f[2]), 6)])
    return {"score": round(score, 6), "joints": joints}


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    rng = np.random.default_rng(int(sys.argv[2]) if len(sys.argv) > 2 else 4)
    path = sys.argv[3] if len(sys.argv) > 3 else "crates/hrnet-data/testdata/bottom_up.json"
    cases = []
    for _ in range(count):
        s = scene(rng, int(rng.integers(10, 21)))
        heat, tags = aggregate(s)
        persons = [complete(p, heat, tags) for p in group(peaks(heat, tags))]
        cases.append({**s, "persons": persons})
    with open(path, "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
    print(count, "scenes,", sum(len(c["persons"]) for c in cases), "persons")


if __name__ == "__main__":
    main()
