"""Golden PIL resizes of a formula image (Pillow 12)."""
import numpy as np
from PIL import Image
H, W = 37, 53
y, x, c = np.mgrid[0:H, 0:W, 0:3]
image = Image.fromarray(((x * 7 + y * 13 + c * 50 + (x * y) % 31 * 5) % 256).astype(np.uint8))
for w, h in [(16, 16), (64, 64), (29, 40)]:
    image.resize((w, h), Image.BILINEAR).save(f"pil_{w}x{h}.png")
