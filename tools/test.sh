#!/usr/bin/env bash
# All tests, in the environment of tools/quickstart.sh. Options go to pytest: tools/test.sh -k heads
# A process per core, up to four, each with one thread; `-n 0` runs them in one process.
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
echo "facever tests"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec python -m pytest -n auto --maxprocesses 4 --dist loadfile "$@"
