#!/usr/bin/env bash
# The runs of a part of the evidence, or its tables. The README says how.
#
#   run.sh PART choose|train|summary OUT [OPTION …]
exec python3 "$(dirname "$0")/evidence.py" "$@"
