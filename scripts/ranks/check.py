#!/usr/bin/env python3
"""Whether processes that mpiexec starts share a run as one would make it.

    check.py LOOKALIKE PLAIN FOLDER [--kills N]

LOOKALIKE is built with --features mpi, PLAIN without. Three methods come to the same bits with 1, 2 and 4 ranks. Runs whose rank is killed at a moment drawn at random end
at once and go on with another number of ranks to the same bits, N times. A signal of a scheduler saves and ends with 75. Graphs, scores and embeddings that ranks share are those
of one. A job whose network is cut ends by itself. What does not fit is refused by all, and nobody waits. Everything runs on this machine, a thread a rank.
"""

import argparse
import array
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("lookalike", type=pathlib.Path)
parser.add_argument("plain", type=pathlib.Path)
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--kills", type=int, default=5)
given = parser.parse_args()
folder = given.folder.resolve()
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir(parents=True)
# Nothing here takes longer; a job that does hangs.
LIMIT = 300
ENVIRONMENT = os.environ | {
    "RAYON_NUM_THREADS": "1",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
}

RECIPE = """seed = 0
[data]
name = "{data}"
{sections}
[sampler]
kind = "walk"
batch_size = 16
candidates = 60
neighbors = 8
uniform_epochs = 0
refresh_every = 10
[optimizer]
kind = "adam"
learning_rate = 0.002
[train]
shards = 4
epochs = 1
warmup_epochs = 0.0
max_steps = 40
checkpoint_every = 5
log_every = 5
loader_threads = 1
[evaluate]
after_training = false
"""
IMAGES = '[augment]\npreset = "simclr-cifar"\nsize = 12\n[encoder]\nkind = "small"\n'
RECIPES = {
    "simclr": ("glyphs", IMAGES + '[method]\nkind = "simclr"\n'),
    "moco": ("glyphs", IMAGES + '[method]\nkind = "moco"\nbatch_norm_groups = 2\n[negatives]\nsize = 256\n'),
    "pairs": ("wares", '[text]\nmax_length = 16\n[encoder]\nkind = "bert"\nlayers = 1\nwidth = 32\nheads = 2\n[method]\nkind = "pairs"\n'),
}


def started(ranks, arguments, program=given.lookalike, options=()):
    command = ["mpiexec", *options, "-n", str(ranks), program, *arguments] if ranks else [program, *arguments]
    return subprocess.Popen(
        list(map(str, command)), cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def ended(process):
    """The exit status and what was said; a job that hangs is a failure."""
    try:
        said, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        sys.exit(f"error: {process.args} hangs")
    return process.returncode, said


def trained(ranks, recipe, run, *more):
    status, said = ended(started(ranks, ["train", f"{recipe}.toml", "--out", run, *more]))
    if status != 0:
        sys.exit(f"error: {recipe} with {ranks} ranks ended with {status}:\n{said}")


def bits(run):
    """The tensors of the model and of the newest checkpoint."""
    checkpoint = max((folder / run / "checkpoints").glob("step-*"))
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / run / "model.safetensors", checkpoint)]


def check(holds, message):
    if not holds:
        sys.exit(f"error: {message}")


def workers(process):
    """The processes of the ranks that a launcher started."""
    found = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
    rows = [(int(pid), int(parent), name.strip()) for pid, parent, name in (line.split(None, 2) for line in found.splitlines())]
    own = {process.pid}
    while more := {pid for pid, parent, _ in rows if parent in own} - own:
        own |= more
    return sorted(pid for pid, _, name in rows if pid in own and name == given.lookalike.name[:15])


def same_bits():
    for name, (data, sections) in RECIPES.items():
        (folder / f"{name}.toml").write_text(RECIPE.format(data=data, sections=sections))
        seconds = []
        for ranks in (1, 2, 4):
            began = time.time()
            trained(ranks, name, f"{name}-{ranks}")
            seconds.append(f"{time.time() - began:.1f}")
            check(bits(f"{name}-{ranks}") == bits(f"{name}-1"), f"{name}: {ranks} ranks come to other bits than one")
        print(f"{name}: 1, 2 and 4 ranks, the same bits ({', '.join(seconds)} s)", flush=True)


