#!/bin/sh
# Makes .venv-triton, the environment of the local Triton: the server from PyPI by requirements-triton.txt, and the
# backend for ONNX, compiled from secondread/serving/local/triton_backend/. Does nothing when it is already there for the same
# pins and source. PYTHON names another Python 3.11 than `python3.11`, CXX another compiler than `g++`.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
environment=$root/.venv-triton
pins=$root/requirements-triton.txt
source=$root/secondread/serving/local/triton_backend/onnxruntime.cc
python=${PYTHON:-python3.11}
compiler=${CXX:-g++}

command -v "$python" >/dev/null || {
    echo "setup-triton: $python is missing. Install Python 3.11 with venv, or name another one in PYTHON." >&2
    exit 3
}
command -v "$compiler" >/dev/null || {
    echo "setup-triton: $compiler is missing. On Debian and Ubuntu: apt-get install g++" >&2
    exit 3
}

wanted=$(cat "$pins" "$source" "$0" | sha256sum | cut -d' ' -f1)
if [ "$(cat "$environment/secondread-pins" 2>/dev/null || true)" = "$wanted" ] &&
    [ -x "$environment/bin/python" ] && "$environment/bin/python" -c '' 2>/dev/null; then
    echo "setup-triton: .venv-triton is up to date"
    exit 0
fi

echo "setup-triton: making .venv-triton from requirements-triton.txt"
rm -rf "$environment"
"$python" -m venv "$environment"
"$environment/bin/pip" install --disable-pip-version-check --quiet --no-deps --requirement "$pins"

echo "setup-triton: compiling the backend for ONNX"
backend=$environment/backends/onnxruntime
mkdir -p "$backend"
# By this name the compiled library looks for it, in its own folder.
ln -s "$(echo "$environment"/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*)" \
    "$backend/libonnxruntime.so.1"
"$compiler" -std=c++17 -O2 -Wall -Wextra -Werror -fPIC -shared "$source" -o "$backend/libtriton_onnxruntime.so" \
    -L"$backend" -l:libonnxruntime.so.1 -Wl,--no-undefined-version '-Wl,-rpath,$ORIGIN'

# Written last: an interrupted setup is done again.
echo "$wanted" >"$environment/secondread-pins"
echo "setup-triton: done"
