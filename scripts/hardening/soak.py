"""A tiny run of very many steps: whether its memory and open files stay what they were."""

import os
import statistics
import tempfile
import threading
import time

from .command import MEGABYTE, Running
from .inputs import RECIPES, make_many_pairs

# Rows of the pairs, and steps of an epoch.
ROWS, STEPS_OF_EPOCH = 4096, 256
# Most growth of resident memory from the first tenth of the samples to the last, in bytes.
MOST_GROWTH = 8 * MEGABYTE
# Seconds between samples.
PAUSE = 0.5


def sample(pid):
    """Resident memory in bytes, and open files; None once it has ended."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return resident, len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError, PermissionError, IndexError):
        return None


def mean(values):
    return sum(values) / len(values)


def recipe(steps):
    """The pairs' recipe with many rows, so that an epoch is long, and with few events."""
    text = RECIPES["pairs"].replace("pairs.csv", "many.csv")
    epochs = -(-steps // STEPS_OF_EPOCH)
    for old, new in [
        ("epochs = 4", f"epochs = {epochs}\nmax_steps = {steps}"),
        ("checkpoint_every = 1", "checkpoint_every = 10000"),
        ("log_every = 1", "log_every = 1000"),
        ("refresh_every = 3", f"refresh_every = {STEPS_OF_EPOCH}"),
    ]:
        assert old in text, old
        text = text.replace(old, new)
    return text


def watch(running, samples):
    while not running.ended.wait(PAUSE):
        if found := sample(running.pid):
            samples.append(found)


def soak(command, root, steps, section):
    """Trains for so many steps. The page at the end, which embeds all, is left out: what steps keep is looked for."""
    make_many_pairs(root / "many.csv", ROWS)
    (root / "soak.toml").write_text(recipe(steps))
    samples, began = [], time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        running = Running(command.start(["train", "soak.toml", "--no-report", "--out", root / "soak"], root, out, errors))
        watcher = threading.Thread(target=watch, args=[running, samples])
        watcher.start()
        try:
            code, _ = running.wait()
        except BaseException:
            running.kill()
            running.wait()
            raise
        watcher.join()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()[-300:]
    section.count("steps", steps)
    section.count("samples", len(samples))
    if code != 0:
        return section.find(f"the run ended with exit code {code}: {said}", root / "soak")
    if len(samples) < 20:
        return section.find(f"the run took {len(samples)} samples, too few to judge by: give it more steps")
    tenth = len(samples) // 10
    # The first samples are of the start, before anything is allocated.
    first, last = samples[tenth // 2 :][:tenth], samples[-tenth:]
    growth = mean([resident for resident, _ in last]) - mean([resident for resident, _ in first])
    # A file that is just being written is open for a moment; one that is never closed is open from then on.
    files = [statistics.median_high(count for _, count in part) for part in [first, last]]
    section.count("MiB at first", round(mean([resident for resident, _ in first]) / MEGABYTE, 1))
    section.count("MiB at last", round(mean([resident for resident, _ in last]) / MEGABYTE, 1))
    section.count("MiB at most", round(max(resident for resident, _ in samples) / MEGABYTE, 1))
    section.count("open files at first", files[0])
    section.count("open files at last", files[1])
    section.count("steps a second", round(steps / (time.monotonic() - began)))
    if growth > MOST_GROWTH:
        section.find(f"resident memory grew by {growth / MEGABYTE:.1f} MiB over the run")
    if files[1] > files[0]:
        section.find(f"the run had {files[0]} open files at first and {files[1]} at last")
    return None