def kills(count):
    draw = random.Random(0)
    began = time.time()
    trained(2, "simclr", "timed")
    whole, wanted, ends = time.time() - began, bits("simclr-1"), []
    for number in range(count):
        run = f"killed-{number}"
        ranks, others = draw.choice([(2, 4), (4, 2), (2, 1), (4, 1)])
        job = started(ranks, ["train", "simclr.toml", "--out", run])
        time.sleep(draw.uniform(0.1, 0.9) * whole)
        found = workers(job)
        if found and job.poll() is None:
            victim = draw.choice(found)
            os.kill(victim, signal.SIGKILL)
            began = time.time()
            ended(job)
            ends.append(time.time() - began)
            check(ends[-1] < 5, f"the job ended {ends[-1]:.1f} s after a rank was killed")
        else:
            ended(job)
        begun = (folder / run / "recipe.toml").exists()
        if not begun:
            shutil.rmtree(folder / run, ignore_errors=True)
        arguments = ["train", "--resume", run] if begun else ["train", "simclr.toml", "--out", run]
        status, said = ended(started(others, arguments))
        check(status == 0, f"{run}: going on with {others} ranks ended with {status}:\n{said}")
        check(bits(run) == wanted, f"{run}: killed with {ranks} ranks and gone on with {others}: other bits")
        shutil.rmtree(folder / run)
    check(len(ends) * 2 > count, f"only {len(ends)} of {count} runs were killed before they ended")
    print(f"{len(ends)} of {count} runs had a rank killed: the job ended within {max(ends):.2f} s, and all went on to the same bits", flush=True)


def signals():
    job = started(2, ["train", "simclr.toml", "--out", "signalled"])
    while not list((folder / "signalled" / "checkpoints").glob("step-*")) and job.poll() is None:
        time.sleep(0.05)
    for pid in workers(job)[:1]:
        os.kill(pid, signal.SIGUSR1)
    status, said = ended(job)
    check(status == 75, f"a scheduler's signal to one of two ranks ended the job with {status}, not 75:\n{said}")
    check(said.count("interrupted:") == 1, f"not one rank told it:\n{said}")
    status, said = ended(started(4, ["train", "--resume", "signalled"]))
    check(status == 0 and bits("signalled") == bits("simclr-1"), f"going on after a signal ended with {status}, or in other bits:\n{said}")
    print("a scheduler's signal to one rank: all save and end with 75, and go on to the same bits", flush=True)


def refused(ranks, arguments, *words, program=given.lookalike, times=1, wanted=2):
    began = time.time()
    status, said = ended(started(ranks, arguments, program))
    check(status == wanted, f"{arguments} with {ranks} ranks ended with {status}, not {wanted}:\n{said}")
    for word in words:
        check(word in said, f"{arguments} with {ranks} ranks does not say `{word}`:\n{said}")
    if times:
        check(said.count("error:") == times, f"{said.count('error:')} errors are told, not {times}:\n{said}")
    check(time.time() - began < 60, f"{arguments} took {time.time() - began:.0f} s to be refused")


