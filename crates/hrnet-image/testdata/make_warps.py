"""Golden warps of a formula image. Run once with opencv-python-headless 4.8.1.78 and once with 5.0.0."""
import cv2, numpy as np
H, W = 37, 53
y, x, c = np.mgrid[0:H, 0:W, 0:3]
image = ((x * 7 + y * 13 + c * 50 + (x * y) % 31 * 5) % 256).astype(np.uint8)  # RGB in our sense; channels are independent
maps = [
    [[1.7, 0.0, -12.3], [0.0, 1.7, -20.9]],
    [[0.9, 0.55, -9.0], [-0.55, 0.9, 17.25]],
    [[0.6, -0.2, 11.0], [0.2, 0.6, 3.0]],
]
rows = [cv2.warpAffine(image, np.array(m), (48, 40), flags=cv2.INTER_LINEAR) for m in maps]
cv2.imwrite(f"warps_opencv_{cv2.__version__}.png", np.concatenate(rows)[:, :, ::-1])
