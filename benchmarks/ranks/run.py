#!/usr/bin/env python3
"""Several processes beside one on this machine, in turns, with as many threads in all; prints tables.

    run.py LOOKALIKE FOLDER [--rounds 3] [--rows 1000000] [--only training|graph]

LOOKALIKE is built with --features mpi. Trains the small encoder and ResNet-18 by one process of two threads and by two of one, and builds the graph of random rows of 128 numbers by
both. What was sent is what the program counts. At last what this comes to on eight machines, by arithmetic.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess

COLUMNS, NEIGHBORS = 128, 100
RECIPE = """seed = 0
[data]
name = "glyphs"
[augment]
preset = "simclr-cifar"
size = {size}
[encoder]
kind = "{encoder}"
[method]
kind = "simclr"
[sampler]
kind = "uniform"
batch_size = {batch}
[optimizer]
kind = "sgd"
learning_rate = 0.05
[train]
shards = 2
epochs = 1
max_steps = {steps}
log_every = 1
checkpoint_every = 1000000
loader_threads = 1
[evaluate]
after_training = false
"""
# Size of images, batch, steps, of which the first tenth is left out.
ENCODERS = {"small": (24, 256, 30), "resnet18": (32, 64, 8)}
GIGABITS = (10, 100)
NODES = 8

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("lookalike", type=pathlib.Path)
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--rows", type=int, default=1_000_000)
parser.add_argument("--only", choices=["training", "graph"])
given = parser.parse_args()
folder = given.folder.resolve()
folder.mkdir(parents=True, exist_ok=True)


def run(ranks, *arguments):
    """Runs the command by so many ranks, which have two threads together, and gives what it told."""
    launcher = ["mpiexec", "-n", str(ranks)] if ranks > 1 else []
    environment = os.environ | {"RAYON_NUM_THREADS": str(2 // ranks), "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run([*launcher, str(given.lookalike.resolve()), *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{arguments} by {ranks} ranks ended with {done.returncode}:\n{done.stderr}")
    return done.stderr


def exchanged(told):
    return int(re.search(r"sent (\d+) bytes of gradients", told).group(1))


def trained(encoder, ranks, steps):
    shutil.rmtree(folder / "run", ignore_errors=True)
    told = run(ranks, "train", f"{encoder}.toml", "--no-report", "--out", "run", "--set", f"train.max_steps={steps}")
    events = [json.loads(line) for line in (folder / "run/events.jsonl").read_text().splitlines()]
    times = [event["time"] for event in events if event["kind"] == "step"]
    return told, [after - before for before, after in zip(times, times[1:])][max(1, steps // 10) :]


def training():
    found = {}
    print("| encoder | batch | 1 process × 2 threads, instances/s | 2 × 1 | ratio | bytes of gradients and statistics that a rank sends in a step |\n|---|---|---|---|---|---|")
    for encoder, (size, batch, steps) in ENCODERS.items():
        (folder / f"{encoder}.toml").write_text(RECIPE.format(encoder=encoder, size=size, batch=batch, steps=steps))
        seconds = {1: [], 2: []}
        for number in range(given.rounds):
            for ranks in (1, 2) if number % 2 == 0 else (2, 1):
                told, times = trained(encoder, ranks, steps)
                seconds[ranks] += times
        one, two = (statistics.median(seconds[ranks]) for ranks in (1, 2))
        # What the beginning takes is in both.
        fewer = exchanged(trained(encoder, 2, steps // 2)[0])
        bytes_ = (exchanged(trained(encoder, 2, steps)[0]) - fewer) / (steps - steps // 2)
        found[encoder] = (one, bytes_)
        print(f"| {encoder}, {size} px | {batch} | {batch / one:.1f} | {batch / two:.1f} | {one / two:.2f} | {bytes_:,.0f} |", flush=True)
    return found


def graph():
    rows = folder / "rows.npy"
    length = given.rows * COLUMNS
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({given.rows}, {COLUMNS}), }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    # Numbers from ±½ to ±2.
    signs = bytes(0x3F if byte < 128 else 0xBF for byte in range(256))
    with rows.open("wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
        piece = 1 << 22
        for first in range(0, length, piece):
            count = min(piece, length - first)
            values = bytearray(os.urandom(4 * count))
            values[3::4] = bytes(values[3::4]).translate(signs)
            file.write(values)
    seconds, counted = {1: [], 2: []}, []
    for number in range(given.rounds):
        for ranks in (1, 2) if number % 2 == 0 else (2, 1):
            told = run(ranks, "sample", "rows.npy", "--out", "plan.npy", "--report", "plan.json", "--batch-size", "256", "--neighbors", NEIGHBORS)
            seconds[ranks].append(float(re.search(r"built the graphs? in ([\d.]+) s", told).group(1)))
            counted = json.loads((folder / "plan.json").read_text()).get("ranks", counted)
    one, two = (statistics.median(seconds[ranks]) for ranks in (1, 2))
    print(f"\n{given.rows:,} × {COLUMNS}, M 1000, K {NEIGHBORS}: 1 process × 2 threads {one:.2f} s {seconds[1]}, 2 × 1 {two:.2f} s {seconds[2]}, ratio {two / one:.2f}")
    width = 4 * COLUMNS
    print("\n| a rank of 2 | counted, MB | by arithmetic |\n|---|---|---|")
    arithmetic = {
        "permuted": ("N/P · (P − 1)/P rows", given.rows / 4 * width),
        "halo": ("at most (1/16 + 1/32) N rows", given.rows * 3 / 32 * width),
        "held": ("N/P rows and the halo", given.rows / 2 * width + max(rank["halo"] for rank in counted)),
        "edges": ("N (P − 1)/P · K · 8 bytes", given.rows / 2 * NEIGHBORS * 8),
    }
    for name, (words, value) in arithmetic.items():
        print(f"| {name} | {', '.join(f'{rank[name] / 1e6:.1f}' for rank in counted)} | {words}: {value / 1e6:.1f} |")
    return one


def on_many(encoders, graph_seconds):
    """What a step and a graph would take on NODES machines like this one."""
    print(f"\nBy arithmetic, {NODES} machines, each with the batch of one process above, so {NODES} times the batch, or the rows of one graph above:\n")
    print("| | alone, s | " + " | ".join(f"sent at {rate} Gb/s, s" for rate in GIGABITS) + " |\n|---|---|" + "---|" * len(GIGABITS))
    for encoder, (seconds, bytes_) in encoders.items():
        # Two ranks exchange once, eight three times.
        times = [3 * bytes_ * 8 / (rate * 1e9) for rate in GIGABITS]
        print(f"| a step of {encoder} | {seconds:.3f} | " + " | ".join(f"{time:.4f}" for time in times) + " |")
    if graph_seconds is None:
        return
    width = 4 * COLUMNS
    rows = given.rows * NODES
    received = rows / NODES * (NODES - 1) / NODES * width + rows * 3 / 32 * width + rows * (NODES - 1) / NODES * NEIGHBORS * 8
    times = [received * 8 / (rate * 1e9) for rate in GIGABITS]
    print(f"| the graph of {rows:,} rows | {graph_seconds:.2f} | " + " | ".join(f"{time:.2f}" for time in times) + " |")


def checkpoints():
    print("\nA checkpoint is written by the first rank alone, and the others wait for it: parameters and the optimiser's state, at the rate of the disk.")


on_many(training() if given.only != "graph" else {}, graph() if given.only != "training" else None)
checkpoints()
