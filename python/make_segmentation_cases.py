"""Makes testdata/segmentation/pipeline.json: a small segmentation network in PyTorch, from an image to scores and classes.

    python make_segmentation_cases.py ../testdata/segmentation/pipeline.json

Needs numpy, torch and opencv-python. The networks and weights are those of bench/peers. Each case is written out here step by
step, whole arrays at a time, without any of the row-by-row work of the program.
"""

import json
import math
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parent.parent / "bench" / "peers"))
import formula  # noqa: E402
import nets  # noqa: E402

CLASSES, WIDTH = 5, 4
FLIP = [0, 2, 1, 3, 4]
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


class Net(nets.Dense):
    """W4 of the depth of small-v1. `corners`: align_corners of every resize."""

    def __init__(self, corners):
        nets.Backbone.__init__(self, WIDTH, bilinear=True, **nets.SMALL_V1)
        total = sum(self.channels)
        self.name, self.corners = "last_layer", corners
        layers = [*nets.conv_bn(total, total, 1, bias=True), nets.conv(total, CLASSES, 1, bias=True)]
        self.last_layer = torch.nn.Sequential(*layers)

    def forward(self, x):
        grow = lambda y, size, mode, align_corners: F.interpolate(  # noqa: E731
            y, size=size, mode=mode, align_corners=self.corners
        )
        nets.F = types.SimpleNamespace(relu=F.relu, interpolate=grow)
        return super().forward(x)


def image(width, height):
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    wave = 90 * np.sin(x / 9 + c) + 60 * np.cos(y / 7 - c) + (x * y) % 31
    return np.clip(np.floor(wave + 100), 0, 255).astype(np.uint8)


def normalised(img):
    return (img.astype(np.float32) / 255 - MEAN) / STD


def resized(values, height, width):
    """OpenCV's rule in floating point."""
    if values.shape[:2] == (height, width):
        return values
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)


def filled(values, height, width, value):
    out = np.empty((height, width, 3), np.float32)
    out[:] = value
    out[: values.shape[0], : values.shape[1]] = values
    return out


def logits(net, values, flip):
    """Mean of the two looks, enlarged to the input."""
    x = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)[None]))
    grown = lambda x: F.interpolate(net(x), size=x.shape[2:], mode="bilinear", align_corners=net.corners)  # noqa: E731
    scores = grown(x)
    if flip:
        other = grown(x.flip(3)).flip(3)[:, FLIP]
        scores = (scores + other) * 0.5
    return scores


def to_size(scores, size, corners):
    if tuple(scores.shape[2:]) == tuple(size):
        return scores
    return F.interpolate(scores, size=size, mode="bilinear", align_corners=corners)


