"""Means over the builds that the example `candidates` printed, with their standard deviations: RAW.txt."""

import statistics
import sys

cases, shapes = {}, {}
for line in open(sys.argv[1]):
    kind, name, graph, *pairs = line.split()
    values = dict(pair.split("=") for pair in pairs if "=" in pair)
    if kind == "epoch":
        cases.setdefault((name, pairs[0], graph), []).append(values)
    else:
        shapes.setdefault((name, graph), []).append(values)


def spread(runs, key):
    figures = [float(run[key]) for run in runs]
    deviation = statistics.stdev(figures) if len(figures) > 1 else float("nan")
    return f"{statistics.mean(figures):.4f} ± {deviation:.4f}"


print("means of builds ± standard deviation between them")
for (name, coverage, graph), runs in sorted(cases.items()):
    figures = ", ".join(f"{key} {spread(runs, key)}" for key in ("hardness", "false_negatives", "reach", "meetings"))
    uniform = f"uniform {runs[0]['uniform_hardness']} and {runs[0]['uniform_false_negatives']}"
    print(f"{name} {coverage.lower()} {graph} ({len(runs)} builds): {figures}; {uniform}")
print("quantiles 0, 1, 10, 25, 50, 75, 90, 99, 100 %, means of builds")
for (name, graph), runs in sorted(shapes.items()):
    for key in ("similarity", "in_degree"):
        places = zip(*([float(value) for value in run[key].split(",")] for run in runs))
        print(f"{name} {graph} {key}: " + " ".join(f"{statistics.mean(place):.3f}" for place in places))
    print(f"{name} {graph} edges both ways: {spread(runs, 'mutual')}; seconds: {spread(runs, 'seconds')}")
