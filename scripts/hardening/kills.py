"""Runs that are killed at random moments, amid writing too, and folders that two processes want."""

import shutil
import threading
import time

from .inputs import RECIPES
from .runs import difference, finish, next_arguments, remove, went_on_from

# Most kills of one run before it may come to its end.
MOST_KILLS = 4
# How long a kill waits for the run to write something, in seconds.
PATIENCE = 5


def writes(run):
    """Whether a file of the run is being written, which has a temporary name."""
    for folder in [run, run / "checkpoints"]:
        try:
            if any(path.suffix == ".part" for path in folder.iterdir()):
                return True
        except FileNotFoundError:
            pass
    return False


def killer(seconds, run=None):
    """Kills a process after so many seconds; with `run` not before it writes a file."""

    def kill(running):
        running.ended.wait(seconds)
        until = time.monotonic() + PATIENCE
        while run and not running.ended.is_set() and time.monotonic() < until and not writes(run):
            pass
        running.kill()

    return kill


def killed_run(command, reference, run, draw, section):
    """One run, killed once or several times, and finished. Returns what is wrong, in words, or None."""
    resumed = set()
    for _ in range(draw.randint(1, MOST_KILLS)):
        amid_writing = draw.random() < 0.5
        # Rather early than late: the later kills of a run find less of it left.
        after = 0.9 * reference.seconds * draw.random() ** 2
        left = set(run.rglob("*.part"))
        end = command.run(next_arguments(reference, run), reference.root, killer(after, run if amid_writing else None))
        resumed |= went_on_from(end)
        if end.code == 0:
            section.count("ended before the kill")
            break
        if end.code != -9:
            return f"going on after a kill: {end.problem() or 'it was refused'}: {end.said()}"
        section.count("kills")
        if set(run.rglob("*.part")) - left:
            section.count("of them amid writing")
    return finish(command, reference, run, resumed)


def kills(command, references, root, draw, count, section):
    """`count` runs, of each recipe in turn."""
    for number in range(count):
        reference = references[list(RECIPES)[number % len(RECIPES)]]
        run = root / f"killed-{number}"
        problem = killed_run(command, reference, run, draw, section)
        section.count("runs")
        if problem:
            section.find(f"{reference.name}, run {number}: {problem}", run)
        remove(run)


def together(command, calls, folder):
    """Runs several calls at the same time, each begun so many seconds after the first. Returns their ends."""
    ends = [None] * len(calls)

    def run(place, wait, arguments, kill):
        time.sleep(wait)
        began = time.monotonic()
        end = command.run(arguments, folder, kill)
        ends[place] = (began, end)

    threads = [threading.Thread(target=run, args=[place, *call]) for place, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


def refused(loser, winner):
    """What is wrong with the end of a process that another kept from a folder, in words, or None."""
    if loser.code != 1:
        return f"the second process ended with exit code {loser.code}: {loser.said()}"
    if str(winner.pid) not in loser.errors:
        return f"the second process was refused without the number of the first, {winner.pid}: {loser.said()}"
    return None


def race(command, reference, run, draw, section):
    """Two processes begin one run, or go on with it, at nearly the same moment: one trains, the other is refused."""
    begin = ["train", reference.recipe, "--out", run]
    second = begin
    if draw.random() < 0.5:
        # A run that was begun, and that both go on with.
        command.run(begin, reference.root, killer(draw.uniform(0.3, 0.9) * reference.seconds))
        begin = second = next_arguments(reference, run)
    wait = draw.choice([0, draw.uniform(0, 0.02), draw.uniform(0, reference.seconds)])
    (_, first), (began, other) = together(command, [(0, begin, None), (wait, second, None)], reference.root)
    ends = [first, other]
    for end in ends:
        if end.code not in (0, 1, 2) or end.problem():
            return f"{end.problem()}: {end.said()}"
    resumed = set().union(*map(went_on_from, ends))
    if all(end.code != 0 for end in ends):
        return f"neither of two processes trained: {first.said()}; {other.said()}"
    trained = [end for end in ends if "instances, " in end.errors and "nothing is left to do" not in end.output]
    if len(trained) > 1:
        return "both of two processes trained in one folder"
    section.count("races")
    for loser, winner in [(first, other), (other, first)]:
        if loser.code == 0 or winner.code != 0:
            continue
        # Whoever comes when the other has finished is told that instead.
        if "holds a run already" in loser.errors or "finished" in loser.errors:
            section.count("of them after the end of the first")
        elif problem := refused(loser, winner):
            return problem
        else:
            section.count("of them refused by name")
    return difference(run, reference, resumed)


def takeover(command, reference, run, draw, section):
    """A process that is killed leaves its folder to the next, which says so."""
    begin = ["train", reference.recipe, "--out", run]
    end = command.run(begin, reference.root, killer(draw.uniform(0.3, 0.7) * reference.seconds))
    if end.code == 0 or not (run / "recipe.toml").exists():
        return None
    locked = any(path.name.endswith("lock") for path in run.iterdir())
    next_end = command.run(next_arguments(reference, run), reference.root)
    section.count("takeovers")
    if next_end.code != 0:
        return f"a run whose process was killed: {next_end.said()}"
    if locked and str(end.pid) not in next_end.errors:
        return (
            f"the lock of the killed process {end.pid} was taken over, and nothing said of it: {next_end.errors[:200]}"
        )
    return difference(run, reference, went_on_from(next_end))


def races(command, references, root, draw, count, section):
    """`count` folders that two processes want, at once or one after the other was killed."""
    for number in range(count):
        reference = references[list(RECIPES)[number % len(RECIPES)]]
        run = root / f"race-{number}"
        scene = takeover if number % 4 == 3 else race
        problem = scene(command, reference, run, draw, section)
        section.count("folders")
        if problem:
            section.find(f"{reference.name}, folder {number}: {problem}", run if run.exists() else None)
        shutil.rmtree(run, ignore_errors=True)
