# shellcheck shell=bash disable=SC2034,SC2154 # what is set here is used by who sources it, and the other way round
# What drivers of experiments have in common, to be sourced once `here` (the driver's folder), `out` and `runs` are set: makes the
# folders, builds the command and the example that prints tables unless BUILT says that both are there, and writes down the machine.
#
# Sets `root`, `target`, `lookalike`, and the arrays `background`, the command of BACKGROUND that every run is started by, such as `nice`,
# and `everywhere`, the settings "key=value …" of SET for all runs.
root=$here/../..
target=${CARGO_TARGET_DIR:-$root/target}
export CARGO_TARGET_DIR=$target
lookalike=$target/release/lookalike
read -ra background <<< "${BACKGROUND:-}"
read -ra everywhere <<< "${SET:-}"

if [[ -z ${BUILT:-} ]]; then
  cargo build --release --quiet --manifest-path "$root/Cargo.toml" -p lookalike
  cargo build --release --quiet --manifest-path "$root/Cargo.toml" -p lookalike-metrics --example arms
fi
mkdir -p "$out" "$runs"
{
  lscpu | grep -E '^(Model name|CPU\(s\))' | sed 's/: */: /'
  rustc --version || true
} > "$out/machine.txt"

# Notes in the folder RUN what it is made of: the text of RECIPE and each SETTING. One that was begun with others is refused, lest
# their results be mixed.
made_of() {
  local run=$1 recipe=$2 wanted
  shift 2
  wanted="recipe $(sha256sum < "$recipe" | cut -c1-16) $*"
  if [[ -e $run/recipe.toml && $(cat "$run/settings" 2> /dev/null) != "$wanted" ]]; then
    echo "$run was begun with other settings than $wanted; give another folder for the runs" >&2
    return 2
  fi
  mkdir -p "$run"
  echo "$wanted" > "$run/settings"
}
