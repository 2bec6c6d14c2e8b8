"""The networks of the comparison in plain PyTorch, under the official state-dict names.

    stem -> layer1 -> stage2 (2 branches) -> stage3 (3) -> stage4 (4) -> head
    branch b has width * 2^b channels at 1/4 of the input size, halved b times

An exchange module runs basic blocks on each branch, then every output i is relu(sum over j of f_ij(x_j)), in the order
of j: nothing for j = i, 1x1 convolution and enlarging for j > i, i - j strided 3x3 convolutions for j < i.
`check.py` compares names and results with the golden vectors of the official code.
"""

import torch
import torch.nn.functional as F
from torch import nn


def conv(inputs, outputs, size=3, stride=1, bias=False):
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=bias)


def conv_bn(inputs, outputs, size=3, stride=1, relu=True, bias=False):
    parts = [conv(inputs, outputs, size, stride, bias), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*parts, *([nn.ReLU()] if relu else []))


class Basic(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.bn1 = conv(channels, channels), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv(channels, channels), nn.BatchNorm2d(channels)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + x)


class Bottleneck(nn.Module):
    def __init__(self, inputs, planes):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, planes, 1), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv(planes, planes, 3), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = conv(planes, 4 * planes, 1), nn.BatchNorm2d(4 * planes)
        same = inputs == 4 * planes
        self.downsample = nn.Identity() if same else conv_bn(inputs, 4 * planes, 1, relu=False)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class Exchange(nn.Module):
    """`outputs`: how many branches it returns, all or the first."""

    def __init__(self, channels, blocks, outputs, bilinear):
        super().__init__()
        self.bilinear = bilinear
        self.branches = nn.ModuleList(nn.Sequential(*(Basic(c) for _ in range(blocks))) for c in channels)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(self.term(channels, i, j) for j in range(len(channels))) for i in range(outputs)
        )

    @staticmethod
    def term(channels, i, j):
        if j > i:
            return conv_bn(channels[j], channels[i], 1, relu=False)
        steps = [conv_bn(channels[j], channels[j], stride=2) for _ in range(i - j - 1)]
        if j < i:
            steps.append(conv_bn(channels[j], channels[i], stride=2, relu=False))
        return nn.Sequential(*steps)

    def forward(self, xs):
        xs = [branch(x) for branch, x in zip(self.branches, xs)]
        results = []
        for i, terms in enumerate(self.fuse_layers):
            total = None
            for j, (term, x) in enumerate(zip(terms, xs)):
                y = term(x)
                if j > i and self.bilinear:
                    y = F.interpolate(y, size=xs[i].shape[2:], mode="bilinear", align_corners=False)
                elif j > i:
                    y = F.interpolate(y, scale_factor=float(2 ** (j - i)), mode="nearest")
                total = y if total is None else total + y
            results.append(F.relu(total))
        return results


class Stage(nn.Sequential):
    def forward(self, xs):
        for module in self:
            xs = module(xs)
        return xs


