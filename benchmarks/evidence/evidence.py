#!/usr/bin/env python3
"""Runs a part of the evidence, and prints its tables.

    evidence.py PART choose OUT [--workers N]    the rates, by the development part
    evidence.py PART train OUT [--workers N]     all arms and seeds, and their scores
    evidence.py PART summary OUT                 the tables

OUT holds the binary (`lookalike`), the data (`data`, or what the part names) and the encoder (`encoder`); runs go below it. What a run came to is written below `results/PART`. A run
that was stopped goes on; one that another binary or another recipe made is refused. `--only TEXT` takes the runs whose name has TEXT in it.
"""

import argparse
import hashlib
import json
import math
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Of Student's t, two-sided 95 %, by degrees of freedom.
T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 9: 2.262}
DRAWS = 2000
stopped = threading.Event()
processes = set()


class Refused(Exception):
    """What cannot be done, in words."""


def read(path):
    return json.loads(path.read_text())


class Part:
    """A part: its arms, and where they run."""

    def __init__(self, name, out):
        file = HERE / "parts" / f"{name}.toml"
        if not file.exists():
            known = ", ".join(sorted(path.stem for path in file.parent.glob("*.toml")))
            raise Refused(f"there is no part `{name}`; there are {known}")
        self.name, self.out, self.table = name, out, tomllib.loads(file.read_text())
        self.results = HERE / "results" / name
        self.binary = out / "lookalike"
        if not self.binary.exists():
            raise Refused(f"{self.binary} is not there; it is the binary that all runs of the part are made by")
        self.hash = hashlib.sha256(self.binary.read_bytes()).hexdigest()
        chosen = self.results / "rates.json"
        self.rates = read(chosen) if chosen.exists() else {}
        self.sets = self.table.get("sets", {"": {}})

    def recipe(self, arm):
        return ROOT / self.table["arms"][arm].get("recipe", self.table["recipe"])

    def settings(self, set_name, arm, more=()):
        parts = [self.table, self.sets[set_name], self.table["arms"][arm]]
        given = [setting for part in parts for setting in part.get("set", [])] + list(more)
        # The later one holds.
        last = dict(setting.split("=", 1) for setting in given)
        return [f"{key}={value}".replace("{weights}", str(self.out / "encoder")) for key, value in last.items()]

    def fingerprint(self, arm, settings):
        text = self.recipe(arm).read_text() + "\n".join(settings).replace(str(self.out), "")
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def name_of(self, *words):
        return ".".join(str(word) for word in words if word != "")


