"""Draws what growth.sh measured: RAW.txt OUT.svg. Needs matplotlib. Prints the slopes between the first and the last size too."""

import math
import statistics
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plot


def read(path):
    graphs, walks = {}, {}
    for line in open(path):
        first, *rest = line.split()
        if first == "walk":
            instances, coverage, rate = rest[:3]
            walks.setdefault(coverage, {}).setdefault(int(instances), []).append(1e6 / float(rate))
            continue
        values = dict(pair.split("=") for pair in rest if "=" in pair)
        graphs.setdefault(first, {}).setdefault(int(values[first]), []).append(float(values["seconds"]))
    medians = lambda cases: {size: statistics.median(times) for size, times in sorted(cases.items())}
    return {name: medians(cases) for name, cases in graphs.items()}, {name: medians(cases) for name, cases in walks.items()}


def slope(points):
    (low, first), *_, (high, last) = points.items()
    return math.log(last / first) / math.log(high / low)


def main():
    graphs, walks = read(sys.argv[1])
    plot.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "growth", "font.size": 9})
    figure, axes = plot.subplots(1, 5, figsize=(14, 2.8), constrained_layout=True)
    titles = {"n": "instances N (d 128, M 1000)", "m": "candidates M (N 100,000, d 128)",
              "d": "columns d (N 100,000, M 1000)", "threads": "threads (N 100,000, d 256)"}
    for axis, (name, title) in zip(axes, titles.items()):
        points = graphs[name]
        axis.plot(list(points), list(points.values()), "o-", color="#2a5d8f", markersize=4)
        axis.set_xlabel(title)
        axis.set_ylabel("seconds a graph")
        if name == "threads":
            axis.set_xticks(list(points))
            axis.set_ylim(0)
            print(name, {threads: round(seconds, 4) for threads, seconds in points.items()})
            continue
        axis.set_xscale("log")
        axis.set_yscale("log")
        print(f"graph, {name}: {points} slope {slope(points):.2f}")
    for (name, points), colour in zip(sorted(walks.items()), ("#2a5d8f", "#b5532a")):
        axes[4].plot(list(points), list(points.values()), "o-", color=colour, markersize=4, label=name)
        print(f"walk, {name}: {points} slope {slope(points):.2f}")
    axes[4].set_xscale("log")
    axes[4].set_ylim(0)
    axes[4].set_xlabel("instances N (K 100)")
    axes[4].set_ylabel("us a batch of 256, one core")
    axes[4].legend(frameon=False)
    figure.savefig(sys.argv[2], metadata={"Date": None})


main()
