# Sourced by the two commands of the README: makes .venv once, then only activates it.
# PYTHON names the interpreter to build it with (default: python3.11, else python3).
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-$(command -v python3.11 || command -v python3)}
extra=cpu
if [ "$(uname -sm)" = "Linux x86_64" ] && command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
  extra=gpu
fi
wanted="$extra $(cat pyproject.toml constraints.txt | cksum)"

if [ "$(cat .venv/installed 2>/dev/null)" != "$wanted" ]; then
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "error: $python is older than Python 3.11; set PYTHON to a newer one" >&2
    exit 2
  }
  echo "installing facever[$extra] into .venv (some minutes, once)"
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable ".[$extra,faces,onnx,export,openvino,tensorboard,pml,heif,hdf5,serve,postgres,mlflow,docs,dev]"
  printf '%s' "$wanted" >.venv/installed
fi
export PATH="$PWD/.venv/bin:$PATH"
unset PYTHONDONTWRITEBYTECODE # else each process that a test starts would compile this package again (0.4 s)
