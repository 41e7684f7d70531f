"""Runs whose disk is full at every write in turn, and what is left of them."""

import contextlib
import os
import re
import shutil
import subprocess

from .inputs import RECIPES
from .runs import RESULTS, difference, finish, next_arguments, remove

PAGE = os.sysconf("SC_PAGE_SIZE")
# Sizes that are tried of one kind of limit: a run writes some fifty files and lines, each of which one should meet.
MOST_SIZES = 100
# Enough for any of the tiny runs.
ROOMY = 256 << 20


class SmallDisk:
    """A file system in memory whose size can be chosen."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()

    @contextlib.contextmanager
    def mounted(self, options):
        mount = ["mount", "-t", "tmpfs", "-o", options, "torture", self.folder]
        subprocess.run(mount, check=True, capture_output=True)
        try:
            yield self.folder
        finally:
            subprocess.run(["umount", self.folder], check=True, capture_output=True)

    def enlarge(self):
        options = f"remount,size={ROOMY},nr_inodes=1000"
        subprocess.run(["mount", "-o", options, self.folder], check=True, capture_output=True)

    def works(self):
        try:
            with self.mounted(f"size={ROOMY}"):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


def kept(run):
    """What must not be lost: the newest checkpoint, by its step, and the results."""
    steps = [int(step) for path in run.glob("checkpoints/step-*") for step in re.findall(r"step-(\d+)\.", path.name)]
    results = {file: (run / file).read_bytes() for file in RESULTS if (run / file).is_file()}
    return max(steps, default=0), results


def lost(before, after):
    """What was there before and is not any more, in words, or None."""
    if after[0] < before[0]:
        return f"its newest checkpoint was of step {before[0]}, and is of step {after[0]}"
    gone = [file for file, content in before[1].items() if after[1].get(file) != content]
    return f"{gone[0]} was lost or changed" if gone else None


def refusal(end, place):
    """What is wrong with how a command ended for which there was no space, in words, or None."""
    if problem := end.problem(codes=(0, 1)):
        return f"{problem}: {end.said()}"
    if end.code == 1 and str(place) not in end.errors:
        return f"its message names no file below {place}: {end.said()}"
    return None


def starved(command, reference, run, section, enlarge, file_bytes=None):
    """One run without space, twice, and then with it. Returns what is wrong, in words, or None."""
    place = run.parent
    first = command.run(next_arguments(reference, run), reference.root, file_bytes=file_bytes)
    section.count("runs")
    if problem := refusal(first, place):
        return problem
    if first.code == 0:
        return difference(run, reference, set())
    section.count("writes that failed")
    before = kept(run)
    again = command.run(next_arguments(reference, run), reference.root, file_bytes=file_bytes)
    if problem := refusal(again, place) or lost(before, kept(run)):
        return f"the second time: {problem}"
    enlarge()
    return finish(command, reference, run, set())


def sizes(most, share, draw):
    """Numbers from 0 to `most`: all of them where they are few, otherwise some from each part, and of these a share."""
    count = max(1, round(min(most + 1, MOST_SIZES) * share))
    edges = [place * (most + 1) // count for place in range(count + 1)]
    return [draw.randrange(low, high) for low, high in zip(edges, edges[1:])]


def pages(run):
    """At most so many pages a run has at one time: its own, and of a checkpoint and a file that are being written."""
    needed = [-(-path.stat().st_size // PAGE) for path in run.rglob("*") if path.is_file()]
    return sum(needed) + 2 * max(needed) + 4


def small_disks(command, reference, disk, draw, share, section):
    """A run on disks of every number of pages, and of every number of files."""
    disks = [f"size={(number + 1) * PAGE},nr_inodes=1000" for number in sizes(pages(reference.run), share, draw)]
    disks += [f"size={ROOMY},nr_inodes={number + 2}" for number in sizes(len(reference.files) + 3, share, draw)]
    for options in disks:
        with disk.mounted(options) as folder:
            run = folder / "run"
            problem = starved(command, reference, run, section, disk.enlarge)
            if problem:
                section.find(f"{reference.name} on a disk of {options}: {problem}", run if run.exists() else None)


def short_files(command, reference, root, draw, share, section):
    """A run none of whose files may be longer than so many kilobytes, for every number of them."""
    longest = max(path.stat().st_size for path in reference.run.rglob("*") if path.is_file())
    place = root / "short"
    for kilobytes in sizes(longest // 1024 + 1, share, draw):
        place.mkdir()
        problem = starved(command, reference, place / "run", section, lambda: None, 1024 * kilobytes)
        if problem:
            section.find(f"{reference.name} with files of at most {kilobytes} KiB: {problem}", place)
        remove(place)


def pages_of(path):
    return -(-path.stat().st_size // PAGE)


def below(folder):
    """Every file and folder below a folder, files with their bytes."""
    return {str(path.relative_to(folder)): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def fill(folder, free):
    """Leaves so many pages of a disk free."""
    disk = os.statvfs(folder)
    (folder / "filler").write_bytes(bytes(disk.f_bavail * disk.f_frsize - free * PAGE))
    left = os.statvfs(folder)
    if left.f_bavail * left.f_frsize != free * PAGE:
        raise SystemExit(f"error: {free} pages were to be left free on {folder}, and {left.f_bavail} are")


def changed(before, after):
    """What is not as it was, in words, or None."""
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            return f"{name} was left"
        if before[name] != after.get(name):
            return f"{name} was lost or changed"
    return None


def written_pages(command, reference, disk, line):
    """How many pages a command writes that has space, which must end well: those of files that were not there, or are others."""
    with disk.mounted(f"size={ROOMY}") as folder:
        shutil.copytree(reference.run, folder / "run")
        before = {path: path.stat().st_ino for path in folder.rglob("*")}
        end = command.run(line(folder), reference.root)
        if end.code != 0:
            raise SystemExit(f"error: {line(folder)[0]} of {reference.name} failed with space: {end.said()}")
        new = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_ino != before.get(path)]
        return sum(map(pages_of, new))


def after_the_end(command, reference, disk, draw, share, section):
    """Commands on a finished run whose disk has less space than they write: they end so, and nothing is other than it was."""
    export = "encoder" if reference.name in ("lines", "pairs") else "encoder.safetensors"
    lines = [
        lambda folder: ["evaluate", folder / "run"],
        lambda folder: ["embed", folder / "run", "--out", folder / "vectors.npy"],
        lambda folder: ["export", folder / "run", folder / export],
    ]
    for line in lines:
        written = written_pages(command, reference, disk, line)
        needed = sum(pages_of(path) for path in reference.run.rglob("*") if path.is_file())
        for free in sizes(written - 1, share, draw):
            with disk.mounted(f"size={(needed + free + 4) * PAGE},nr_inodes=1000") as folder:
                shutil.copytree(reference.run, folder / "run")
                fill(folder, free)
                before = below(folder)
                end = command.run(line(folder), reference.root)
                section.count("commands without space")
                problem = refusal(end, folder) or changed(before, below(folder))
                if end.code == 0:
                    problem = f"it ended with exit code 0, and writes {written} pages"
                if problem:
                    section.find(f"{line(folder)[0]} of {reference.name}, {free} pages free: {problem}", folder)


def full(command, references, root, draw, share, section):
    """All of it, for each recipe."""
    disk = SmallDisk(root / "disk")
    has_disk = disk.works()
    if not has_disk:
        print("disk: no file system can be mounted here, which takes root: files are limited instead, disks are not")
    for name in RECIPES:
        short_files(command, references[name], root, draw, share, section)
        if has_disk:
            small_disks(command, references[name], disk, draw, share, section)
            after_the_end(command, references[name], disk, draw, share, section)
