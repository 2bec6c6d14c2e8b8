"""hrnet against onnxruntime, OpenVINO and PyTorch on this machine: same networks, same weights, one alternating run.

    python peers.py --hrnet ../../target/release/hrnet [--cases pose_w32,start] [--rounds 7] [--markdown | --json]

    for each case:  make checkpoint, input and ONNX model; start a process per peer; compare all results with PyTorch
                    for each round, for each executor (the order rotates):  rest, warm up, timed runs, median
                    per executor the median of its medians, their range, and the ratio to hrnet

Progress goes to stderr, the table to stdout. Exit code 3 if results disagree, 1 if an executor failed.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass

import numpy as np

from executors import PEERS, environment
from executors import files as files_of

HERE = pathlib.Path(__file__).resolve().parent
LIMIT = 1e-3  # largest error of a result, as a share of its largest value
REST = 0.3  # seconds between executors: pools that spin for a moment fall asleep
STARTERS = ("onnxruntime", "openvino")


@dataclass(frozen=True)
class Case:
    name: str
    net: str
    height: int
    width: int
    batch: int = 1
    threads: int = 2
    isa: str | None = None
    start: bool = False

    @property
    def shape(self):
        return [self.batch, 3, self.height, self.width]


CASES = [
    Case("pose_w32", "pose_w32", 256, 192),
    Case("pose_w32_b8", "pose_w32", 256, 192, batch=8),
    Case("pose_w48", "pose_w48", 256, 192),
    Case("face_w18", "face_w18", 256, 256),
    Case("cls_w18", "cls_w18", 224, 224),
    Case("cls_w18_small_v1", "cls_w18_small_v1", 224, 224),
    Case("seg_w48", "seg_w48", 512, 1024),
    Case("higher_w32", "higher_w32", 512, 512),
    Case("pose_w32_1_thread", "pose_w32", 256, 192, threads=1),
    Case("pose_w32_avx2", "pose_w32", 256, 192, isa="avx2"),
    Case("start", "pose_w32", 256, 192, start=True),
]


def log(text):
    print(text, file=sys.stderr, flush=True)


class Failed(Exception):
    pass


def command(argv, env=None):
    """Runs a program to its end and returns what it printed."""
    done = subprocess.run([str(a) for a in argv], env=os.environ | (env or {}), capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{argv[0]} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


class Hrnet:
    """hrnet, by its command line. A round is a process; reading and packing are not in its times."""

    def __init__(self, case, program, files):
        self.case, self.program, self.files = case, program, files
        self.env = {"HRNET_ISA": case.isa} if case.isa else {}
        self.note = command([program, "--version"]).strip()
        self.pid = None

    def output(self, folder):
        return [np.load(path) for path in self.run_once(folder)]

    def run_once(self, folder):
        argv = [self.program, "run", self.files["checkpoint"], "--input", self.files["input"], "--output",
                folder / "hrnet.npy", "--threads", self.case.threads, "--json"]
        if self.case.net.startswith("seg"):
            argv += ["--align-corners", "false"]
        return [o["file"] for o in json.loads(command(argv, self.env).splitlines()[-1])["outputs"]]

    def times(self, warm_up, runs):
        c = self.case
        printed = command([self.program, "bench", c.net, "--input-size", f"{c.height}x{c.width}", "--batch", c.batch,
                           "--threads", c.threads, "--warm-up", warm_up, "--runs", runs, "--no-peak", "--json"], self.env)
        return json.loads(printed.splitlines()[-1])["median_ms"]

    def close(self):
        pass


class Peer:
    """A peer in its worker process."""

    def __init__(self, case, peer, files):
        variables = environment(peer, case.threads, case.isa)
        if variables is None:
            raise Failed(f"has no switch to stay below {case.isa}")
        spec = {"peer": peer, "files": files, "threads": case.threads, "isa": case.isa}
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([sys.executable, HERE / "worker.py", json.dumps(spec)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                        env=os.environ | variables)
        self.pid = self.process.pid
        self.note = self.answer()["note"]

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.log.seek(0)
            raise Failed(f"its process ended: {self.log.read().strip()[-500:]}")
        return json.loads(line)

    def ask(self, **task):
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def output(self, folder):
        path = folder / "peer.npz"
        self.ask(do="output", path=str(path))
        with np.load(path) as results:
            return [results[key] for key in results.files]

    def times(self, warm_up, runs):
        return statistics.median(self.ask(do="run", warm_up=warm_up, runs=runs)["ms"])

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


class StartHrnet(Hrnet):
    """From the start of a process to the result in a file, with checkpoint and input read from files."""

    def __init__(self, case, program, files, folder):
        super().__init__(case, program, files)
        self.folder = folder

    def times(self, warm_up, runs):
        return statistics.median(self.once() for _ in range(runs))

    def once(self):
        begun = time.perf_counter()
        self.run_once(self.folder)
        return 1e3 * (time.perf_counter() - begun)


class StartPeer:
    """From the start of a Python process to the result in memory: import, read the model, create the session, run."""

    def __init__(self, case, peer, files):
        self.argv = [sys.executable, HERE / "worker.py", "start", peer, files["onnx"], files["input"], case.threads]
        self.env = environment(peer, case.threads, case.isa)
        self.note = "python process"
        self.pid = None

    def times(self, warm_up, runs):
        return statistics.median(self.once() for _ in range(runs))

    def once(self):
        begun = time.perf_counter()
        command(self.argv, self.env)
        return 1e3 * (time.perf_counter() - begun)

    def close(self):
        pass


def worst_error(results, wanted):
    """The largest error over all outputs, each as a share of its largest value."""
    if [r.shape for r in results] != [w.shape for w in wanted]:
        return float("inf")
    errors = (np.abs(r.astype(np.float64) - w).max() / np.abs(w).max() for r, w in zip(results, wanted))
    return max((float(e) if np.isfinite(e) else float("inf")) for e in errors)


def processor_seconds(pid):
    """Processor time that a process has used, where the system tells it."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0


