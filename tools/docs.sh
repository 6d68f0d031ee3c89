#!/usr/bin/env bash
# Builds the documentation site into build/site: the documents, the reference from the code, executed notebooks.
# A broken link or anchor, a notebook that fails, and a page that would load something from elsewhere end it.
# Look at it: open build/site/index.html in a browser; it needs no server.
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
export NO_MKDOCS_2_WARNING=1
python -m tools.docs build/docs
python -m mkdocs build --strict # with --quiet it would not count warnings
if grep -rnoE '<(script|link|img|iframe)[^>]+(src|href)="https?://[^"]*"' build/site --include='*.html'; then
  echo "error: these pages load files from elsewhere" >&2
  exit 2
fi
echo "site: build/site/index.html"
