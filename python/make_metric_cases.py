"""Random cases for the metrics of hrnet-data, with the figures of the reference programs.

    python make_metric_cases.py OUT [--count N] [--seed S]

writes OUT/*.json; the repository's testdata/metrics is `--count 48 --seed 1`. A larger --count makes files for a longer run
by hand. Needs numpy and pycocotools. References: pycocotools for AP; for the others the published formulas, written
plainly in numpy (in the order of operations of the official code, whose conventions they show).
"""

import argparse
import contextlib
import copy
import io
import json
import pathlib

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def pycoco(annotations, results, kind, sigmas=None, images=None):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(annotations)
        truth.createIndex()
        found = truth.loadRes(copy.deepcopy(results))
        run = COCOeval(truth, found, kind)
        if sigmas is not None:
            run.params.kpt_oks_sigmas = np.array(sigmas)
        if images is not None:
            run.params.imgIds = images
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats.tolist()


def coco_case(rng, number, kind):
    """A small annotation file and results with everything that may go wrong."""
    points = 17 if number % 12 == 0 else int(rng.integers(1, 6))
    sigmas = None if points == 17 else np.round(rng.uniform(0.02, 0.5, points), 3).tolist()
    categories = [1] if rng.random() < 0.6 else [2, 7, 11]
    images = rng.permutation(np.arange(1, 40))[: rng.integers(1, 6)].tolist()
    annotations, results = [], []
    # Annotation 0 is pycocotools' blind spot.
    next_id = 0 if number % 6 == 5 else 1
    levels = int(rng.choice([2, 5, 1000]))
    for image in images:
        crowded = rng.random() < 0.15
        for category in categories:
            here = []
            for _ in range(int(rng.choice([0, 1, 1, 2, 4]))):
                size = int(rng.choice([16, 32, 40, 64, 96, 150]))
                x, y = rng.integers(0, 200, 2).tolist()
                box = [x, y, size, size]
                pts = np.zeros((points, 3))
                pts[:, :2] = np.array([x, y]) + rng.integers(0, size + 1, (points, 2))
                pts[:, 2] = rng.choice([0, 1, 2], points)
                pts[pts[:, 2] == 0] = 0
                if rng.random() < 0.2:
                    pts[:] = 0
                if here and rng.random() < 0.2:
                    box, pts = here[-1]["bbox"], np.array(here[-1]["keypoints"]).reshape(-1, 3)
                labelled = int((pts[:, 2] > 0).sum())
                here.append({
                    "id": next_id, "image_id": image, "category_id": category, "bbox": box,
                    "area": box[2] * box[3] * float(rng.choice([1.0, 0.5])),
                    "iscrowd": int(rng.random() < 0.15),
                    "keypoints": pts.astype(int).ravel().tolist(),
                    "num_keypoints": 0 if rng.random() < 0.1 else labelled,
                })
                next_id += 1
            annotations += here
            for _ in range(25 if crowded else int(rng.choice([0, 1, 2, 4, 7]))):
                if here and rng.random() < 0.8:
                    base = here[rng.integers(len(here))]
                    pts = np.array(base["keypoints"], float).reshape(-1, 3)[:, :2].copy()
                    box = np.array(base["bbox"], float)
                    noise = float(rng.choice([0, 0, 1, 5, 20]))
                    pts += np.round(rng.normal(0, 1, pts.shape) * noise, 1)
                    # Some points exact, some far away: OKS is a fraction of small numbers.
                    pts[rng.random(points) < 0.2] += 5000
                    box += np.round(rng.normal(0, 1, 4) * noise / 2, 1)
                    box[2:] = np.maximum(box[2:], 1)
                else:
                    pts = np.round(rng.uniform(0, 300, (points, 2)), 1)
                    box = np.round(rng.uniform(1, 100, 4), 1)
                flat = np.c_[pts, np.ones(points)].ravel().tolist()
                row = {"image_id": image, "category_id": category, "keypoints": flat,
                       "score": int(rng.integers(levels)) / levels}
                if kind == "bbox" or number % 3 == 1:
                    row["bbox"] = box.tolist()
                if kind == "bbox":
                    del row["keypoints"]
                results.append(row)
    for image in images[:1]:
        # A category that the annotations do not have.
        row = {"image_id": image, "category_id": 99, "bbox": [0, 0, 1, 1], "score": 1.0}
        results.append(row if kind == "bbox" else dict(row, keypoints=[0.0] * points * 3))
    if kind == "bbox":
        for a in annotations:
            del a["keypoints"], a["num_keypoints"]
    order = rng.permutation(len(results)).tolist()
    results = [results[i] for i in order]
    if number % 3 != 1 and kind == "keypoints":
        for r in results:
            r.pop("bbox", None)
    file = {
        "images": [{"id": i, "crowdIndex": round(float(rng.uniform()), 1)} for i in images],
        "categories": [{"id": c} for c in categories],
        "annotations": annotations,
    }
    case = {"annotations": file, "results": results, "sigmas": sigmas,
            "values": pycoco(file, results, kind, sigmas)}
    if kind == "keypoints" and number % 2 == 0:
        case["crowdpose"] = crowdpose(file, results, sigmas)
    return case


