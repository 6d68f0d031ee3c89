#!/usr/bin/env bash
# Builds the documentation site into build/site: the documents, the reference from the code, executed notebooks.
# A broken link or anchor, and a notebook that fails, end it. Look at it: python -m http.server -d build/site
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
export NO_MKDOCS_2_WARNING=1
python -m tools.docs build/docs
python -m mkdocs build --strict --quiet
echo "site: build/site/index.html"
