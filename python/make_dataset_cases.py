"""Makes small MATLAB files for the tests of hrnet-data's dataset readers.

    python make_dataset_cases.py ../crates/hrnet-data/testdata/dataset

Needs numpy, scipy and h5py. Numbers follow simple formulas that the tests repeat; no data of the sets is in the files.
"""

import sys
from pathlib import Path

import h5py
import numpy as np
import scipy.io

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)

# LSPET: [14, 3, n]; x = 10 j + i, y = 5 j + 2 i + 0.25, labelled unless (i + j) % 5 == 0.
n = 3
j, i = np.meshgrid(np.arange(14), np.arange(n), indexing="ij")
lspet = np.zeros((14, 3, n))
lspet[:, 0], lspet[:, 1], lspet[:, 2] = 10 * j + i, 5 * j + 2 * i + 0.25, (i + j) % 5 != 0
scipy.io.savemat(out / "lspet_joints.mat", {"joints": lspet}, do_compression=True)
# LSP: [3, 14, n]; third row 1 = hidden when (i + j) % 3 == 0. Uncompressed, and a struct and a text beside it.
lsp = np.zeros((3, 14, n))
lsp[0], lsp[1], lsp[2] = 10 * j + i, 5 * j + 2 * i + 0.25, (i + j) % 3 == 0
scipy.io.savemat(out / "lsp_joints.mat", {"note": "text", "info": {"a": 1}, "joints": lsp})
# Every class and storage type.
scipy.io.savemat(
    out / "types.mat",
    {
        "f8": np.array([[1.5, -2.25], [3e300, 4]]),
        "f4": np.array([[0.5, -1]], np.float32),
        "i1": np.array([[-128, 127]], np.int8),
        "u2": np.array([[65535]], np.uint16),
        "i4": np.array([[-(2**31)]], np.int32),
        "i8": np.array([[-5]], np.int64),
        "logical": np.array([[True, False]]),
        "cube": np.arange(24.0).reshape(2, 3, 4),
        "empty": np.zeros((0, 3)),
    },
)
# MPII ground truth: head boxes of diagonal 50 (i + 1).
m = 2
heads = np.zeros((2, 2, m))
for k in range(m):
    heads[:, :, k] = [[10, 20], [10 + 30 * (k + 1), 20 + 40 * (k + 1)]]
missing = np.zeros((16, m))
missing[3, 1] = 1
pos = np.arange(16 * 2 * m, dtype=float).reshape(16, 2, m)
scipy.io.savemat(out / "mpii_gt.mat", {"headboxes_src": heads, "jnt_missing": missing, "pos_gt_src": pos, "SC_BIAS": 0.6})

# COFW: x = 10 + 3 k + i, y = 20 + 2 k + i, hidden when (k + i) % 4 == 0; image 1 grey, 2 and 3 colour, chunked and
# compressed. A 512-byte block before the file, as MATLAB writes.
N = 3
phis = np.zeros((87, N))
for f in range(N):
    k = np.arange(29)
    phis[:29, f], phis[29:58, f], phis[58:, f] = 10 + 3 * k + f, 20 + 2 * k + f, (k + f) % 4 == 0
with h5py.File(out / "cofw.mat", "w", userblock_size=512, libver="earliest") as h:
    refs = h.create_group("#refs#")
    images = []
    for f, (w, hh) in enumerate([(4, 3), (5, 2), (70, 41)]):
        x, y = np.meshgrid(np.arange(w), np.arange(hh), indexing="ij")
        grey = ((x * 7 + y * 31 + f) % 256).astype(np.uint8)
        if f == 0:
            images.append(refs.create_dataset("a", data=grey))
        else:
            planes = np.stack([(grey.astype(int) + 50 * c) % 256 for c in range(3)]).astype(np.uint8)
            extra = dict(chunks=(2, 16, 16), compression="gzip", shuffle=True, fletcher32=True) if f == 2 else {}
            images.append(refs.create_dataset("abc"[f], data=planes, **extra))
    cell = h.create_dataset("IsTr", (1, N), dtype=h5py.ref_dtype)
    for f in range(N):
        cell[0, f] = images[f].ref
    h.create_dataset("phisTr", data=phis, chunks=(30, 2), compression="gzip", shuffle=True)
    h.create_dataset("bboxesTr", data=np.array([[9.0, 19, 90, 60]] * N).T)
    h.create_dataset("be", data=np.arange(5).astype(">i2") - 2)
    h.create_dataset("empty", (0, 3), dtype="f4", chunks=(1, 3), maxshape=(None, 3))
    h.create_dataset("text", data=np.bytes_("abc"))
with open(out / "cofw.mat", "r+b") as f:
    f.write(b"MATLAB 7.3 MAT-file".ljust(512, b" "))
# The same labels by a writer of version 2 headers, and one with an index that is not read.
with h5py.File(out / "v2.h5", "w", libver=("v108", "v108")) as h:
    h.create_dataset("numbers", data=np.arange(6, dtype="f4").reshape(2, 3))
    h.create_dataset("chunked", data=np.arange(6, dtype="u1"), chunks=(4,))
with h5py.File(out / "latest.h5", "w", libver="latest") as h:
    h.create_dataset("chunked", data=np.arange(6, dtype="u1"), chunks=(4,))
