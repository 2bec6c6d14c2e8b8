"""JPEG files with the pixels that OpenCV (libjpeg-turbo with its defaults) sees in them.

    python python/make_jpeg_cases.py [folder of shared data]

writes crates/hrnet-image/testdata/jpeg: drawn pictures in every common sampling as JPEG with the decoded pixels as PNG, and
photos.txt with a checksum (FNV-1a of the RGB bytes) of the pixels of photographs, which are not in the repository.
Needs opencv-python-headless and pillow.
"""

import pathlib
import sys

import cv2
import numpy as np
from PIL import Image

OUT = pathlib.Path(__file__).parent.parent / "crates/hrnet-image/testdata/jpeg"


def drawing(width, height, seed):
    """Gradients, edges of strong colours and noise: all frequencies, values beyond both ends after rounding."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([x * 255 / width, y * 255 / height, (x + 2 * y) % 64 * 4], -1)
    image[(x // 5 + y // 7) % 3 == 0] = [255, 0, 40]
    image[(x * y) % 11 < 2] = [0, 255, 255]
    return np.clip(image + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)


def fnv(pixels):
    value = 0xCBF29CE484222325
    for byte in pixels.tobytes():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def pixels(path):
    return cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)[:, :, ::-1]


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.iterdir():
        if old.name != "README.md":
            old.unlink()
    opencv = {"440": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440, "411": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411}
    cases = [
        ("444", 37, 29, dict(subsampling=0, quality=90)),
        ("444_progressive", 33, 41, dict(subsampling=0, quality=75, progressive=True)),
        ("422", 37, 29, dict(subsampling=1, quality=85)),
        ("420", 37, 29, dict(subsampling=2, quality=95)),
        ("420_even", 48, 32, dict(subsampling=2, quality=40)),
        ("420_progressive", 35, 31, dict(subsampling=2, quality=70, progressive=True)),
        ("420_restart", 50, 35, dict(subsampling=2, quality=80, restart_marker_blocks=2)),
        ("420_narrow", 3, 19, dict(subsampling=2, quality=80)),
        ("420_pixel", 1, 1, dict(subsampling=2, quality=80)),
        ("422_narrow", 5, 3, dict(subsampling=1, quality=80)),
        ("grey", 37, 29, dict(quality=90)),
        ("grey_progressive", 21, 50, dict(quality=60, progressive=True)),
        ("cmyk", 30, 20, dict(quality=90)),
        ("440", 37, 29, None),
        ("411", 37, 29, None),
    ]
    for seed, (name, width, height, options) in enumerate(cases):
        image, path = drawing(width, height, seed), OUT / f"{name}.jpg"
        if options is None:
            cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, opencv[name], cv2.IMWRITE_JPEG_QUALITY, 85])
        else:
            mode = "L" if name.startswith("grey") else "CMYK" if name == "cmyk" else "RGB"
            Image.fromarray(image).convert(mode).save(path, **options)
        Image.fromarray(pixels(path)).save(OUT / f"{name}.png", optimize=True)
    if len(sys.argv) > 1:
        shared, lines = pathlib.Path(sys.argv[1]), []
        for folder in ["coco128/images", "coco-mini", "faces68/images", "lspet", "imagenet-sample/images"]:
            for path in sorted((shared / folder).rglob("*.jp*g"))[:4]:
                lines.append(f"{path.relative_to(shared)} {fnv(pixels(path)):016x}\n")
        (OUT / "photos.txt").write_text("".join(lines))


main()
