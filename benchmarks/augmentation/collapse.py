#!/usr/bin/env python3
"""Collapse by the strength of augmentation: a table and a picture of the arms of recipes/collapse-autoaugment.toml.

    collapse.py OUT.svg NAME=RUN…     each run evaluated, and embedded beside it: lookalike embed RUN --split test --out RUN.npy

The picture shows the singular values of the centred representations of the test images, on a logarithmic scale, each divided by its
arm's first, and under it effective rank and kNN accuracy by arm.
"""

import json
import pathlib
import sys

import numpy

COLORS = ["#1b7837", "#2166ac", "#e08214", "#b2182b", "#762a83"]
WIDTH, HEIGHT, LEFT, TOP, PLOT = 720, 460, 60, 40, 240


def scores(run):
    return json.loads((pathlib.Path(run) / "evaluation.json").read_text())


def spectrum(run):
    rows = numpy.load(f"{run}.npy").astype(numpy.float64)
    return numpy.linalg.svd(rows - rows.mean(0), compute_uv=False)


def curve(values, lowest, color):
    logs = numpy.log10(numpy.maximum(values / values[0], 10.0**lowest))
    step = (WIDTH - LEFT - 160) / (len(logs) - 1)
    points = " ".join(f"{LEFT + place * step:.1f},{TOP + value / lowest * PLOT:.1f}" for place, value in enumerate(logs))
    return f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>'


def main():
    out, arms = sys.argv[1], [argument.split("=", 1) for argument in sys.argv[2:]]
    print("| arm | alignment | uniformity | effective rank | RankMe | deviation | kNN accuracy |")
    print("|---|---|---|---|---|---|---|")
    lowest, parts = -3, []
    for (name, run), color in zip(arms, COLORS):
        own = scores(run)
        row = [own[key] for key in ("alignment", "uniformity", "effective_rank", "rank_me", "deviation")]
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in row) + f" | {100 * own['knn']:.1f} % |")
        parts.append(curve(spectrum(run), lowest, color))
    for decade in range(0, lowest - 1, -1):
        y = TOP + decade / lowest * PLOT
        parts.append(f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH - 160}" y2="{y}" stroke="#ccc"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">10{["⁰", "⁻¹", "⁻²", "⁻³"][-decade]}</text>')
    ranks = [scores(run)["effective_rank"] for _, run in arms]
    for place, ((name, run), color) in enumerate(zip(arms, COLORS)):
        y, own = TOP + PLOT + 44 + 34 * place, scores(run)
        length = 360 * own["effective_rank"] / max(ranks)
        parts.append(f'<text x="{LEFT + 70}" y="{y + 14}" text-anchor="end">{name}</text>')
        parts.append(f'<rect x="{LEFT + 80}" y="{y}" width="{length:.0f}" height="20" fill="{color}"/>')
        text = f"effective rank {own['effective_rank']:.1f}, kNN {100 * own['knn']:.1f} %"
        parts.append(f'<text x="{LEFT + 90 + length:.0f}" y="{y + 14}">{text}</text>')
    title = "Singular values of the representations of CIFAR-10's test images, by strength of augmentation"
    pathlib.Path(out).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" role="img">'
        f'<title>{title}</title><rect width="100%" height="100%" fill="#fff"/><text x="{LEFT}" y="20">{title}</text>'
        + "".join(parts)
        + "</svg>\n"
    )


if __name__ == "__main__":
    main()
