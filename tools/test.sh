#!/usr/bin/env bash
# All tests, in the environment of tools/quickstart.sh. Options go to pytest: tools/test.sh -k heads
# One process more than there are cores, up to five, each with one thread: some tests wait for others'
# processes. `-n 0` runs all tests in one process.
# Temporary files are in memory where there is room (6 GB): tests of galleries wait for the disk.
# TMPDIR names another place.
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
echo "facever tests"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
processes=$(python -c 'import os; print(min(os.cpu_count() or 1, 4) + 1)')
available=$(awk '/MemAvailable/ {print $2}' /proc/meminfo 2>/dev/null || true)
shared=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1 || true)
if [ -z "${TMPDIR:-}" ] && [ "${available:-0}" -gt 12000000 ] && [ "${shared:-0}" -gt 6000000 ]; then
  TMPDIR=$(mktemp -d /dev/shm/facever-tests-XXXXXX)
  export TMPDIR
  trap 'rm -rf "$TMPDIR"' EXIT
  chmod 711 "$TMPDIR" # PostgreSQL's servers are another user's
fi
python -m pytest -n "$processes" --dist loadfile --no-loadscope-reorder \
  -o tmp_path_retention_policy=failed "$@"
