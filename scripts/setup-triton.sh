#!/bin/sh
# Makes .venv-triton, the environment of the local Triton, from requirements-triton.txt. Does nothing when it is
# already there for the same pins. PYTHON names another Python 3.11 than `python3.11`.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
environment=$root/.venv-triton
pins=$root/requirements-triton.txt
python=${PYTHON:-python3.11}

command -v "$python" >/dev/null || {
    echo "setup-triton: $python is missing. Install Python 3.11 with venv, or name another one in PYTHON." >&2
    exit 3
}

wanted=$(sha256sum "$pins" | cut -d' ' -f1)
if [ "$(cat "$environment/secondread-pins" 2>/dev/null || true)" = "$wanted" ] &&
    [ -x "$environment/bin/python" ] && "$environment/bin/python" -c '' 2>/dev/null; then
    echo "setup-triton: .venv-triton is up to date"
    exit 0
fi

# The backend's process is linked against libpython, which Debian keeps in a package of its own.
"$python" - <<'PYTHON' || exit 3
import ctypes, pathlib, sys, sysconfig
name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
beside = pathlib.Path(sysconfig.get_config_var("LIBDIR") or "/", name)
try:
    ctypes.CDLL(str(beside) if beside.exists() else name)
except OSError:
    sys.exit(f"setup-triton: {name} is missing. On Debian and Ubuntu: apt-get install {name.split('.so')[0]}")
PYTHON

echo "setup-triton: making .venv-triton from requirements-triton.txt"
rm -rf "$environment"
"$python" -m venv "$environment"
"$environment/bin/pip" install --disable-pip-version-check --quiet --no-deps --requirement "$pins"
"$environment/bin/python" -c 'import numpy, onnxruntime'
# Written last: an interrupted setup is done again.
echo "$wanted" >"$environment/secondread-pins"
echo "setup-triton: done"