def default(net, img, scales, flip, window=None, overlap=None):
    height, width = img.shape[:2]
    base, total = normalised(img), 0
    for scale in scales:
        h, w = (math.floor(v * scale + 0.5) for v in (height, width))
        scaled = resized(base, h, w)
        if window is None:
            padded = filled(scaled, -(-h // 32) * 32, -(-w // 32) * 32, 0)
            scores = logits(net, padded, flip)[:, :, :h, :w]
        else:
            scores = windows(net, scaled, flip, window, overlap)
        total = total + torch.softmax(to_size(scores, (height, width), False), 1) / len(scales)
    return total


def spans(length, window, step):
    if length <= window:
        return [(0, length)]
    starts = list(range(0, length - window + step, step))
    starts = [s if s + window <= length else -(-(length - window) // 32) * 32 for s in starts]
    return [(s, min(s + window, length)) for s in starts]


def parts(spans, length):
    """The share of each window: a line over the middle half of what two neighbours share."""
    weights = []
    for i, (a, b) in enumerate(spans):
        w = np.ones(length)
        w[:a] = w[b:] = 0
        for other, side in ((i - 1, 1), (i + 1, -1)):
            if 0 <= other < len(spans):
                low, high = max(a, spans[other][0]), min(b, spans[other][1])
                n = high - low
                t = np.arange(n)[::side]
                line = np.clip((t + 1 - n // 4) / (n + 1 - 2 * (n // 4)), 0, 1)
                w[low:high] *= line
        weights.append(w)
    total = sum(weights)
    return [(w / total).astype(np.float32) for w in weights]


def windows(net, scaled, flip, window, overlap):
    h, w = scaled.shape[:2]
    rows, columns = spans(h, window, window - overlap), spans(w, window, window - overlap)
    out = torch.zeros(1, CLASSES, h, w)
    for (y0, y1), wy in zip(rows, parts(rows, h)):
        for (x0, x1), wx in zip(columns, parts(columns, w)):
            scores = logits(net, filled(scaled[y0:y1, x0:x1], window, window, 0), flip)
            weight = torch.from_numpy(np.outer(wy[y0:y1], wx[x0:x1]))
            out[:, :, y0:y1, x0:x1] += scores[:, :, : y1 - y0, : x1 - x0] * weight
    return out


def official(net, img, scales, flip, crop, base, short=None):
    """Spec 6.4: exponentials of the mean scores, averaged over windows, resized to the base image, summed over scales."""
    kept = img.shape[:2]
    if short:
        h, w = img.shape[:2]
        h, w = (short, int(w * short / h + 0.5)) if h < w else (int(h * short / w + 0.5), short)
        small = np.floor(resized(img.astype(np.float32), h, w) + 0.5).astype(np.uint8)
        colour = np.round(MEAN * 255)
        kept = (h, w)
        img_base = filled(small, -(-h // 8) * 8, -(-w // 8) * 8, colour).astype(np.uint8)
    else:
        img_base = img
    values = normalised(img_base)
    black = -MEAN / STD
    height, width = values.shape[:2]
    street, total = crop[0] != crop[1], 0
    for scale in scales:
        long = int(base * scale + 0.5)
        h, w = (long, int(width * long / height + 0.5)) if height > width else (int(height * long / width + 0.5), long)
        scaled = resized(values, h, w)
        if street and scale <= 1:
            scores = logits(net, scaled, flip).exp()
        elif not street and max(h, w) <= min(crop):
            scores = logits(net, filled(scaled, *crop, black), flip).exp()[:, :, :h, :w]
        else:
            full = scaled if street else filled(scaled, max(h, crop[0]), max(w, crop[1]), black)
            sums = torch.zeros(1, CLASSES, *full.shape[:2])
            count = torch.zeros(1, 1, *full.shape[:2])
            step = crop if street else [int(c * 2.0 / 3.0) for c in crop]
            for r in range(math.ceil((full.shape[0] - crop[0]) / step[0]) + 1):
                for c in range(math.ceil((full.shape[1] - crop[1]) / step[1]) + 1):
                    y0, x0 = r * step[0], c * step[1]
                    y1, x1 = min(y0 + crop[0], full.shape[0]), min(x0 + crop[1], full.shape[1])
                    if street:
                        y0, x0 = max(y1 - crop[0], 0), max(x1 - crop[1], 0)
                    part = full[y0:y1, x0:x1]
                    if not street:
                        part = filled(part, *crop, black)
                    scores = logits(net, part, flip).exp()
                    sums[:, :, y0:y1, x0:x1] += scores[:, :, : y1 - y0, : x1 - x0]
                    count[:, :, y0:y1, x0:x1] += 1
            scores = (sums / count)[:, :, :h, :w]
        total = total + to_size(scores, (height, width), net.corners)
    return to_size(total[:, :, : kept[0], : kept[1]], img.shape[:2], net.corners)


def main():
    torch.manual_seed(0)
    ms = [0.75, 1.0, 1.25]
    cases = [
        dict(name="whole", how="default", size=[70, 50], corners=False, scales=[1.0], flip=False),
        dict(name="whole, corners", how="default", size=[64, 96], corners=True, scales=[1.0], flip=True),
        dict(name="scales", how="default", size=[70, 50], corners=False, scales=ms, flip=True),
        dict(name="windows", how="default", size=[150, 100], corners=False, scales=[1.0], flip=False, window=64, overlap=32),
        dict(name="windows, scales", how="default", size=[90, 80], corners=True, scales=[1.0, 1.5], flip=True, window=64,
             overlap=32),
        dict(name="street", how="official", size=[64, 32], corners=False, scales=[0.5, 0.75, 1.0, 1.5, 1.75], flip=True,
             crop=[32, 64], base=64),
        dict(name="street, corners", how="official", size=[100, 47], corners=True, scales=[1.0, 1.25], flip=False,
             crop=[32, 64], base=64),
        dict(name="square", how="official", size=[75, 52], corners=False, scales=[0.5, 1.0, 1.75], flip=True, crop=[64, 64],
             base=64),
        dict(name="square, corners", how="official", size=[52, 75], corners=True, scales=[1.0, 2.0], flip=False,
             crop=[64, 64], base=64),
        dict(name="short side", how="official", size=[100, 81], corners=True, scales=[0.75, 1.5], flip=True, crop=[64, 64],
             base=64, short=60),
    ]
    for case in cases:
        net = formula.fill(Net(case["corners"]).eval().requires_grad_(False))
        # The formula's scores are small: larger ones make windows and scales matter.
        net.last_layer[-1].weight.data *= 8
        img = image(*case["size"])
        if case["how"] == "default":
            scores = default(net, img, case["scales"], case["flip"], case.get("window"), case.get("overlap"))
        else:
            scores = official(net, img, case["scales"], case["flip"], case["crop"], case["base"], case.get("short"))
        scores = scores[0].double().numpy()
        height, width = img.shape[:2]
        at = [(i * 37) % (height * width) for i in range(60)]
        flat = scores.reshape(CLASSES, -1)
        case["at"], case["scores"] = at, [[float(f"{v:.7g}") for v in flat[:, i]] for i in at]
        case["labels"] = "".join(str(v) for v in flat.argmax(0))
        top = np.sort(flat, 0)
        case["narrow"] = int((top[-1] - top[-2] < 1e-4 * top[-1]).sum())
        counts = np.bincount(flat.argmax(0), minlength=CLASSES)
        print(case["name"], counts, "narrow", case["narrow"], "range", flat.min(), flat.max())
    Path(sys.argv[1]).write_text(json.dumps({"width": WIDTH, "classes": CLASSES, "flip": FLIP, "cases": cases}) + "\n")


main()
