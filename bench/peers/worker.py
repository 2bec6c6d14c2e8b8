"""One peer in a process of its own, told what to do over a pipe: one JSON object per line, one line in answer.

    {"do": "output", "path": P}                  results for the case's input -> P (npz)
    {"do": "run", "warm_up": W, "runs": K}       -> {"ms": [K times]}

`python worker.py start PEER ONNX INPUT THREADS` instead makes the peer, runs once, prints a line and ends: the time from
the start of a process to the first result.
"""

import json
import os
import sys
import time


def start(peer, onnx, source, threads):
    import numpy as np

    import executors

    begun = time.perf_counter()
    run = executors.PEERS[peer]({"onnx": onnx}, int(threads), None)
    made = time.perf_counter()
    run(np.load(source))
    print(json.dumps({"made_ms": 1e3 * (made - begun), "run_ms": 1e3 * (time.perf_counter() - made)}), flush=True)
    os._exit(0)  # tearing down is not part of the time


def serve(spec):
    # What libraries print goes to stderr; the pipe is ours.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    import numpy as np

    import executors

    def answer(**fields):
        print(json.dumps(fields), file=channel, flush=True)

    peer = executors.PEERS[spec["peer"]](spec["files"], spec["threads"], spec["isa"])
    x = np.load(spec["files"]["input"])
    answer(note=peer.note)
    for line in sys.stdin:
        task = json.loads(line)
        if task["do"] == "output":
            with open(task["path"], "wb") as file:
                np.savez(file, *peer(x))
            answer(done=True)
        else:
            for _ in range(task["warm_up"]):
                peer(x)
            times = []
            for _ in range(task["runs"]):
                begun = time.perf_counter()
                peer(x)
                times.append(1e3 * (time.perf_counter() - begun))
            answer(ms=times)


if __name__ == "__main__":
    if sys.argv[1] == "start":
        start(*sys.argv[2:])
    else:
        serve(json.loads(sys.argv[1]))