class Backbone(nn.Module):
    """`planes`, `count`: bottlenecks of layer1; `modules`: exchange modules of stages 2 to 4, `blocks` in each branch."""

    def __init__(self, width, planes=64, count=4, modules=(1, 4, 3), blocks=4, bilinear=False, one_branch=False):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, stride=2), nn.BatchNorm2d(64)
        self.conv2, self.bn2 = conv(64, 64, stride=2), nn.BatchNorm2d(64)
        inputs = [64] + [4 * planes] * (count - 1)
        self.layer1 = nn.Sequential(*(Bottleneck(c, planes) for c in inputs))
        self.channels = [width * 2**b for b in range(4)]
        before = [4 * planes]
        for stage, repeats in zip((2, 3, 4), modules):
            channels = self.channels[:stage]
            setattr(self, f"transition{stage - 1}", self.transition(before, channels))
            parts = []
            for m in range(repeats):
                last = one_branch and stage == 4 and m == repeats - 1
                parts.append(Exchange(channels, blocks, 1 if last else stage, bilinear))
            setattr(self, f"stage{stage}", Stage(*parts))
            before = channels

    @staticmethod
    def transition(before, channels):
        """A branch that was there keeps its map, adapted where channels differ; the new one comes from the last."""
        entries = []
        for b, c in enumerate(channels):
            if b >= len(before):
                entries.append(nn.Sequential(conv_bn(before[-1], c, stride=2)))
            else:
                entries.append(nn.Identity() if before[b] == c else conv_bn(before[b], c))
        return nn.ModuleList(entries)

    def trunk(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        xs = [self.layer1(x)]
        for stage in (2, 3, 4):
            change = getattr(self, f"transition{stage - 1}")
            xs = getattr(self, f"stage{stage}")([t(xs[min(b, len(xs) - 1)]) for b, t in enumerate(change)])
        return xs


class Pose(Backbone):
    def __init__(self, width, joints=17):
        super().__init__(width, one_branch=True)
        self.final_layer = conv(width, joints, 1, bias=True)

    def forward(self, x):
        return self.final_layer(self.trunk(x)[0])


class Dense(Backbone):
    """Landmarks (`head`) and segmentation (`last_layer`): all branches at the size of the first, two 1x1 convolutions."""

    def __init__(self, name, outputs, width):
        super().__init__(width, bilinear=True)
        total = sum(self.channels)
        self.name = name
        layers = [*conv_bn(total, total, 1, bias=True), conv(total, outputs, 1, bias=True)]
        setattr(self, name, nn.Sequential(*layers))

    def forward(self, x):
        first, *others = self.trunk(x)
        size = first.shape[2:]
        grown = [F.interpolate(y, size=size, mode="bilinear", align_corners=False) for y in others]
        return getattr(self, self.name)(torch.cat([first, *grown], 1))


class Classify(Backbone):
    def __init__(self, width, classes=1000, **recipe):
        super().__init__(width, **recipe)
        heads = [32 * 2**b for b in range(4)]
        self.incre_modules = nn.ModuleList(
            nn.Sequential(Bottleneck(c, p)) for c, p in zip(self.channels, heads)
        )
        self.downsamp_modules = nn.ModuleList(
            conv_bn(4 * p, 8 * p, stride=2, bias=True) for p in heads[:3]
        )
        self.final_layer = conv_bn(1024, 2048, 1, bias=True)
        self.classifier = nn.Linear(2048, classes)

    def forward(self, x):
        first, *others = [grow(y) for grow, y in zip(self.incre_modules, self.trunk(x))]
        for down, y in zip(self.downsamp_modules, others):
            first = y + down(first)
        return self.classifier(self.final_layer(first).mean((2, 3)))


class Higher(Backbone):
    """Bottom-up pose: 17 heat maps and 17 tags at 1/4, 17 heat maps at 1/2."""

    def __init__(self, width, joints=17):
        super().__init__(width, one_branch=True)
        self.final_layers = nn.ModuleList([conv(width, 2 * joints, 1, bias=True), conv(width, joints, 1, bias=True)])
        grow = nn.ConvTranspose2d(width + 2 * joints, width, 4, 2, 1, bias=False)
        blocks = [nn.Sequential(Basic(width)) for _ in range(4)]
        grow = nn.Sequential(grow, nn.BatchNorm2d(width), nn.ReLU())
        self.deconv_layers = nn.ModuleList([nn.Sequential(grow, *blocks)])

    def forward(self, x):
        x = self.trunk(x)[0]
        quarter = self.final_layers[0](x)
        half = self.final_layers[1](self.deconv_layers[0](torch.cat([x, quarter], 1)))
        return quarter, half


SMALL_V1 = dict(planes=32, count=1, modules=(1, 1, 1), blocks=2)

# By the names that `hrnet bench` takes.
NETS = {
    "pose_w32": lambda: Pose(32),
    "pose_w48": lambda: Pose(48),
    "face_w18": lambda: Dense("head", 68, 18),
    "cls_w18": lambda: Classify(18),
    "cls_w18_small_v1": lambda: Classify(16, **SMALL_V1),
    "seg_w48": lambda: Dense("last_layer", 19, 48),
    "higher_w32": lambda: Higher(32),
}


def build(name):
    return NETS[name]().eval().requires_grad_(False)
