"""Seconds a step of every method by two binaries, in turn: shows whether a change made any of them slower.

python methods.py BEFORE AFTER DATA_FOLDER [--rounds 9] [--steps 20] [ROW …]

A row is a recipe with small images (where it has any), so that what surrounds the network weighs more than in practice. Of a run the
median of its steps counts after the first five, of a row the median of its rounds. Prints one line a row.
"""

import argparse
import json
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = ["sampler.batch_size=32", "augment.size=16"]
ROWS = {
    "simclr": ("cifar10-simclr", [*SMALL, "optimizer.kind=sgd"]),
    "simclr-lars": ("cifar10-simclr", [*SMALL, "optimizer.kind=lars"]),
    "direct-clr": ("direct-clr-cifar10", SMALL),
    "end-to-end": ("end-to-end-cifar10", SMALL),
    "hcl": ("hcl-cifar10", SMALL),
    "memory-bank": ("memory-bank-cifar10", SMALL),
    "moco": ("moco-v2-cifar10", SMALL),
    "mochi": ("mochi-cifar10", [*SMALL, "negatives.mixing.warm_up=0"]),
    "moco-v3": ("moco-v3-cifar10", SMALL),
    "supervised": ("supervised-cifar10", SMALL),
    "graphcl": ("graphcl-mutag", []),
    "mvgrl": ("mvgrl-mutag", []),
    "mvgrl-nodes": ("mvgrl-cora", []),
}


def seconds(binary: str, row: str, data: str, steps: int) -> float:
    """The median of a run's steps; the run is ended when it has made enough of them."""
    recipe, settings = ROWS[row]
    settings = [*settings, "train.log_every=1", "sampler.kind=uniform", "train.epochs=100000", "train.warmup_epochs=0"]
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        command = [binary, "train", f"{ROOT}/recipes/{recipe}.toml", "--data-root", data, "--out", str(run)]
        for setting in settings:
            command += ["--set", setting]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while True:
            time.sleep(0.05)
            events = run / "events.jsonl"
            lines = events.read_text().split("\n")[:-1] if events.exists() else []
            found = [event for event in map(json.loads, lines) if event["kind"] == "step"]
            if len(found) >= steps:
                break
            if process.poll() is not None:
                sys.exit(f"{row}: {process.stderr.read()}")
        process.send_signal(signal.SIGKILL)
        process.wait()
    return statistics.median(1.0 / event["instances_per_second"] for event in found[5:steps])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("data")
    parser.add_argument("rows", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    print("| row | before, ms an instance | after | after / before |\n|---|---|---|---|")
    for row in arguments.rows or ROWS:
        before, after = [], []
        for _ in range(arguments.rounds):
            before.append(seconds(arguments.before, row, arguments.data, arguments.steps))
            after.append(seconds(arguments.after, row, arguments.data, arguments.steps))
        first, second = statistics.median(before), statistics.median(after)
        print(f"| {row} | {1e3 * first:.3f} | {1e3 * second:.3f} | {second / first:.3f} |", flush=True)


if __name__ == "__main__":
    main()
