#!/usr/bin/env bash
# Views a second of processor time of one thread, ours beside torchvision's, in interleaved rounds so that whatever else the
# machine does meets both alike. Prints the medians and their ratio; keeps every line of every round.
#
#   benchmarks/augmentation/run.sh OUT_FOLDER [ROUNDS] [SECONDS]
#
# Needs a python with torch, torchvision and pillow: PYTHON=/path/to/python, default python3.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the results, for instance benchmarks/augmentation/2026-11-21-epyc}
rounds=${2:-7}
seconds=${3:-3}
python=${PYTHON:-python3}
target=${CARGO_TARGET_DIR:-$here/../../target}
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

cargo build --release --quiet --manifest-path "$here/../../Cargo.toml" -p lookalike-data --features images --example augment_speed
mkdir -p "$out"
{
    lscpu | grep -E '^(Model name|CPU\(s\))' | sed 's/: */: /'
    "$python" -c 'import PIL, torch, torchvision; print("torch", torch.__version__, "torchvision", torchvision.__version__, "pillow", PIL.__version__)'
    rustc --version
    echo "rounds $rounds, seconds $seconds, load at the start $(cut -d" " -f1-3 /proc/loadavg)"
} > "$out/machine.txt"

: > "$out/raw.txt"
for _ in $(seq "$rounds"); do
    "$target/release/examples/augment_speed" "$seconds" | sed 's/^/lookalike /' >> "$out/raw.txt"
    "$python" "$here/torchvision_speed.py" "$seconds" | sed 's/^/torchvision /' >> "$out/raw.txt"
done

"$python" - "$out/raw.txt" <<'PYTHON' | tee "$out/summary.txt"
import statistics
import sys

rates = {}
for line in open(sys.argv[1]):
    who, case, rate = line.split()
    rates.setdefault(case, {}).setdefault(who, []).append(float(rate))
print(f"{'case':34} {'lookalike':>12} {'torchvision':>12} {'ratio':>7} {'lowest round':>13}")
for case, by in rates.items():
    ours, theirs = by["lookalike"], by["torchvision"]
    lowest = min(o / t for o, t in zip(ours, theirs))
    medians = statistics.median(ours), statistics.median(theirs)
    print(f"{case:34} {medians[0]:12.0f} {medians[1]:12.1f} {medians[0] / medians[1]:7.1f} {lowest:13.1f}")
PYTHON
