#!/usr/bin/env bash
# Graphs beside their rivals, in interleaved rounds so that whatever else the machine does meets all alike. Prints medians
# and ratios; keeps every line of every round.
#
#   benchmarks/proximity-graph/run.sh OUT_FOLDER [ROUNDS] [full]
#
# `full` adds the graph of ten million rows mapped from a file, which it writes into the folder LARGE (default: a new one
# under /tmp, 2.6 GB) and removes. Needs a python with torch, TORCH_PYTHON, and one with faiss-cpu, FAISS_PYTHON; both
# default to python3. The published program, a minute or more a round, runs once. MEASURE may name a command that is put
# before each part that is timed, for instance one that waits until the machine is quiet.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the results, for instance benchmarks/proximity-graph/2026-11-24-epyc}
rounds=${2:-5}
torch=${TORCH_PYTHON:-python3}
faiss=${FAISS_PYTHON:-python3}
target=${CARGO_TARGET_DIR:-$here/../../target}
threads=$(nproc)
ours="$target/release/examples/graph_speed"
export OMP_NUM_THREADS=$threads RAYON_NUM_THREADS=$threads
# Settings that someone made for another library's sake would slow faiss down.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE

cargo build --release --quiet --manifest-path "$here/../../Cargo.toml" -p lookalike-sampling --example graph_speed
mkdir -p "$out"
{
    lscpu | grep -E '^(Model name|CPU\(s\)|L[23] cache)' | sed 's/: */: /'
    "$torch" -c 'import torch; print("torch", torch.__version__)'
    "$faiss" -c 'import faiss, numpy; print("faiss", faiss.__version__, "numpy", numpy.__version__)'
    rustc --version
    echo "rounds $rounds, threads $threads, load at the start $(cut -d" " -f1-3 /proc/loadavg)"
} > "$out/machine.txt"

rounds() {
    for _ in $(seq "$rounds"); do
        "$ours" gemm 2048 256 2048 0 3
        "$ours" proximity 105000 256 1000 100 3
        "$ours" gemm 2048 256 2048 0 3
        "$ours" proximity 1000000 128 1000 100 1
        "$ours" knn 50000 128 0 100 1
        "$faiss" "$here/faiss_knn.py" 50000 128 100 "$threads" 1
    done
}
published() { "$torch" "$here/published_graph.py" 105000 256 1000 100 "$threads" 1; }
mapped() {
    traffic() { awk '/^pgpgin|^pgmajfault/ {printf "%s %s  ", $1, $2}' /proc/vmstat; }
    before=$(traffic)
    "$ours" mapped 10000000 64 1000 32 1 "$large/rows.npy"
    echo "page traffic of the whole machine around the mapped rows: $before to $(traffic)" >> "$out/machine.txt"
}
large=${LARGE:-$(mktemp -d)}
export here out rounds torch faiss threads ours large
export -f rounds published mapped

raw="$out/raw.txt"
# shellcheck disable=SC2086 # a command with its arguments
part() { ${MEASURE:-} bash -euo pipefail -c "$1"; }
part rounds > "$raw"
part published >> "$raw"
if [ "${3:-}" = full ]; then
    "$ours" write 10000000 64 0 0 0 "$large/rows.npy"
    part mapped >> "$raw"
    rm "$large/rows.npy"
fi
echo "load at the end $(cut -d" " -f1-3 /proc/loadavg)" >> "$out/machine.txt"

python3 "$here/summary.py" "$raw" | tee "$out/summary.txt"
