# What the core and the groups share, read by each of them with `source`: where things are, steps that are timed, tools that are
# installed. A step that fails ends the script; scripts/check, which sets STEPS, shows every step in its closing table.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Relative folders are meant from where the command was called.
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
export CARGO_TARGET_DIR
if [[ -n ${LOOKALIKE_DATA:-} ]]; then
  LOOKALIKE_DATA=$(realpath -m "$LOOKALIKE_DATA")
  export LOOKALIKE_DATA
fi
cd "$root"

scratch=$(mktemp -d)
current=
trap finish EXIT

# The step that the script was in when it ended is the one that failed.
finish() {
  [[ -z $current ]] || note failed
  rm -rf "$scratch"
}

note() {
  [[ -z ${STEPS:-} ]] || printf '%s\t%s\t%s\t%s\n' "$(basename "$0")" "$current" $((SECONDS - began)) "$1" >>"$STEPS"
}

# step NAME COMMAND…: runs a command or a function under a heading.
step() {
  current=$1 began=$SECONDS
  shift
  printf '\n== %s\n' "$current"
  "$@"
  note passed
  current=
}

fail() {
  printf 'error: %s\n' "$1" >&2
  exit 1
}

# need COMMAND PACKAGE: a command, from Debian's package of that name where it is not there. Only CI installs by itself.
need() {
  command -v "$1" >/dev/null && return
  [[ ${CI:-} == true ]] || fail "$1 is missing; install it (in Debian: $2)"
  add "$2"
}

add() {
  command -v apt-get >/dev/null || fail "$1 is missing; install it"
  local sudo=()
  [[ $(id -u) == 0 ]] || sudo=(sudo -n)
  "${sudo[@]}" apt-get update -q
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$1"
}

# environment NAME ARGUMENTS…: a virtual environment in the target folder, with what pip installs by the arguments. Its
# interpreter is then "$python".
environment() {
  local folder=$CARGO_TARGET_DIR/python-environments/$1
  shift
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail 'python3 of 3.10 or newer is needed'
  python3 -m venv "$folder"
  python=$folder/bin/python
  pip_install "$@"
}

pip_install() {
  "$python" -m pip --quiet --disable-pip-version-check --no-input --no-cache-dir install "$@"
}
