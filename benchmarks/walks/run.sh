#!/usr/bin/env bash
# Batches a second of one core, ours beside the walk as published in plain Python, in interleaved rounds so that whatever
# else the machine does meets both alike. Prints medians and ratios; keeps every line of every round.
#
#   benchmarks/walks/run.sh OUT_FOLDER [ROUNDS] [RESTART]
#
# Needs python3 and 4 GB. The published walk is measured over the first batches of an epoch, where its sets are smallest,
# and not at all with a million neighbor lists, which take Python 10 GB.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the results, for instance benchmarks/walks/2026-11-24-epyc}
rounds=${2:-5}
restart=${3:-0.1}
python=${PYTHON:-python3}
target=${CARGO_TARGET_DIR:-$here/../../target}

cargo build --release --quiet --manifest-path "$here/../../Cargo.toml" -p lookalike-sampling --example walk_speed
mkdir -p "$out"
{
    lscpu | grep -E '^(Model name|CPU\(s\)|L3)' | sed 's/: */: /'
    "$python" --version
    rustc --version
    echo "rounds $rounds, restart $restart, load at the start $(cut -d" " -f1-3 /proc/loadavg)"
} > "$out/machine.txt"

: > "$out/raw.txt"
for _ in $(seq "$rounds"); do
    "$target/release/examples/walk_speed" "$restart" >> "$out/raw.txt"
    "$python" "$here/published_walk.py" 20000 78 "$restart" >> "$out/raw.txt"
    "$python" "$here/published_walk.py" 100000 50 "$restart" >> "$out/raw.txt"
done

"$python" - "$out/raw.txt" <<'PYTHON' | tee "$out/summary.txt"
import statistics
import sys

rates, hardness = {}, []
for line in open(sys.argv[1]):
    if line.startswith("hardness"):
        # The same in each round.
        hardness += [line] if line not in hardness else []
        continue
    instances, who, rate = line.split()[:3]
    rates.setdefault((who, int(instances)), []).append(float(rate))
median = {case: statistics.median(values) for case, values in rates.items()}
print(f"{'walk':18} {'instances':>9} {'batches/s':>10} {'least':>8} {'most':>8} {'x published at 100,000':>23}")
for (who, instances), rate in sorted(median.items()):
    values = rates[who, instances]
    ratio = rate / median["published", 100_000]
    print(f"{who:18} {instances:9} {rate:10.0f} {min(values):8.0f} {max(values):8.0f} {ratio:23.1f}")
for who in sorted({who for who, _ in median} - {"published"}):
    print(f"{who}: a batch costs {median[who, 100_000] / median[who, 1_000_000]:.2f} times as much at 1,000,000 as at 100,000")
print("".join(hardness), end="")
PYTHON