def bad_input():
    new = ["train", "simclr.toml", "--out", "refused"]
    refused(3, new, "train.shards: is 4, and 3 processes share the run")
    refused(4, [*new, "--set", "train.shards=2"], "a power of two of them, at most 2")
    refused(2, [*new, "--set", "train.shards=3"], "power of two")
    refused(2, [*new, "--set", "sampler.batch_size=6"], "does not divide sampler.batch_size, 6")
    refused(2, ["train", "simclr.toml", "--check"], "--check goes with one process")
    refused(2, ["train", "nowhere.toml", "--out", "refused"], "nowhere.toml", wanted=1)
    refused(2, new, "built without MPI", program=given.plain, times=2)
    shutil.rmtree(folder / "refused", ignore_errors=True)

    # Ranks that differ: each is a command of its own to the launcher.
    def two(first, second):
        command = ["mpiexec", "-n", "1", *map(str, first), ":", "-n", "1", *map(str, second)]
        process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        status, said = ended(process)
        shutil.rmtree(folder / "refused", ignore_errors=True)
        check(status != 0, f"two different ranks went on:\n{said}")
        return said

    own = [given.lookalike, *new]
    said = two(own, [*own, "--set", "optimizer.learning_rate=0.1"])
    check("rank 1 has another recipe than rank 0" in said, f"another recipe is not told:\n{said}")
    other = folder / "other-program"
    other.write_bytes(given.lookalike.read_bytes() + b"another")
    other.chmod(0o755)
    said = two(own, [other, *new])
    check("rank 1 has another program than rank 0" in said, f"another program is not told:\n{said}")
    said = two(own, [*own, "--data-root", folder / "nothing", "--set", "data.name=cifar10"])
    check("rank 1: error:" in said and "nothing" in said, f"a rank without the data is not told:\n{said}")

    status, said = ended(started(0, ["train", "simclr.toml", "--out", "alone"]))
    check(status == 0 and "started without mpiexec: this process runs alone" in said, f"without a launcher: {status}\n{said}")
    check(bits("alone") == bits("simclr-1"), "without a launcher: other bits")
    print("what does not fit is refused by all at once, and without a launcher a process runs alone", flush=True)


def lines(path, *columns):
    """Writes random numbers as a .npy."""
    draw = random.Random(1)
    values = array.array("f", (draw.gauss(0, 1) for _ in range(columns[0] * columns[1])))
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {columns}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + values.tobytes())


def shared_graphs():
    rows, columns, neighbors = 6000, 24, 20
    lines(folder / "rows.npy", rows, columns)
    plans, sizes = set(), (0, 1, 2, 3, 4)
    for ranks in sizes:
        out, report = folder / f"plan-{ranks}.npy", folder / f"plan-{ranks}.json"
        arguments = ["sample", "rows.npy", "--out", out, "--report", report, "--candidates", "400", "--neighbors", neighbors, "--epochs", "2", "--batch-size", "32"]
        status, said = ended(started(ranks, arguments, given.plain if ranks == 0 else given.lookalike))
        check(status == 0, f"sampling with {ranks} ranks ended with {status}:\n{said}")
        plans.add(out.read_bytes())
        found = json.loads(report.read_text()).get("ranks", [])
        check(len(found) == (ranks if ranks > 1 else 0), f"{len(found)} of {ranks} ranks tell what they received")
        total = lambda name: sum(rank[name] for rank in found)
        if ranks > 1:
            # For each of two graphs every row has its place once, and all edges go to all others; each rank reads one part of the rows and needs another.
            width, builds = 4 * columns, 2
            check(total("edges") == builds * (ranks - 1) * rows * neighbors * 8, f"{ranks} ranks received {total('edges')} bytes of edges")
            travelled = total("permuted") / (builds * rows * width * (ranks - 1) / ranks)
            check(abs(travelled - 1) < 0.05, f"{ranks} ranks received {travelled:.2f} of the rows that change their place")
            check(total("held") >= rows * width, f"{ranks} ranks held {total('held')} bytes of rows")
    check(len(plans) == 1, "plans differ with the number of ranks")
    print(f"graphs of {rows} rows: {sizes[1:]} ranks and the program without MPI plan the same", flush=True)


def shared_evaluation():
    found = set()
    for ranks in (1, 2, 4):
        scores, rows = f"scores-{ranks}.json", f"embedded-{ranks}.npy"
        for arguments in (["evaluate", "simclr-1", "--out", scores, "--no-probe", "--beside", "nothing"], ["embed", "simclr-1", "--split", "test", "--out", rows]):
            status, said = ended(started(ranks, arguments))
            check(status == 0, f"{arguments} with {ranks} ranks ended with {status}:\n{said}")
        found.add(((folder / scores).read_bytes(), (folder / rows).read_bytes(), (folder / rows).with_suffix(".csv").read_bytes()))
    check(len(found) == 1, "scores or embeddings differ with the number of ranks")
    print("scores and embeddings by 1, 2 and 4 ranks are the same", flush=True)