def crowdpose(file, results, sigmas):
    """crowdposetools: areas are 0.53 of the box; AP by images' crowdIndex."""
    file = copy.deepcopy(file)
    for a in file["annotations"]:
        a["area"] = a["bbox"][3] * a["bbox"][2] * 0.53
    whole = pycoco(file, results, "keypoints", sigmas)
    values = whole[:3] + whole[5:8]
    index = {i["id"]: i["crowdIndex"] for i in file["images"]}
    for low, high in [(-1, 0.2), (0.2, 0.8), (0.8, 2)]:
        images = [i for i, c in index.items() if low <= c < high]
        values.append(pycoco(file, results, "keypoints", sigmas, images)[0] if images else -1.0)
    return values


def pckh_case(rng):
    """The official evaluation of MPII, on arrays as its .mat files have them."""
    n = int(rng.integers(2, 12))
    truth = np.round(rng.uniform(0, 300, (n, 16, 2)), 1)
    head = np.round(rng.uniform(10, 60, (n, 2, 2)), 1)
    head[:, 1] += head[:, 0]
    noise = rng.choice([0.5, 2, 8, 30], (n, 16, 1))
    preds = np.round(truth + rng.normal(0, 1, truth.shape) * noise, 1)
    visible = (rng.random((n, 16)) < 0.8).astype(int)
    visible[0] = 1  # every joint occurs, else the official figures are NaN
    pos_pred, pos_gt = np.transpose(preds, [1, 2, 0]), np.transpose(truth, [1, 2, 0])
    jnt_visible, headboxes = visible.T, np.transpose(head, [1, 2, 0])
    error = np.linalg.norm(pos_pred - pos_gt, axis=1)
    sizes = np.linalg.norm(headboxes[1] - headboxes[0], axis=0) * 0.6
    scaled = error / (sizes * np.ones((len(error), 1))) * jnt_visible
    count = jnt_visible.sum(axis=1)
    share = lambda t: ((scaled <= t) * jnt_visible).sum(axis=1) / count
    keep = np.array([j for j in range(16) if j not in (6, 7)])
    ratio = count[keep] / count[keep].sum()
    pckh, rng_thresholds = share(0.5), np.arange(0, 0.5 + 0.01, 0.01)
    pair = lambda a, b: 0.5 * (pckh[a] + pckh[b])
    table = [pckh[9], pair(13, 12), pair(14, 11), pair(15, 10), pair(3, 2), pair(4, 1), pair(5, 0),
             (pckh[keep] * ratio).sum(), (share(rng_thresholds[11])[keep] * ratio).sum()]
    return {"predicted": preds.tolist(), "truth": truth.tolist(), "visible": visible.tolist(),
            "head": head.tolist(), "official": [float(v) for v in table],
            "mean_at_0.1": float((share(0.1)[keep] * ratio).sum())}


def pck_case(rng):
    """mmpose's PCK, AUC and EPE."""
    n, k = int(rng.integers(1, 9)), int(rng.integers(1, 6))
    truth = np.round(rng.uniform(0, 100, (n, k, 2)), 1)
    pred = np.round(truth + rng.normal(0, 1, truth.shape) * rng.choice([0, 1, 5, 20], (n, k, 1)), 1)
    mask = rng.random((n, k)) < 0.7
    norm = np.round(rng.uniform(5, 60, (n, 2)), 1)
    if rng.random() < 0.5:
        norm[:, 1] = norm[:, 0]

    def distances(by):
        d = np.full((n, k), -1, dtype=np.float32)
        d[mask] = np.linalg.norm(((pred - truth) / by[:, None, :])[mask], axis=-1)
        return d.T

    def accuracy(d, t):
        return np.array([(r[r != -1] < t).sum() / (r != -1).sum() if (r != -1).any() else -1 for r in d])

    def average(d, t):
        a = accuracy(d, t)
        return float(a[a >= 0].mean()) if (a >= 0).any() else 0.0

    d, d30, d1 = distances(norm), distances(np.full((n, 2), 30.0)), distances(np.ones((n, 2)))
    auc = sum(average(d30, i / 20) / 20 for i in range(20))
    valid = d1[d1 != -1]
    return {"predicted": pred.tolist(), "truth": truth.tolist(), "labelled": mask.tolist(), "length": norm.tolist(),
            "pck": {str(t): [average(d, t), accuracy(d, t).tolist()] for t in (0.05, 0.2, 0.5)},
            "auc": float(auc), "epe": float(valid.sum() / max(1, len(valid)))}


