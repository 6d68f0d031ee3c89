#!/usr/bin/env bash
# The main job: installs on the first run, then trains, embeds, enrolls, verifies, evaluates, reports.
# Options go to `facever quickstart`: tools/quickstart.sh --minutes 1 --out /tmp/first
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
echo "facever quickstart"
exec facever quickstart "$@"
