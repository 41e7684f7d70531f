"""Runs whose disk is full at every write in turn, and what is left of them."""

import contextlib
import os
import re
import shutil
import subprocess

from .inputs import RECIPES
from .runs import RESULTS, finish, next_arguments, remove

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
        return None
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


def after_the_end(command, reference, disk, draw, share, section):
    """Commands on a finished run whose disk is full: what they replace stays, what they write is not there by half."""
    export = "encoder" if reference.name in ("lines", "pairs") else "encoder.safetensors"
    for free in sizes(max(4, pages(reference.run) // 4), share, draw):
        for arguments, written in [(["evaluate"], None), (["embed"], "vectors.npy"), (["export"], export)]:
            size = sum(-(-path.stat().st_size // PAGE) for path in reference.run.rglob("*") if path.is_file()) + 4
            with disk.mounted(f"size={(size + free) * PAGE},nr_inodes=1000") as folder:
                run = folder / "run"
                shutil.copytree(reference.run, run)
                before = kept(run)
                line = [*arguments, run]
                if written:
                    line += ["--out", folder / written] if arguments == ["embed"] else [folder / written]
                end = command.run(line, reference.root)
                section.count("commands")
                problem = refusal(end, folder) or (lost(before, kept(run)) if end.code else None)
                if not problem and end.code == 1 and written and (folder / written).is_file():
                    problem = f"{written} is there, though it could not be written whole"
                if problem:
                    section.find(f"{arguments[0]} of {reference.name}, {free} pages free: {problem}", folder)


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
