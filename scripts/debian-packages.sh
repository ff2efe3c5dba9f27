#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that a Python environment cannot bring, and only those that are missing.
#
#     scripts/debian-packages.sh demo     # what `make demo` needs
#     scripts/debian-packages.sh test     # what `make test` needs, which includes the above
#
# A need that something else meets (a Python of your own, say) installs nothing. Root is used, or sudo asked, for
# `apt-get` alone; where neither is to be had, what is missing is named. PYTHON names another Python 3.11.
# Exit codes: 0 everything is there, 2 no such group, 3 something is missing and could not be installed.
set -euo pipefail

python=${PYTHON:-python3.11}

# package | why
needs_demo=(
    "python3.11|runs everything"
    "python3.11-venv|makes the environments .venv and .venv-triton"
    "g++|compiles the local Triton's backend for ONNX"
    "ca-certificates|lets pip trust the package index"
    "git|the revision that a model is registered with"
    "make|the commands of the README"
)
needs_test=(
    "${needs_demo[@]}"
    "curl|asks the server as a stranger would"
    "postgresql|the catalogue is tested on the database that teams share, on a cluster of the test's own"
    "swift|the object store that versions are published to in the tests, with Swift's API and S3's; starts none of Swift's own services"
    "dcmtk|the reference that DICOM decoding is compared with"
    "chromium|the dashboard is tested in a real browser"
    "memcached|Swift keeps the tokens of its users there"
    "prometheus|what a rollout is decided by is asked of a real one; Debian starts it as a service on port 9090, too"
)

case ${1:-} in
    demo) needs=("${needs_demo[@]}") ;;
    test) needs=("${needs_test[@]}") ;;
    *)
        echo "debian-packages: which packages? Say: scripts/debian-packages.sh demo (or test)." >&2
        exit 2
        ;;
esac

is_there() {
    case $1 in
        python3.11) "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ;;
        python3.11-venv) "$python" -c 'import ensurepip, venv' ;;
        postgresql) command -v initdb || compgen -G "/usr/lib/postgresql/*/bin/initdb" ;;
        swift) command -v swift-ring-builder ;;
        dcmtk) command -v dcmj2pnm ;;
        ca-certificates) [ -e "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" ] ;;
        *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

find_missing() {
    missing=()
    for need in "${needs[@]}"; do
        is_there "${need%%|*}" || missing+=("$need")
    done
}

give_up() {
    echo "debian-packages: $1 Missing:" >&2
    printf '  %s\n' "${missing[@]/|/: }" >&2
    echo "As root: apt-get install ${missing[*]%%|*}" >&2
    exit 3
}

find_missing
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null || give_up "this is no Debian or Ubuntu (no apt-get)."
if [ "$(id -u)" -eq 0 ]; then
    as_root=()
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    as_root=(sudo)
else
    give_up "neither root nor sudo to install with."
fi

echo "debian-packages: installing"
printf '  %s\n' "${missing[@]/|/: }"
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes "$@" </dev/null >&2
}
{ apt update && apt install --no-install-recommends "${missing[@]%%|*}"; } ||
    give_up "apt-get could not install them (its reason is above)."

find_missing
[ ${#missing[@]} -eq 0 ] || give_up "installed, but $python still lacks something: name Debian's with PYTHON=/usr/bin/python3.11."
