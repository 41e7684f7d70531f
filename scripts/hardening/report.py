"""What a section counted and found, and the table at the end."""

import pathlib
import shutil
import sys
import time
from dataclasses import dataclass, field


@dataclass
class Section:
    """One row of the table, and the findings behind it."""

    name: str
    keep: pathlib.Path
    began: float = field(default_factory=time.monotonic)
    counts: dict = field(default_factory=dict)
    findings: list = field(default_factory=list)
    seconds: float = 0.0

    def count(self, what, number=1):
        self.counts[what] = self.counts.get(what, 0) + number

    def most(self, what, number):
        self.counts[what] = max(self.counts.get(what, 0), number)

    def find(self, problem, files=None):
        """Notes a finding, and keeps the files that show it."""
        place = ""
        if files is not None:
            target = self.keep / f"{self.name.replace(',', '').replace(' ', '-')}-{len(self.findings)}"
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(files, target, symlinks=True, ignore_dangling_symlinks=True)
            place = f" [{target}]"
        self.findings.append(problem)
        print(f"FINDING in {self.name}: {problem}{place}", file=sys.stderr, flush=True)

    def close(self):
        self.seconds = time.monotonic() - self.began
        shown = ", ".join(f"{value:g} {name}" for name, value in self.counts.items())
        print(f"{self.name}: {shown}; {len(self.findings)} findings, {self.seconds:.0f} s", flush=True)


def table(sections):
    """The rows of all sections, as Markdown."""
    lines = ["| section | counted | findings | seconds |", "|---|---|---|---|"]
    for section in sections:
        shown = ", ".join(f"{value:g} {name}" for name, value in section.counts.items())
        lines.append(f"| {section.name} | {shown} | {len(section.findings)} | {section.seconds:.0f} |")
    return "\n".join(lines)