def segmentation_case(rng):
    """The official confusion matrix and means, and mmsegmentation's means, which leave absent classes out."""
    k, n = int(rng.integers(1, 8)), int(rng.integers(1, 200))
    label = rng.integers(0, k, n)
    label[rng.random(n) < 0.2] = 255
    pred = np.where(rng.random(n) < 0.6, np.minimum(label, k - 1), rng.integers(0, k, n))
    if k > 2:
        label[label == 1] = 0
        if rng.random() < 0.5:
            pred[pred == 1] = 2
    keep = label != 255
    counts = np.bincount(label[keep] * k + pred[keep], minlength=k * k).reshape(k, k)
    pos, res, tp = counts.sum(1), counts.sum(0), np.diag(counts)
    union = pos + res - tp
    report = {"official": [(tp / np.maximum(1.0, union)).mean(), (tp / np.maximum(1.0, pos)).mean()]}
    with np.errstate(invalid="ignore"):
        report["default"] = [np.nanmean(tp / union), np.nanmean(tp / pos)] if pos.sum() else None
    report["pixel"] = tp.sum() / pos.sum() if pos.sum() else None
    plain = lambda v: [float(x) for x in v] if v is not None else None
    return {"classes": k, "label": label.tolist(), "predicted": pred.tolist(), "counts": counts.ravel().tolist(),
            "official": plain(report["official"]), "default": plain(report["default"]),
            "pixel": None if report["pixel"] is None else float(report["pixel"])}


def topk_case(rng):
    n, k = int(rng.integers(1, 30)), int(rng.integers(5, 12))
    # Some cases with ties; a stable sort puts the smaller index first.
    scores = rng.integers(0, 6, (n, k)) / 4 if rng.random() < 0.5 else np.round(rng.normal(0, 1, (n, k)), 3)
    scores = scores.astype(np.float32)
    labels = rng.integers(0, k, n)
    order = np.argsort(-scores, axis=1, kind="stable")
    at = lambda top: float(np.mean([label in row[:top] for row, label in zip(order, labels)]))
    return {"scores": scores.tolist(), "labels": labels.tolist(), "top1": at(1), "top5": at(5)}


def nms_case(rng):
    """OKS suppression and the soft variant of the official pose code, with a stable sort."""
    n, k = int(rng.integers(0, 30)), int(rng.integers(1, 6))
    sigmas = np.round(rng.uniform(0.02, 0.3, k), 3)
    base = rng.uniform(0, 60, (3, k, 2))
    noise = rng.choice([0, 1, 4, 20], (n, 1, 1))
    points = np.round(base[rng.integers(0, 3, n)] + rng.normal(0, 1, (n, k, 2)) * noise, 1)
    scores, areas = rng.integers(1, 9, n) / 8, rng.integers(100, 4000, n).astype(float)

    def oks(i, others):
        d = ((points[others] - points[i]) ** 2).sum(-1)
        e = d / (sigmas * 2) ** 2 / ((areas[i] + areas[others]) / 2 + np.spacing(1))[:, None] / 2
        return np.exp(-e).sum(1) / k

    def hard(threshold):
        order, keep = scores.argsort(kind="stable")[::-1], []
        while order.size:
            keep.append(int(order[0]))
            order = order[1:][oks(order[0], order[1:]) <= threshold]
        return keep

    def soft(threshold):
        order = scores.argsort(kind="stable")[::-1]
        left, keep, decayed = scores[order], [], []
        while order.size and len(keep) < 20:
            keep.append(int(order[0]))
            decayed.append(float(left[0]))
            overlap = oks(order[0], order[1:])
            order, left = order[1:], left[1:] * np.exp(-(overlap**2) / threshold)
            again = left.argsort(kind="stable")[::-1]
            order, left = order[again], left[again]
        return [keep, decayed]

    return {"points": points.tolist(), "scores": scores.tolist(), "areas": areas.tolist(), "sigmas": sigmas.tolist(),
            "hard": hard(0.9), "soft": soft(0.9), "hard_half": hard(0.5), "soft_half": soft(0.5)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    small = max(4, args.count // 4)
    for name, count, make in [
        ("coco_keypoints", args.count, lambda r, i: coco_case(r, i, "keypoints")),
        ("coco_boxes", small, lambda r, i: coco_case(r, i, "bbox")),
        ("pckh", small, lambda r, i: pckh_case(r)),
        ("pck", small, lambda r, i: pck_case(r)),
        ("segmentation", small, lambda r, i: segmentation_case(r)),
        ("topk", small, lambda r, i: topk_case(r)),
        ("oks_nms", small, lambda r, i: nms_case(r)),
    ]:
        rows = [make(np.random.default_rng([args.seed, i]), i) for i in range(count)]
        text = "[\n" + ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows) + "\n]\n"
        (args.out / f"{name}.json").write_text(text.replace(".0,", ",").replace(".0]", "]"))


if __name__ == "__main__":
    main()
