#!/usr/bin/env bash
# All tests, in the environment of tools/quickstart.sh. Options go to pytest: tools/test.sh -k heads
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
echo "facever tests"
exec python -m pytest "$@"
