"""The time of a training step against PyTorch: same network, batch, loss and optimiser, steps in turn.

    python train_step.py PROGRAM CASE [--threads 2] [--rounds 5] [--recompute]

PROGRAM is `time_step` of hrnet-bench (bench/src); it and PyTorch (f32, channels_last, Adam) live in a process each and make
one step at a time, in turn; both print seconds, the loss and the peak memory of their process. Printed are the medians,
their ratio, and the peaks.
"""

import argparse
import statistics
import subprocess
import sys
import time

CASES = {
    "pose-w32": ("pose", 32, 17, (8, 3, 256, 192)),
    "face-w18": ("face", 18, 68, (8, 3, 256, 256)),
    "small-128": ("small", 16, 68, (32, 3, 128, 128)),
    "small-192": ("small", 16, 14, (16, 3, 256, 192)),
    "seg-w18-small": ("small", 16, 11, (4, 3, 352, 480)),
}


def network(kind, width, outputs):
    import torch
    from torch import nn

    import nets

    if kind == "pose":
        return nets.Pose(width, outputs)
    if kind == "face":
        return nets.Dense("heatmaps", outputs, width)

    class Small(nets.Backbone):
        """W18-small-v1 with the V2 head."""

        def __init__(self):
            super().__init__(width, bilinear=True, **nets.SMALL_V1)
            joined = 15 * width
            self.head = nn.Sequential(
                nets.conv(joined, joined, 1, bias=True), nn.BatchNorm2d(joined), nn.ReLU(),
                nets.conv(joined, outputs, 1, bias=True),
            )

        def forward(self, x):
            xs = self.trunk(x)
            size = xs[0].shape[2:]
            up = [nn.functional.interpolate(y, size=size, mode="bilinear", align_corners=False) for y in xs[1:]]
            return self.head(torch.cat([xs[0], *up], 1))

    return Small()


def serve(case, threads):
    import numpy as np
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    kind, width, outputs, shape = CASES[case]
    net = network(kind, width, outputs).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    x = torch.rand(shape).contiguous(memory_format=torch.channels_last)
    n, _, h, w = shape
    target = (torch.rand(n, outputs, h // 4, w // 4) ** 20).contiguous(memory_format=torch.channels_last)
    for _ in sys.stdin:
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.mse_loss(net(x), target)
        loss.backward()
        optimizer.step()
        value = loss.item()
        seconds = time.perf_counter() - start
        with open("/proc/self/status") as status:
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
        print(f"{seconds:.5f} {value:.6f} {peak:.1f}", flush=True)


class Server:
    def __init__(self, argv):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def step(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        seconds, loss, peak = self.process.stdout.readline().split()
        return float(seconds), float(loss), float(peak)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="the program time_step of hrnet-bench, or `serve` for the PyTorch side")
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recompute", action="store_true")
    args = parser.parse_args()
    if args.program == "serve":
        return serve(args.case, args.threads)
    ours = [args.program, args.case, str(args.threads), "0", "serve"] + ["recompute"] * args.recompute
    theirs = [sys.executable, __file__, "serve", args.case, "--threads", str(args.threads)]
    servers = {"hrnet": Server(ours), "pytorch": Server(theirs)}
    times, peaks = {name: [] for name in servers}, {}
    for turn in range(args.rounds + 1):
        for name, server in servers.items():
            seconds, loss, peaks[name] = server.step()
            if turn > 0:
                times[name].append(seconds)
    images = CASES[args.case][3][0]
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name in servers:
        servers[name].close()
        per_image = [round(1000 * t / images, 1) for t in sorted(times[name])]
        print(f"{args.case} {name}: {1000 * medians[name] / images:.1f} ms per image {per_image}, "
              f"peak {peaks[name]:.0f} MiB")
    print(f"{args.case}: time {medians['hrnet'] / medians['pytorch']:.3f} of PyTorch's, "
          f"memory {peaks['hrnet'] / peaks['pytorch']:.3f}")


if __name__ == "__main__":
    main()
