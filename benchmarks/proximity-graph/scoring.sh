#!/usr/bin/env bash
# Scoring in bfloat16 beside f32, on random rows and on images: seconds in interleaved rounds, and the share of edges found.
#
#   benchmarks/proximity-graph/scoring.sh OUT_FOLDER EMBEDDINGS_FOLDER [ROUNDS]
#
# EMBEDDINGS_FOLDER holds what pixels.py writes, and may hold other embeddings as .npy, and is given random rows besides.
# MEASURE as in run.sh.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the results}
data=${2:?folder of embeddings}
rounds=${3:-3}
target=${CARGO_TARGET_DIR:-$here/../../target}
examples="$target/release/examples"

cargo build --release --quiet --manifest-path "$here/../../Cargo.toml" -p lookalike-sampling --examples
mkdir -p "$out"
for size in 105000x256 50000x128 50000x768; do
    "$examples/graph_speed" write "${size%x*}" "${size#*x}" 0 0 0 "$data/random-$size.npy"
done
measured() {
    for _ in $(seq "$rounds"); do
        "$examples/scoring" "$data/random-105000x256.npy" 1000 100 1
        "$examples/scoring" "$data/random-105000x256.npy" 1000 10 1
        "$examples/scoring" "$data/random-50000x128.npy" 0 100 1
        "$examples/scoring" "$data/random-50000x128.npy" 0 10 1
    done
    "$examples/scoring" "$data/random-50000x768.npy" 1000 100 2
    "$examples/scoring" "$data/random-50000x768.npy" 0 100 1
    for images in "$data"/[!r]*.npy; do
        case $images in *-labels.npy) continue ;; esac
        "$examples/scoring" "$images" 1000 100 1
        "$examples/scoring" "$images" 0 100 1
    done
}
export examples data rounds
export -f measured
# shellcheck disable=SC2086 # a command with its arguments
${MEASURE:-} bash -euo pipefail -c measured > "$out/scoring-raw.txt"
rm "$data"/random-*.npy

python3 - "$out/scoring-raw.txt" <<'PYTHON' | tee "$out/scoring.txt"
import statistics
import sys

seconds, recall = {}, {}
for line in open(sys.argv[1]):
    kind, name, *pairs = line.split()
    values = dict(pair.split("=") for pair in pairs)
    case = (name.removesuffix(".npy"), values["n"], values["d"], values["m"], values["k"])
    if kind == "build":
        seconds.setdefault(case, {}).setdefault(values["scoring"], []).append(float(values["seconds"]))
    else:
        recall[case] = values
print(f"{'embeddings':18} {'N':>7} {'d':>4} {'M':>5} {'K':>4} {'f32 s':>8} {'bf16 s':>8} {'f32/bf16':>9} {'edges found':>12} {'shortfall':>10}")
for case, times in seconds.items():
    name, n, d, m, k = case
    single, half = (statistics.median(times[scoring]) for scoring in ("F32", "Bf16"))
    m = "all" if m == "0" else m
    edges, shortfall = recall[case]["edges"], recall[case]["shortfall"]
    print(f"{name:18} {n:>7} {d:>4} {m:>5} {k:>4} {single:8.3f} {half:8.3f} {single / half:9.2f} {edges:>12} {shortfall:>10}")
PYTHON
