#!/usr/bin/env bash
# How the time of a graph grows with N, M, d and threads, and that of a walked batch with N: OUT_FOLDER [ROUNDS].
# growth.py draws what this writes. MEASURE as in run.sh.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the results}
rounds=${2:-3}
target=${CARGO_TARGET_DIR:-$here/../../target}
examples="$target/release/examples"

cargo build --release --quiet --manifest-path "$here/../../Cargo.toml" -p lookalike-sampling --examples
mkdir -p "$out"
measured() {
    graph() { # what is varied, N, d, M, K
        echo "$1 threads=$RAYON_NUM_THREADS $("$examples/graph_speed" proximity "$2" "$3" "$4" "$5" 1)"
    }
    for _ in $(seq "$rounds"); do
        export RAYON_NUM_THREADS=$(nproc)
        for n in 12500 25000 50000 100000 200000 400000 800000; do graph n "$n" 128 1000 100; done
        for m in 125 250 500 1000 2000 4000 8000; do graph m 100000 128 "$m" 100; done
        for d in 16 32 64 128 256 512 1024; do graph d 100000 "$d" 1000 100; done
        for threads in $(seq "$(nproc)"); do
            export RAYON_NUM_THREADS=$threads
            graph threads 100000 256 1000 100
        done
        "$examples/walk_speed" 0.1 10000 30000 100000 300000 1000000 | sed 's/^/walk /'
    done
}
export examples rounds
export -f measured
# shellcheck disable=SC2086 # a command with its arguments
${MEASURE:-} bash -euo pipefail -c measured > "$out/growth-raw.txt"