class Run:
    """One run: an arm on a set with a seed, and at the rate that was chosen for it or that is tried."""

    def __init__(self, part, set_name, arm, seed, rate=None):
        self.part, self.set_name, self.arm, self.seed = part, set_name, arm, seed
        self.choosing = rate is not None
        if rate is None and "rates" in part.table["arms"][arm]:
            try:
                rate = part.rates[set_name][arm]["rate"]
            except KeyError:
                raise Refused(f"no rate is chosen for {set_name} {arm}; run `choose` first") from None
        more = [f"seed={seed}"] + ([f"{part.table['rate']}={rate}"] if rate is not None else [])
        more += part.table["choose" if self.choosing else "train"]
        # Scored apart, so that a run that is stopped here has its model.
        self.settings = part.settings(set_name, arm, more) + ["evaluate.after_training=false"]
        self.rate = rate
        self.name = part.name_of(set_name, arm, seed, f"{rate:g}" if self.choosing else "")
        self.folder = part.out / "runs" / part.name / self.name
        where = "choices" if self.choosing else "runs"
        self.file = part.results / where / f"{self.name}.json"
        self.made_by = {"binary": part.hash, "recipe": part.fingerprint(arm, self.settings)}

    def is_done(self):
        if not self.file.exists():
            return False
        found = read(self.file)
        for what, value in self.made_by.items():
            # A rate may have been chosen by an older binary: no table has its figure.
            if found[what] != value and not (self.choosing and what == "binary"):
                raise Refused(f"{self.file} was made by another {what} ({found[what][:16]}, now {value[:16]}): take that one, or delete the file")
        return True

    def lookalike(self, *arguments):
        command = ["nice", "-n", "10", str(self.part.binary), *map(str, arguments)]
        environment = os.environ | {"RAYON_NUM_THREADS": "1"}
        log = (self.folder.parent / f"{self.name}.log").open("a")
        with log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
            processes.add(process)
            status = process.wait()
            processes.discard(process)
        if status != 0 and not stopped.is_set():
            raise Refused(f"{self.name}: `lookalike {arguments[0]}` ended with {status}; see {log.name}")
        return status == 0

    def make(self):
        """Trains, scores and writes down; goes on where it was stopped. Whether it came to its end."""
        if self.is_done():
            return True
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        stamp = self.folder.parent / f"{self.name}.made-by.json"
        if self.folder.exists():
            if not stamp.exists() or read(stamp) != self.made_by:
                raise Refused(f"{self.folder} was made by another binary or recipe: delete it, or take those")
        stamp.write_text(json.dumps(self.made_by))
        if not (self.folder / "model.safetensors").exists():
            if (self.folder / "recipe.toml").exists():
                done = self.lookalike("train", "--resume", self.folder)
            else:
                settings = [word for setting in self.settings for word in ("--set", setting)]
                root = self.part.out / self.part.table.get("root", "data")
                done = self.lookalike("train", self.part.recipe(self.arm), "--data-root", root, "--no-report", "--out", self.folder, *settings)
            if not done:
                return False
        if not self.choosing and not (self.folder / "evaluation.json").exists():
            if not self.lookalike("evaluate", self.folder, "--beside", "nothing", *self.part.table.get("evaluate", [])):
                return False
        result = self.result()
        scratch = self.file.with_suffix(".new")
        scratch.write_text(json.dumps(result, indent=1) + "\n")
        scratch.rename(self.file)
        return True

    def result(self):
        events = [json.loads(line) for line in (self.folder / "events.jsonl").read_text().splitlines()]
        kind = lambda name: [event for event in events if event["kind"] == name]
        result = {"set": self.set_name, "arm": self.arm, "seed": self.seed, "rate": self.rate} | self.made_by
        result["machine"] = [{"computes": event["computes"], "program": event["program"]} for event in kind("machine")]
        steps = kind("step")
        result["steps"] = steps[-1]["step"]
        # Pauses are left out: steps that took above a hundred times the median.
        times = [after["time"] - before["time"] for before, after in zip(steps, steps[1:])]
        usual = statistics.median(times) if times else 0
        result["training_minutes"] = round(sum(span for span in times if span < 100 * usual) / 60, 2)
        result["sampling_seconds"] = max((event["build_seconds"] for event in kind("plan")), default=0)
        if self.choosing:
            result["development"] = kind("development")[-1]["score"]
            return result
        scores = read(self.folder / "evaluation.json")
        result["scores"] = {name: value for name, value in scores.items() if not name.endswith("_each")}
        wanted = ["false_negatives", "masked", "proxy_accuracy", "alignment", "uniformity", "effective_rank", "positive_similarity"]
        result["epochs"] = []
        begins = 0
        for event in kind("epoch"):
            own = [each for each in kind("diagnostics") if begins < each["step"] <= event["step"]]
            begins = event["step"]
            means = {name: round(statistics.mean(each[name] for each in own), 5) for name in wanted if own and all(name in each for each in own)}
            deciles = [value for value in event["hardness_by_decile"] if value is not None]
            means["hardness"] = round(statistics.mean(deciles), 5) if deciles else None
            means |= {name: event[name] for name in ("false_negative_rate", "false_negative_rate_uniform") if event.get(name) is not None}
            result["epochs"].append({"epoch": event["epoch"]} | means)
        return result

    def each(self):
        """The score of each query, where the run is still there."""
        file = self.folder / "evaluation.json"
        if not file.exists():
            return None
        scores = read(file)
        found = [value for name, value in scores.items() if name.endswith(f"{self.part.table['score']}_each")]
        return found[0] if found else None

    def score(self, name):
        scores = read(self.file)["scores"]
        found = [value for key, value in scores.items() if key == name or key.endswith(f"_{name}")]
        if len(found) != 1:
            raise Refused(f"{self.file} has {len(found)} scores of the name {name}")
        return 100 * found[0]


