#!/usr/bin/env bash
# The sparse product and the read-out of graphs beside PyTorch's, in interleaved rounds.
#
#   benchmarks/sparse-product/run.sh OUT_FOLDER [ROUNDS]
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the results, for instance benchmarks/sparse-product/2026-11-24-epyc}
rounds=${2:-3}
python=${PYTHON:-python3}
target=${CARGO_TARGET_DIR:-$here/../../target}

[ -n "${BUILT:-}" ] || cargo build --release --quiet --manifest-path "$here/../../Cargo.toml" -p lookalike-kernels --example sparse_speed
mkdir -p "$out"
{
    lscpu | grep -E '^(Model name|CPU\(s\)|L3)' | sed 's/: */: /'
    "$python" -c 'import sys, torch; print("Python", sys.version.split()[0], "torch", torch.__version__, "threads", torch.get_num_threads())'
    rustc --version
    echo "rounds $rounds, load at the start $(cut -d" " -f1-3 /proc/loadavg)"
} > "$out/machine.txt"

: > "$out/raw.txt"
for _ in $(seq "$rounds"); do
    "$target/release/examples/sparse_speed" >> "$out/raw.txt"
    "$python" "$here/torch_sparse.py" >> "$out/raw.txt"
done

"$python" - "$out/raw.txt" <<'PYTHON' | tee "$out/summary.txt"
import statistics
import sys

times = {}
for line in open(sys.argv[1]):
    case, who, milliseconds, rate = line.split()
    times.setdefault((case, who), []).append((float(milliseconds), float(rate)))
print(f"{'case':30} {'who':18} {'ms':>9} {'GB/s':>7}")
for (case, who), values in sorted(times.items()):
    print(f"{case:30} {who:18} {statistics.median(v[0] for v in values):9.3f} {statistics.median(v[1] for v in values):7.1f}")
PYTHON