# Two machines are two network namespaces of this one; hydra starts its processes by this in the place of ssh.
AGENT = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
case $1 in 10.213.0.1) space=lookalike-a;; *) space=lookalike-b;; esac
shift
exec ip netns exec $space sh -c "$*"
"""


def cut_link():
    def ip(*arguments):
        return subprocess.run(["ip", *arguments], capture_output=True, text=True).returncode == 0

    spaces = ["lookalike-a", "lookalike-b"]
    for space in spaces:
        ip("netns", "del", space)
    if "MPICH" not in subprocess.run(["mpiexec", "--version"], capture_output=True, text=True).stdout.upper().replace("HYDRA", "MPICH"):
        print("left out: a link is cut with MPICH alone", flush=True)
        return
    if not all(ip("netns", "add", space) for space in spaces):
        print("left out: a link that is cut, for network namespaces cannot be made here", flush=True)
        return
    try:
        made = ip("link", "add", "lk-a", "netns", spaces[0], "type", "veth", "peer", "name", "lk-b", "netns", spaces[1])
        for number, (space, end) in enumerate(zip(spaces, ("lk-a", "lk-b")), 1):
            made &= ip("-n", space, "addr", "add", f"10.213.0.{number}/24", "dev", end)
            made &= all(ip("-n", space, "link", "set", device, "up") for device in ("lo", end))
        check(made, "two namespaces could not be linked")
        # Devices are not there for MPI at once.
        time.sleep(1)
        agent = folder / "agent"
        agent.write_text(AGENT)
        agent.chmod(0o755)
        hosts = ["-launcher", "ssh", "-launcher-exec", agent, "-hosts", "10.213.0.1,10.213.0.2", "-ppn", "1"]
        longer = ["--set", "train.max_steps=300"]
        arguments = ["train", "simclr.toml", "--out", "cut", *longer]
        command = ["ip", "netns", "exec", spaces[0], "mpiexec", *hosts, "-n", "2", given.lookalike, *arguments]
        # By the network, though memory is shared.
        environment = ENVIRONMENT | {"LOOKALIKE_PATIENCE": "2", "UCX_TLS": "tcp,self", "FI_PROVIDER": "tcp"}
        job = subprocess.Popen(
            list(map(str, command)), cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        while not list((folder / "cut" / "checkpoints").glob("step-*")) and job.poll() is None:
            time.sleep(0.05)
        if job.poll() is not None:
            check(False, f"the job ended before its link was cut:\n{job.communicate()[0]}")
        check(ip("-n", spaces[1], "link", "set", "lk-b", "down"), "the link cannot be cut")
        began = time.time()
        status, said = ended(job)
        took = time.time() - began
        check(status in (137, -9, 75) and took < 30, f"a job whose link was cut ended with {status} after {took:.0f} s:\n{said}")
        # The other machine's processes end by themselves.
        time.sleep(5)
        left = subprocess.run(["pgrep", "-f", f"^{given.lookalike} train simclr.toml --out cut"], capture_output=True, text=True).stdout
        check(not left, f"processes go on whose job has ended: {left}")
        check(" waited " in said and (" s for rank " in said or " s for all others in " in said), f"nobody tells for what it waited:\n{said}")
        check("is process" in said, f"nobody tells which rank is which process:\n{said}")
    finally:
        for space in spaces:
            ip("netns", "del", space)
    status, said = ended(started(2, ["train", "--resume", "cut"]))
    trained(1, "simclr", "not-cut", *longer)
    check(status == 0 and bits("cut") == bits("not-cut"), f"going on after a cut link ended with {status}, or in other bits:\n{said}")
    print(f"two machines whose link is cut: the job ended by itself after {took:.1f} s", flush=True)


same_bits()
shared_graphs()
shared_evaluation()
cut_link()
kills(given.kills)
signals()
bad_input()