def prepare(case, folder):
    from_prepare = {"net": case.net, "shape": case.shape, "folder": str(folder)}
    command([sys.executable, HERE / "prepare.py", json.dumps(from_prepare)])
    return files_of(case.net, case.shape, folder)


def open_executors(case, args, files, scratch):
    """All executors of a case that can be had, and why the others cannot."""
    made, failed = {}, {}
    wanted = ["hrnet", *(p for p in args.peers if not case.start or p in STARTERS)]
    for name in wanted:
        log(f"{case.name}: starting {name}")
        try:
            if case.start:
                made[name] = (StartHrnet(case, args.hrnet, files, scratch) if name == "hrnet"
                              else StartPeer(case, name, files))
            else:
                made[name] = Hrnet(case, args.hrnet, files) if name == "hrnet" else Peer(case, name, files)
        except (Failed, OSError) as problem:
            failed[name] = str(problem)
            log(f"{case.name}: {name}: {problem}")
    return made, failed


def compare(case, made, files, scratch):
    """Errors of all executors against plain PyTorch."""
    with np.load(files["reference"]) as reference:
        wanted = [reference[key] for key in reference.files]
    errors = {}
    for name, executor in made.items():
        if hasattr(executor, "output"):
            errors[name] = worst_error(executor.output(scratch), wanted)
            verdict = "agrees" if errors[name] <= LIMIT else "DISAGREES"
            log(f"{case.name}: {name} {verdict}, largest error {errors[name]:.1e} of the largest value ({executor.note})")
    return errors


def alternate(case, args, made):
    """Medians of every round by executor."""
    medians = {name: [] for name in made}
    names = list(made)
    busy = set()
    # A few runs tell how many fill a visit.
    expected = {name: made[name].times(0 if case.start else 1, 1 if case.start else 3) for name in names}
    for r in range(args.rounds):
        for name in names[r % len(names):] + names[:r % len(names)]:
            time.sleep(REST)
            runs = int(max(args.min_runs, min(200, 1e3 * args.seconds / expected[name])))
            idle = {n: e.pid for n, e in made.items() if n != name and e.pid}
            before, begun = {n: processor_seconds(p) for n, p in idle.items()}, time.perf_counter()
            expected[name] = made[name].times(0 if case.start else args.warm_up, runs)
            lasted = time.perf_counter() - begun
            for other, pid in idle.items():
                used = (processor_seconds(pid) - before[other]) / lasted
                if used > 0.05 and (other, name) not in busy:
                    busy.add((other, name))
                    log(f"{case.name}: warning: {other} used {100 * used:.0f} % of a core while {name} ran")
            medians[name].append(expected[name])
        log(f"{case.name}: round {r + 1} of {args.rounds}: "
            + ", ".join(f"{n} {m[-1]:.2f}" for n, m in medians.items()) + " ms")
    return medians


