#!/usr/bin/env bash
# A training step beside PyTorch's and SimCLR end to end beside lightly's, in interleaved rounds so that whatever else the
# machine does meets all alike. Keeps every line of every round, prints medians, ratios and peak memory.
#
#   benchmarks/training-step/run.sh OUT_FOLDER [ROUNDS] [DATA_ROOT]
#
# TORCH_PYTHON (default python3) needs torch and torchvision. With DATA_ROOT, which holds `cifar-10-batches-bin`, it also runs
# end to end; LIGHTLY_PYTHON (default TORCH_PYTHON) then needs lightly too. CASES names what to run, for instance
# CASES="resnet18-cifar-32-64 simclr-small-256". MEASURE may name a command that is put before each program that is timed, for
# instance one that waits until the machine is quiet. bf16 is left out where the processor does not multiply it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the results, for instance benchmarks/training-step/2026-11-24-epyc}
rounds=${2:-5}
data=${3:-}
torch=${TORCH_PYTHON:-python3}
lightly=${LIGHTLY_PYTHON:-$torch}
target=${CARGO_TARGET_DIR:-$here/../../target}
threads=$(nproc)
ours="$target/release/lookalike"
export OMP_NUM_THREADS=$threads RAYON_NUM_THREADS=$threads
cases=${CASES:-resnet18-cifar-32-64 resnet50-imagenet-224-16 small-cifar-32-256 simclr-resnet18-64 simclr-small-256}

cargo build --release --quiet --manifest-path "$here/../../Cargo.toml" -p lookalike
mkdir -p "$out"
{
    lscpu | grep -E '^(Model name|CPU\(s\)|L[23] cache)' | sed 's/: */: /'
    lscpu | grep -oE 'avx512_bf16|amx_bf16|avx512f|avx2' | sort -u | paste -sd' '
    "$torch" -c 'import torch, torchvision; print("torch", torch.__version__, "torchvision", torchvision.__version__)'
    rustc --version
    git -C "$here" log -1 --format='commit %h'
    echo "rounds $rounds, threads $threads, load at the start $(cut -d" " -f1-3 /proc/loadavg)"
} >> "$out/machine.txt"

precisions=f32
if lscpu | grep -qE 'avx512_bf16|amx_bf16'; then precisions='f32 bf16'; fi
raw="$out/raw.txt"
touch "$raw"
record() { # what, command
    local what=$1 result
    shift
    # A program that fails ends the measurement here, instead of leaving an empty line.
    # shellcheck disable=SC2086 # a command with its arguments
    result=$(${MEASURE:-} "$@")
    echo "$what $result" >> "$raw"
}
step() { # encoder stem size batch
    local case="$1-$2-$3-$4" steps=10
    [ "$1" = resnet50 ] && steps=5
    # Only residual networks have a stem.
    local stem=(--stem "$2")
    [ "$2" = none ] && stem=()
    local bench=("$ours" bench step --encoder "$1" "${stem[@]}" --image-size "$3" --batch "$4" --steps "$steps" --json)
    record "$case lookalike-f32" "${bench[@]}"
    record "$case torch-f32" "$torch" "$here/torch_step.py" "$1" "$2" "$3" "$4" f32 "$steps" "$threads"
    record "$case torch-f32-channels-last" "$torch" "$here/torch_step.py" "$1" "$2" "$3" "$4" f32-channels-last "$steps" "$threads"
    [[ $precisions == *bf16* ]] || return 0
    record "$case lookalike-bf16" "${bench[@]}" --precision bf16
    record "$case torch-bf16" "$torch" "$here/torch_step.py" "$1" "$2" "$3" "$4" bf16 "$steps" "$threads"
}
end_to_end() { # encoder batch
    local case="simclr-$1-$2"
    for precision in $precisions; do
        for workers in 0 1 2; do
            record "$case lightly-$precision-workers-$workers" "$lightly" "$here/lightly_simclr.py" "$data" "$1" "$2" "$workers" 8 "$threads" "$precision"
        done
        record "$case lookalike-$precision" "$torch" "$here/our_simclr.py" "$ours" "$data" "$1" "$2" 8 "$precision"
    done
}
for _ in $(seq "$rounds"); do
    for case in $cases; do
        IFS=- read -r first second third fourth <<< "$case"
        if [ "$first" != simclr ]; then
            step "$first" "$second" "$third" "$fourth"
        elif [ -n "$data" ]; then
            end_to_end "$second" "$third"
        fi
    done
done
echo "load at the end $(cut -d" " -f1-3 /proc/loadavg)" >> "$out/machine.txt"

python3 "$here/summary.py" "$raw" | tee "$out/summary.txt"
