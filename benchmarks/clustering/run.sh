#!/usr/bin/env bash
# k-means beside scikit-learn's, on rows like embeddings and on real ones: seconds and inertia in interleaved rounds.
#
#   benchmarks/clustering/run.sh OUT_FOLDER FASHION_MNIST_FOLDER CIFAR_10_FOLDER [ROUNDS] [RESTARTS]
#
# Needs a python, PYTHON (default: python3), with scikit-learn and the package `lookalike`. ROWS is the folder for the rows (default: a
# new one, which is removed). MEASURE may name a command that is put before what is timed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:?folder for the results}
python=${PYTHON:-python3}
rows=${ROWS:-$(mktemp -d)}
threads=$(nproc)
export OMP_NUM_THREADS=$threads LOOKALIKE_NUM_THREADS=$threads
# Settings that someone made for another library's sake would slow scikit-learn down.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE

mkdir -p "$out"
{
  lscpu | grep -E '^(Model name|CPU\(s\))' | sed 's/: */: /'
  echo "threads $threads, load at the start $(cut -d" " -f1-3 /proc/loadavg)"
} > "$out/machine.txt"
[[ -e $rows/cifar.npy ]] || "$python" "$here/rows.py" "${2:?folder of Fashion-MNIST}" "${3:?folder of CIFAR-10}" "$rows"
# shellcheck disable=SC2086 # a command with its arguments
${MEASURE:-} "$python" "$here/speed.py" "${4:-3}" "${5:-1}" mixture cifar="$rows/cifar.npy" fashion="$rows/fashion.npy" |
  tee "$out/speed.txt"
[[ -n ${ROWS:-} ]] || rm -r "$rows"
echo "load at the end $(cut -d" " -f1-3 /proc/loadavg)" >> "$out/machine.txt"