def run_case(case, args, folder):
    files = prepare(case, folder)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        made, failed = open_executors(case, args, files, scratch)
        try:
            errors = compare(case, made, files, scratch)
            medians = alternate(case, args, made)
        finally:
            for executor in made.values():
                executor.close()
    result = {"case": asdict(case), "failed": failed, "errors": errors, "executors": {}}
    for name, values in medians.items():
        result["executors"][name] = {"ms": statistics.median(values), "min_ms": min(values), "max_ms": max(values),
                                     "rounds": values, "note": made[name].note}
    peers = {n: e["ms"] for n, e in result["executors"].items() if n != "hrnet"}
    if peers and "hrnet" in medians:
        best = min(peers, key=peers.get)
        result["best_peer"] = best
        result["ratio"] = peers[best] / result["executors"]["hrnet"]["ms"]
    return result


def cells(result, peers):
    """A row of the table: case, hrnet, peers, ratio."""
    case, found = result["case"], result["executors"]
    size = f"{case['height']}x{case['width']}"
    what = f"{case['net']} {size}, batch {case['batch']}, threads {case['threads']}"
    what += f", {case['isa']}" if case["isa"] else ""
    what = f"process start to result: {what}" if case["start"] else what

    def cell(name):
        if name not in found:
            return "–"
        e = found[name]
        half = 50 * (e["max_ms"] - e["min_ms"]) / e["ms"]
        digits = 1 if e["ms"] >= 100 else 2
        return f"{e['ms']:.{digits}f} ± {half:.0f} %"

    ratio = f"{result['ratio']:.2f}" if "ratio" in result else "–"
    return [what, cell("hrnet"), *(cell(p) for p in peers), ratio]


def table(results, peers, markdown):
    head = ["ms per run", "hrnet", *peers, "best peer / hrnet"]
    rows = [head, *(cells(r, peers) for r in results)]
    if markdown:
        rows.insert(1, ["---", *["---:"] * (len(head) - 1)])
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join("  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))])
                     for row in rows)


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return "unknown processor"


def arguments():
    known = [c.name for c in CASES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hrnet", type=pathlib.Path, default=HERE.parents[1] / "target/release/hrnet",
                        help="the release binary (default: target/release/hrnet of this checkout)")
    parser.add_argument("--cases", default=",".join(known), help="of: " + ", ".join(known))
    parser.add_argument("--peers", default=",".join(PEERS), help="of: " + ", ".join(PEERS))
    parser.add_argument("--rounds", type=int, default=7, help="visits to each executor (default 7)")
    parser.add_argument("--seconds", type=float, default=1.5, help="timed runs of a visit, in seconds (default 1.5)")
    parser.add_argument("--min-runs", type=int, default=5, help="timed runs of a visit at least (default 5)")
    parser.add_argument("--warm-up", type=int, default=3, help="runs before the timed ones of a visit (default 3)")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "hrnet-peers",
                        help="folder for models and inputs, some hundred MB; kept for the next call")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print the table as markdown")
    form.add_argument("--json", action="store_true", help="print one line of JSON per case")
    args = parser.parse_args()
    args.cases, args.peers = args.cases.split(","), [p for p in args.peers.split(",") if p]
    for name, wanted, all_of in (("--cases", args.cases, known), ("--peers", args.peers, list(PEERS))):
        for unknown in set(wanted) - set(all_of):
            parser.error(f"{name}: '{unknown}' is none of {', '.join(all_of)}")
    if args.rounds < 1 or args.min_runs < 1:
        parser.error("--rounds and --min-runs must be at least 1")
    if not args.hrnet.is_file():
        parser.error(f"--hrnet {args.hrnet}: no such file; build it with: cargo build --release")
    args.hrnet = args.hrnet.resolve()
    return args


def main():
    args = arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    results, code = [], 0
    for case in (c for c in CASES if c.name in args.cases):
        try:
            result = run_case(case, args, args.work)
        except Failed as problem:
            log(f"{case.name}: {problem}")
            code = code or 1
            continue
        results.append(result)
        if args.json:
            print(json.dumps(result | {"cpu": processor(), "limit": LIMIT}), flush=True)
        if any(error > LIMIT for error in result["errors"].values()):
            code = 3
        # A peer that cannot be held to an instruction set is no failure.
        if any(case.isa is None or name == "hrnet" for name in result["failed"]):
            code = code or 1
    if results and not args.json:
        print(table(results, args.peers, args.markdown))
        notes = sorted({f"{n}: {e['note']}" for r in results for n, e in r["executors"].items()})
        print(f"\n{processor()}; {args.rounds} rounds; median of the medians ± half the range of the rounds; "
              + "; ".join(notes))
        for r in results:
            for name, why in r["failed"].items():
                print(f"{r['case']['name']}: {name}: {why.splitlines()[-1] if why else ''}")
    return code


if __name__ == "__main__":
    sys.exit(main())
