"""The peers: how each is set up. A peer is made once and then called as `peer(x)` with a numpy array.

Each has the settings that its own documentation recommends for latency on a CPU, float32, and a number of threads.
"""

import pathlib
import time

import numpy as np


def files(net, shape, folder):
    """The files of a case, made by prepare.py."""
    n, _, h, w = shape
    stem = pathlib.Path(folder) / f"{net}_{n}x{h}x{w}"
    return {"net": net, "checkpoint": str(pathlib.Path(folder) / f"{net}.safetensors"), "input": f"{stem}.input.npy",
            "onnx": f"{stem}.onnx", "reference": f"{stem}.reference.npz"}


class OnnxRuntime:
    def __init__(self, files, threads, isa):
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        self.session = ort.InferenceSession(files["onnx"], options, providers=["CPUExecutionProvider"])
        self.note = f"onnxruntime {ort.__version__}"

    def __call__(self, x):
        return self.session.run(None, {"image": x})


class OpenVino:
    def __init__(self, files, threads, isa):
        import openvino as ov

        core = ov.Core()
        self.request = core.compile_model(core.read_model(files["onnx"]), "CPU", {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }).create_infer_request()
        self.note = f"openvino {ov.__version__.split('-')[0]}"

    def __call__(self, x):
        self.request.infer({0: x}, share_inputs=True, share_outputs=True)
        return [tensor.data for tensor in self.request.output_tensors]


class Torch:
    """Eager, or compiled by inductor with weights frozen into the graph; plain or channels-last memory, whichever is
    faster in a few runs."""

    def __init__(self, files, threads, isa, compiled=False):
        import torch
        from safetensors.torch import load_file

        import nets

        torch.set_num_threads(threads)
        self.torch = torch
        if compiled:
            from torch._inductor import config
            config.freezing = True
            if isa == "avx2":
                config.cpp.simdlen = 256
        found = []
        for name, layout in (("plain", torch.contiguous_format), ("channels-last", torch.channels_last)):
            net = nets.build(files["net"])
            net.load_state_dict(load_file(files["checkpoint"]))
            net = net.to(memory_format=layout)
            if compiled:
                torch._dynamo.reset()
                net = torch.compile(net)
            self.net, self.layout = net, layout
            x = np.load(files["input"])
            times = []
            for _ in range(5):
                started = time.perf_counter()
                self(x)
                times.append(time.perf_counter() - started)
            found.append((min(times[1:]), name, net, layout))
        _, name, self.net, self.layout = min(found, key=lambda f: f[0])
        self.note = f"torch {torch.__version__.split('+')[0]}, {name}"

    def __call__(self, x):
        with self.torch.inference_mode():
            results = self.net(self.torch.from_numpy(x).contiguous(memory_format=self.layout))
        results = results if isinstance(results, (tuple, list)) else (results,)
        return [r.contiguous().numpy() for r in results]


class Inductor(Torch):
    def __init__(self, files, threads, isa):
        super().__init__(files, threads, isa, compiled=True)


PEERS = {"openvino": OpenVino, "onnxruntime": OnnxRuntime, "inductor": Inductor, "pytorch": Torch}


def environment(peer, threads, isa):
    """Variables of a peer's process; `None` if the peer cannot be held to an instruction set.

    Threads may spin while a run lasts (the default of each library), and for a moment after it: then they sleep, so
    that a waiting peer costs the running one nothing.
    """
    variables = {"OMP_NUM_THREADS": str(threads), "KMP_BLOCKTIME": "1"}
    if isa == "avx2":
        if peer == "onnxruntime":
            return None
        variables |= {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    return variables
