#!/usr/bin/env bash
# What a machine with a GPU can show, in one command; it writes the results into docs/gpu.md.
# The environment of tools/quickstart.sh; PYTHON=... tools/gpu.sh --as-is uses what PYTHON has
# installed, where packages are missing (what needs them is skipped by name).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ "${1:-}" = --as-is ]; then
  shift
  exec "${PYTHON:-python3}" -m tools.gpu "$@"
fi
. tools/environment.sh
exec python -m tools.gpu "$@"
