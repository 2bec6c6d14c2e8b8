"""Writes crates/hrnet-train/testdata/losses.json: values and gradients of the losses by PyTorch's autograd in float64.

Outputs, targets and weights follow the formula of the golden vectors (../shared/fixtures/README.md), so the file holds
only results. The formulas are written down here from docs/official.md 8 and with PyTorch's own loss functions.

    python python/make_loss_cases.py
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

MASK = (1 << 64) - 1


def uniform(name, shape):
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = ((h ^ b) * 0x100000001B3) & MASK
    values = []
    for i in range(int(np.prod(shape))):
        z = (h + (i + 1) * 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        values.append(((z ^ (z >> 31)) >> 11) * 2.0**-53)
    return np.array(values).reshape(shape)


def f32(values):
    """Rounded to float32, as the tests have it."""
    return torch.from_numpy(values.astype(np.float32).astype(np.float64))


def output(name, shape):
    return f32((2 * uniform(name + " output", shape) - 1) * 2).requires_grad_()


def maps(name, shape):
    return f32(uniform(name + " maps", shape))


def weights(name, shape):
    u = uniform(name + " weights", shape)
    return f32(np.where(u > 0.3, u, 0.0))


def labels(name, shape, classes, ignored=0):
    """Labels; the last `ignored` of the numbers become 255."""
    ids = (uniform(name + " labels", shape) * (classes + ignored)).astype(np.int64)
    return torch.from_numpy(np.where(ids >= classes, 255, ids))


CASES = {}


def case(name, loss, *outputs):
    loss.backward()
    grads = [o.grad.reshape(-1).tolist() for o in outputs]
    CASES[name] = {"loss": loss.item(), "grads": grads}


mse = torch.nn.MSELoss()


def joints_mse(pred, gt, weight):
    """As the official pose loss: joint by joint."""
    loss = 0
    for j in range(pred.shape[1]):
        w = weight[:, j].reshape(-1, 1)
        loss = loss + 0.5 * mse(pred[:, j].flatten(1) * w, gt[:, j].flatten(1) * w)
    return loss / pred.shape[1]


def heat_maps():
    shape = (2, 4, 3, 5)
    o, g, w = output("joints", shape), maps("joints", shape), weights("joints", (2, 4))
    case("joints", joints_mse(o, g, w), o)
    o = output("joints", shape)
    case("joints weighted", joints_mse(o, g, w * torch.tensor([1, 1.2, 1.5, 1.0], dtype=torch.float64)), o)
    shape = (3, 17, 2, 3)
    o, g, w = output("ohkm", shape), maps("ohkm", shape), weights("ohkm", (3, 17))
    per_joint = 0.5 * ((o - g) * w[:, :, None, None]).pow(2).mean(dim=(2, 3))
    hardest = torch.topk(per_joint, 8, dim=1).values
    case("ohkm", (hardest.sum(dim=1) / 8).mean(), o)
    shape = (2, 12, 3, 5)
    o, g, w = output("udp", shape), maps("udp", shape), weights("udp", (2, 4))
    loss = 0
    for j in range(4):
        pred, gt, weight = o[:, 3 * j : 3 * j + 3].flatten(2), g[:, 3 * j : 3 * j + 3].flatten(2), w[:, j, None]
        score, wanted = pred[:, 0] * weight, gt[:, 0] * weight
        loss = loss + 0.5 * mse(score, wanted)
        for axis in (1, 2):
            loss = loss + 0.5 * mse(wanted * pred[:, axis], wanted * gt[:, axis])
    case("udp", loss / 4, o)
    for name, weighted in (("wing", False), ("wing weighted", True)):
        shape = (2, 4, 3, 5)
        o, g, w = output("wing", shape), maps("wing", shape), weights("wing", (2, 4))[:, :, None, None]
        alpha, omega, epsilon, theta = 2.1, 14.0, 1.0, 0.5
        pred, gt = (o * w, g * w) if weighted else (o, g)
        delta, power = (gt - pred).abs(), alpha - gt
        ratio = theta / epsilon
        slope = omega / (1 + ratio**power) * power * ratio ** (power - 1) / epsilon
        shift = theta * slope - omega * torch.log(1 + ratio**power)
        curve = omega * torch.log(1 + (delta / epsilon) ** power)
        case(name, torch.where(delta < theta, curve, slope * delta - shift).mean(), o)


def classes():
    o, y = output("classes", (5, 7)), labels("classes", (5,), 7)
    case("classes", F.cross_entropy(o, y), o)
    o = output("classes", (5, 7))
    case("classes smoothed", F.cross_entropy(o, y, label_smoothing=0.1), o)
    soft = uniform("classes soft", (5, 7))
    soft = f32(soft / soft.sum(axis=1, keepdims=True))
    o = output("classes", (5, 7))
    case("classes soft", F.cross_entropy(o, soft), o)
    o = output("classes", (5, 7))
    case("classes soft smoothed", F.cross_entropy(o, soft, label_smoothing=0.1), o)


def pixels():
    """Outputs (2, 5, 4, 6), labels (2, 13, 17)."""
    y = labels("pixels", (2, 13, 17), 5, 1)
    weight = f32(0.5 + uniform("pixels weight", (5,)))

    def logits(align, size=(13, 17)):
        o = output("pixels", (2, 5, 4, 6))
        return o, F.interpolate(o, size=size, mode="bilinear", align_corners=align)

    for align in (False, True):
        o, up = logits(align)
        case(f"pixels align {align}", F.cross_entropy(up, y, ignore_index=255), o)
        o, up = logits(align)
        case(f"pixels weighted align {align}", F.cross_entropy(up, y, weight, ignore_index=255), o)
    o = output("pixels", (2, 5, 4, 6))
    same = labels("pixels same", (2, 4, 6), 5, 1)
    case("pixels same size", F.cross_entropy(o, same, weight, ignore_index=255), o)
    for name, threshold, keep in (("few", 0.05, 40), ("many", 0.3, 40), ("all", 1.0, 100000)):
        o, up = logits(False)
        losses = F.cross_entropy(up, y, weight, ignore_index=255, reduction="none").reshape(-1)
        counts = y.reshape(-1) != 255
        true = y.clone()
        true[true == 255] = 0
        p = F.softmax(up, dim=1).gather(1, true[:, None]).reshape(-1)[counts]
        p, order = p.sort()
        limit = max(p[min(keep, p.numel() - 1)].item(), threshold)
        case(f"ohem {name}", losses[counts][order][p < limit].mean(), o)
    o, up = logits(True)
    o2 = output("pixels two", (2, 5, 4, 6))
    up2 = F.interpolate(o2, size=(13, 17), mode="bilinear", align_corners=True)
    loss = 0.4 * F.cross_entropy(up, y, weight, ignore_index=255) + F.cross_entropy(up2, y, weight, ignore_index=255)
    case("ocr", loss, o, o2)


# Image by image, person by person: (joint, x, y) at the stride of the first output.
PEOPLE = [
    [[(0, 1, 0), (1, 2, 1), (2, 5, 3)], [(0, 3, 2), (2, 0, 3)], [(1, 4, 1)]],
    [[(0, 1, 1), (1, 1, 2)]],
    [],
]


def bottom_up():
    joints, n = 3, 3
    first, second = output("higher first", (n, 2 * joints, 4, 6)), output("higher second", (n, joints, 8, 12))

    def heat(pred, name):
        n, c, h, w = pred.shape
        mask = f32(np.where(uniform(name + " mask", (n, h, w)) > 0.2, 1.0, 0.0))
        return ((pred - maps(name, (n, c, h, w))).pow(2) * mask[:, None]).mean(dim=(1, 2, 3)).mean()

    loss = heat(first[:, :joints], "higher first") + heat(second, "higher second")
    pulls, pushes = [], []
    for tags, people in zip(first[:, joints:], PEOPLE):
        means, pull = [], 0
        for person in people:
            found = torch.stack([tags[j, y, x] for j, x, y in person])
            means.append(found.mean())
            pull = pull + (found - means[-1]).pow(2).mean()
        count = len(means)
        push = 0
        if count > 1:
            m = torch.stack(means)
            push = (torch.exp(-((m[:, None] - m[None, :]) ** 2)).sum() - count) / ((count - 1) * count) * 0.5
        pulls.append(pull / count if count else torch.zeros((), dtype=torch.float64))
        pushes.append(push if count > 1 else torch.zeros((), dtype=torch.float64))
    factor = 1e-3
    loss = loss + factor * torch.stack(pulls).mean() + factor * torch.stack(pushes).mean()
    case("higher", loss, first, second)


heat_maps()
classes()
pixels()
bottom_up()
path = pathlib.Path(__file__).resolve().parent.parent / "crates/hrnet-train/testdata/losses.json"
rows = [f"{json.dumps(name)}: {json.dumps(CASES[name])}" for name in CASES]
path.write_text("{\n" + ",\n".join(rows) + "\n}\n")
print(f"{len(CASES)} cases, {path.stat().st_size} bytes")
