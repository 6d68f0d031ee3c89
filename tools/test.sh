#!/usr/bin/env bash
# All tests, in the environment of tools/quickstart.sh. Options go to pytest: tools/test.sh -k heads
# One process more than there are cores, up to five, each with one thread: some tests wait for others'
# processes. `-n 0` runs all tests in one process.
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
echo "facever tests"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
processes=$(python -c 'import os; print(min(os.cpu_count() or 1, 4) + 1)')
exec python -m pytest -n "$processes" --dist loadfile --no-loadscope-reorder "$@"
