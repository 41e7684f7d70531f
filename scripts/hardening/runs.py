"""Tiny runs, and whether one that was disturbed came to what an undisturbed one came to."""

import json
import re
import shutil

# Of events: when something happened, and how fast it went.
CLOCKS = {"time", "build_seconds", "instances_per_second", "loader_wait_share", "builds"}
# Results that are compared byte by byte.
RESULTS = ["model.safetensors", "evaluation.json"]
# The page of a run, and what TensorBoard shows beside it: they tell times, and a run is whole without them.
PAGES = ("report.html", "tensorboard/")


class Reference:
    """A run of a recipe that nothing disturbs."""

    def __init__(self, command, root, name):
        self.name, self.root, self.recipe = name, root, f"{name}.toml"
        self.run = root / f"reference-{name}"
        end = command.run(["train", self.recipe, "--out", self.run], root)
        if end.code != 0:
            raise SystemExit(f"error: the undisturbed run of {name} failed: {end.said()}")
        self.seconds = end.seconds
        self.results = {file: (self.run / file).read_bytes() for file in RESULTS}
        self.events = events(self.run)
        self.files = files(self.run)


def files(run):
    """The names of all files of a run, below its folder, but for its pages."""
    found = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith(PAGES) or name.endswith(".part")}


def without_clocks(value):
    if isinstance(value, dict):
        return {key: without_clocks(item) for key, item in value.items() if key not in CLOCKS}
    return [without_clocks(item) for item in value] if isinstance(value, list) else value


def events(run):
    """All events, without times and how often the run was gone on with. A line that is none makes them differ from all others."""
    kept = []
    for line in (run / "events.jsonl").read_text().splitlines():
        try:
            kept.append(without_clocks(json.loads(line)))
        except ValueError:
            kept.append({"torn": line})
    return [event for event in kept if event.get("kind") != "machine"]


def first_difference(found, wanted, resumed):
    """Where the events differ from those of the undisturbed run; None where they do not.

    A run that goes on amid the batches between two refreshes plans the rest of them again, and says so: one `plan`
    right behind the checkpoint that it went on from is no difference.
    """
    behind = 0
    for place, event in enumerate(found):
        other = wanted[place - behind] if place - behind < len(wanted) else None
        if event == other:
            continue
        before = found[place - 1] if place else {}
        again = event.get("kind") == "plan" and before.get("kind") == "checkpoint" and event.get("step") in resumed
        if not again:
            return f"event {place} is {str(event)[:200]}, in the undisturbed run {str(other)[:200]}"
        behind += 1
    missing = len(wanted) - (len(found) - behind)
    return f"{missing} events are missing at the end" if missing else None


def difference(run, reference, resumed):
    """What of a finished run differs from the undisturbed one, in words; None where nothing does."""
    for file, wanted in reference.results.items():
        if not (run / file).is_file():
            return f"{file} is missing"
        if (run / file).read_bytes() != wanted:
            return f"{file} differs from that of the undisturbed run"
    extra, missing = files(run) - reference.files, reference.files - files(run)
    if extra or missing:
        return f"files differ: {sorted(extra)} were left, {sorted(missing)} are missing"
    return first_difference(events(run), reference.events, resumed)


def went_on_from(end):
    """The step that a run says to go on from, as a set of none or one."""
    return {int(step) for step in re.findall(r"going on from step (\d+)", end.errors)}


def next_arguments(reference, run):
    """What goes on with a run, or begins it where it has not begun."""
    if (run / "recipe.toml").exists():
        return ["train", "--resume", run]
    return ["train", reference.recipe, "--out", run]


def finish(command, reference, run, resumed, seconds=60):
    """Goes on with a run until its end. Returns what is wrong then, in words, or None."""
    end = command.run(next_arguments(reference, run), reference.root, seconds=seconds)
    resumed |= went_on_from(end)
    problem = end.problem(codes=(0,))
    if problem:
        return f"going on with the run: {problem}: {end.said()}"
    return difference(run, reference, resumed)


def remove(run):
    shutil.rmtree(run, ignore_errors=True)
