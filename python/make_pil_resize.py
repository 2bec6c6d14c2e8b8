"""Golden resizes and crops of Pillow and of torchvision's rules, as hashes, for hrnet-image/testdata/pil_resize.json.

Made with Pillow 12.0.0; version 13 changed the order of the passes for some sizes.

usage: python python/make_pil_resize.py > crates/hrnet-image/testdata/pil_resize.json
"""
import json

import numpy as np
from PIL import Image


def formula(w, h):
    y, x, c = np.mgrid[0:h, 0:w, 0:3]
    return Image.fromarray(((x * 7 + y * 13 + c * 50 + (x * y) % 31 * 5) % 256).astype(np.uint8))


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = ((h ^ b) * 0x100000001B3) % 2**64
    return f"{h:016x}"


def short_side(image, size, method):
    w, h = image.size
    new = (size, int(size * h / w)) if w <= h else (int(size * w / h), size)
    return image if new == image.size else image.resize(new, method)


def centre_crop(image, w, h):
    iw, ih = image.size
    if w > iw or h > ih:
        # torchvision pads first: the smaller half at the left and top.
        left, top = max((w - iw) // 2, 0), max((h - ih) // 2, 0)
        right, bottom = max((w - iw + 1) // 2, 0), max((h - ih + 1) // 2, 0)
        padded = Image.new("RGB", (iw + left + right, ih + top + bottom))
        padded.paste(image, (left, top))
        image = padded
        iw, ih = image.size
    top, left = int(round((ih - h) / 2.0)), int(round((iw - w) / 2.0))
    return image.crop((left, top, left + w, top + h))


cases = []
METHODS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
for source in [(53, 37), (128, 96), (7, 201), (1, 1), (300, 4)]:
    for name, method in METHODS.items():
        for size in [(16, 16), (64, 64), (29, 40), (53, 37), (1, 3), (224, 17)]:
            out = formula(*source).resize(size, method).tobytes()
            cases.append((source, "resize", name, size, out))
        out = short_side(formula(*source), 32, method).tobytes()
        cases.append((source, "short_side", name, (32, 32), out))
    for size in [(32, 32), (31, 30), (60, 20), (300, 201)]:
        cases.append((source, "crop", "bilinear", size, centre_crop(formula(*source), *size).tobytes()))
rows = [
    json.dumps(dict(source=s, what=w, filter=f, size=z, fnv=fnv(o), first=list(o[:24]))) for s, w, f, z, o in cases
]
print("[\n" + ",\n".join(rows) + "\n]")
