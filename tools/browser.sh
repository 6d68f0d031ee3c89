#!/usr/bin/env bash
# Installs what the tests of the page need: Debian's Chromium (as root), Playwright and axe-core.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null; then
  apt-get update -q
  apt-get install -y -q --no-install-recommends chromium
fi
python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
  playwright axe-playwright-python