def work(runs, workers):
    """Makes the runs, so many at a time. Whether all came to their end."""
    waiting, failures, lock = list(runs), [], threading.Lock()

    def worker():
        while not stopped.is_set():
            with lock:
                if not waiting:
                    return
                run = waiting.pop(0)
            begins = time.time()
            try:
                if not run.is_done() and run.make():
                    with lock:
                        print(f"{time.strftime('%H:%M:%S')} {run.name}: {(time.time() - begins) / 60:.1f} minutes, {len(waiting)} left", flush=True)
            except (Refused, OSError, KeyError, ValueError) as failure:
                with lock:
                    failures.append(failure)
                    print(f"error: {run.name}: {failure!r}" if not isinstance(failure, Refused) else f"error: {failure}", file=sys.stderr, flush=True)

    threads = [threading.Thread(target=worker) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return not failures and not stopped.is_set()


def stop(*_):
    """Runs save a checkpoint and end."""
    stopped.set()
    for process in list(processes):
        try:
            os.killpg(process.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass


def choose(part, only, workers):
    tried = [
        Run(part, set_name, arm, part.table["choice_seed"], rate)
        for set_name in part.sets
        for arm, given in part.table["arms"].items()
        for rate in given.get("rates", [])
    ]
    if not work([run for run in tried if only in run.name], workers):
        return False
    found = {}
    for run in tried:
        if run.is_done():
            found.setdefault(run.set_name, {}).setdefault(run.arm, []).append((read(run.file)["development"], run.rate))
    rates = {}
    for set_name, arms in found.items():
        for arm, tries in arms.items():
            score, rate = max(tries)
            if len(tries) < len(part.table["arms"][arm]["rates"]):
                continue
            table = {f"{rate:g}": round(score, 5) for score, rate in tries}
            rates.setdefault(set_name, {})[arm] = {"rate": rate, "development": table}
    part.results.mkdir(parents=True, exist_ok=True)
    (part.results / "rates.json").write_text(json.dumps(rates, indent=1) + "\n")
    return True


def interval(values):
    """The mean with its 95 % interval over seeds."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:+.2f}", None
    half = T[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:+.2f} ({mean - half:+.2f} … {mean + half:+.2f})", half


def needed(values):
    """How many seeds would tell the mean difference from none: the least n whose interval, at this deviation, excludes 0."""
    if len(values) < 2 or statistics.mean(values) == 0:
        return "–"
    ratio = 1.96 * statistics.stdev(values) / abs(statistics.mean(values))
    return str(max(2, math.ceil(ratio**2)))


def bootstrap(pairs):
    """The 95 % interval of the mean difference over queries, drawn with replacement; seeds are averaged first."""
    if not pairs or any(own is None or other is None for own, other in pairs):
        return "–"
    queries = list(zip(*([100 * (b - a) for a, b in zip(own, other) if a is not None and b is not None] for own, other in pairs)))
    means = [statistics.mean(seeds) for seeds in queries]
    generator = random.Random(0)
    drawn = sorted(statistics.fmean(generator.choices(means, k=len(means))) for _ in range(DRAWS))
    return f"{drawn[int(0.025 * DRAWS)]:+.2f} … {drawn[int(0.975 * DRAWS)]:+.2f}"


def summary(part):
    table = part.table
    print("| arm | |\n|---|---|")
    for arm, given in table["arms"].items():
        print(f"| {arm} | {given.get('about', '')} |")
    for set_name in part.sets:
        print(f"\n## {set_name or part.name}\n")
        runs = {arm: [] for arm in table["arms"]}
        for arm in runs:
            for seed in table["seeds"]:
                try:
                    run = Run(part, set_name, arm, seed)
                except Refused:
                    continue
                if run.file.exists():
                    runs[arm].append(run)
        scores = table["scores"]
        print("| arm | seeds | rate | " + " | ".join(scores) + " | hardness | masked | sampling, s | minutes |")
        print("|---" * (len(scores) + 7) + "|")
        for arm, own in runs.items():
            if not own:
                print(f"| {arm} | not run |" + " |" * (len(scores) + 5))
                continue
            cells = []
            for name in scores:
                values = [run.score(name) for run in own]
                spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
                cells.append(f"{statistics.mean(values):.2f}{spread}")
            files = [read(run.file) for run in own]
            last = lambda name: [file["epochs"][-1][name] for file in files if file["epochs"][-1].get(name) is not None]
            shown = lambda values, form: format(statistics.mean(values), form) if values else "–"
            seconds, minutes = ([file[name] for file in files] for name in ("sampling_seconds", "training_minutes"))
            cells += [shown(last("hardness"), ".3f"), shown(last("masked"), ".2%"), shown(seconds, ".1f"), shown(minutes, ".1f")]
            print(f"| {arm} | {len(own)} | {own[0].rate or ''} | " + " | ".join(cells) + " |")
        print(f"\nLess `{table['baseline']}`, paired by seed, with the 95 % interval over seeds; of {table['score']} over queries beside.\n")
        print("| arm | seeds | " + " | ".join(scores) + " | over queries | seeds needed |")
        print("|---" * (len(scores) + 4) + "|")
        base = {run.seed: run for run in runs[table["baseline"]]}
        for arm, own in runs.items():
            both = [run for run in own if run.seed in base]
            if arm == table["baseline"] or not both:
                continue
            differ = lambda name: [run.score(name) - base[run.seed].score(name) for run in both]
            pairs = [(base[run.seed].each(), run.each()) for run in both]
            cells = [interval(differ(name))[0] for name in scores]
            print(f"| {arm} | {len(both)} | " + " | ".join(cells) + f" | {bootstrap(pairs)} | {needed(differ(table['score']))} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part")
    parser.add_argument("what", choices=["choose", "train", "summary"])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        part = Part(given.part, given.out.resolve())
        if given.what == "choose":
            return 0 if choose(part, given.only, given.workers) else 1
        if given.what == "summary":
            summary(part)
            return 0
        # A seed of all arms before the next, so that what is there is paired.
        runs = [Run(part, name, arm, seed) for seed in part.table["seeds"] for name in part.sets for arm in part.table["arms"]]
        return 0 if work([run for run in runs if given.only in run.name], given.workers) else 1
    except Refused as refused:
        print(f"error: {refused}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
