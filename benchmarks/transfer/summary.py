"""Tables over the seeds of several files that `python -m lookalike.transfer … --out` wrote.

    summary.py seed-0.json seed-1.json …

The files are of the same arms and settings, but for the seeds.
"""

import json
import sys

from lookalike.transfer._report import Report, Run

files = [json.load(open(path, encoding="utf-8")) for path in sys.argv[1:]]
if not files:
    sys.exit(__doc__)
for path, file in zip(sys.argv[2:], files[1:], strict=True):
    for key, value in file["settings"].items():
        if key != "seeds" and value != files[0]["settings"][key]:
            sys.exit(f"error: {path} has {key} = {value}, and {sys.argv[1]} {files[0]['settings'][key]}")
runs = [Run(**run) for file in files for run in file["runs"]]
report = Report(
    files[0]["task"],
    list(dict.fromkeys(run.arm for run in runs)),
    sorted({run.seed for run in runs}),
    files[0]["settings"],
    files[0]["notes"],
    runs,
)
print(report.to_text())
for run in runs:
    print(f"{run.arm}, seed {run.seed}: {run.seconds:.0f} s, losses {' '.join(f'{loss:.3f}' for loss in run.losses)}")
