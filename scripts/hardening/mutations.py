"""Files of every format, changed at random, given to the command that reads them."""

import concurrent.futures
import os
import random
import shutil
import signal

from .command import MEGABYTE
from .readers import every

# Least share of the changed inputs of a reader that must have been refused: else the changes tell nothing.
LEAST_REFUSED = 0.05


def changed(reader, draw):
    """One input with one of its files changed."""
    files = dict(draw.choice(reader.inputs))
    name = draw.choice(sorted(files))
    files[name] = reader.change(files[name], reader.others, draw)
    return {name: reader.after(content) for name, content in files.items()}


def write(reader, folder, inputs):
    """Puts inputs into a folder that holds nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    if reader.base:
        shutil.copytree(reader.base, folder)
    for number, files in enumerate(inputs):
        for name, content in files.items():
            path = folder / (name if reader.together == 1 else f"{number}-{name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def one(command, reader, folder, inputs):
    """Lets the command read inputs. Returns its end, and what is wrong with it, in words, or None."""
    write(reader, folder, inputs)
    arguments = [str(argument).replace("{}", str(folder)) for argument in reader.arguments]

    def interrupt(running):
        if not running.ended.wait(reader.patience):
            running.signal(signal.SIGINT)

    end = command.run(arguments, reader.place or folder, interrupt if reader.patience else None)
    return end, end.problem(codes=(0, 1, 2, 130) if reader.patience else (0, 1, 2))


def control(command, reader, root):
    """What is wrong with how the unchanged inputs are read, in words, or None: they are good ones."""
    good = [{name: reader.after(content) for name, content in files.items()} for files in reader.inputs]
    for inputs in [good] if reader.together > 1 else [[files] for files in good]:
        end, problem = one(command, reader, root / "unchanged", inputs)
        if problem or is_refused(reader, end):
            return f"an unchanged input was refused: lookalike {' '.join(end.arguments)}: {end.said()}"
    return None


def is_refused(reader, end):
    return end.code in (1, 2) and not (reader.says and reader.says in end.errors)


def torture(command, reader, root, draw, count, section):
    """`count` changed inputs of one reader, as many processes at a time as there are processors."""
    calls = -(-count // reader.together)
    seeds = [draw.random() for _ in range(calls)]

    def call(number):
        own = random.Random(seeds[number])
        inputs = [changed(reader, own) for _ in range(reader.together)]
        folder = root / f"changed-{number}"
        end, problem = one(command, reader, folder, inputs)
        shutil.rmtree(folder, ignore_errors=True)
        return inputs, end, problem

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for inputs, end, problem in pool.map(call, range(calls)):
            section.count("inputs", len(inputs))
            section.count("refused", int(is_refused(reader, end)))
            section.most("MiB at most", round(end.peak / MEGABYTE))
            section.most("seconds at most", round(end.seconds, 1))
            if problem:
                folder = root / "finding"
                write(reader, folder, inputs)
                section.find(f"{problem}: lookalike {' '.join(end.arguments)}: {end.said()}", folder)


def all_readers(command, root, new_section, count, only):
    """A row of the table for each reader."""
    for reader in every(command, root):
        if only not in reader.name:
            continue
        section, draw = new_section(reader.name)
        if problem := control(command, reader, root):
            section.find(problem, root / "unchanged")
        torture(command, reader, root, draw, count, section)
        calls = -(-count // reader.together)
        if reader.together == 1 and section.counts["refused"] < LEAST_REFUSED * calls:
            section.find(
                f"only {section.counts['refused']} of {calls} changed inputs were refused: the changes tell nothing"
            )
        section.close()
