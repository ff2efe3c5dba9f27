#!/usr/bin/env bash
# Builds and runs an image where no base image can be pulled: a stand-in for the Python base is made of Debian's own
# packages, the Dockerfile is built on it unchanged, and its container runs as in the cluster: no root, a read-only
# root file system, no capabilities, no network. Apart from the normal build, and minutes long.
#
#     sudo images/check.sh                              # serving
#     sudo images/check.sh serving var/model film.png   # it also reads films, with a Triton of this machine beside it
#     sudo images/check.sh pipeline   # needs torch's wheel, gigabytes of it unless pip is told of a CPU build
#
# Reading needs what `make setup` installs: .venv and the local Triton.
# Needs root and Debian's docker.io and debootstrap. An engine of its own is started and stopped again; everything it
# writes is under var/images/ (removed by `make clean`).
# Exit codes: 0 the image holds, 1 it does not, 3 something to check it with is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$PWD/var/images
stand_in=secondread-stand-in-python:bookworm
image=${1:-serving}
model=${2:-}
[ $# -lt 2 ] && films=() || films=("${@:3}")
case $image in
    pipeline) name=pipeline-python modules="kfp lightning mlflow torch" absent="" ;;
    serving) name=serving modules="kserve onnxruntime opentelemetry.sdk tritonclient" absent="lightning mlflow torch" ;;
    rollout) name=rollout modules="kubernetes locust minio mlflow scipy" absent="kserve lightning torch" ;;
    *) echo "check: no image '$image'; there are: pipeline serving rollout." >&2 && exit 1 ;;
esac

missing() {
    echo "check: $1" >&2
    exit 3
}
[ "$(id -u)" -eq 0 ] || missing "needs root for debootstrap and its own engine: sudo images/check.sh."
for tool in dockerd docker debootstrap; do
    command -v "$tool" >/dev/null || missing "$tool is missing: apt-get install docker.io debootstrap."
done

mkdir -p "$work"
export DOCKER_HOST=unix://$work/docker.sock
# Without bridge and iptables it needs no network of its own; builds use the host's.
dockerd --host "$DOCKER_HOST" --data-root "$work/engine" --exec-root "$work/exec" --pidfile "$work/engine.pid" \
    --iptables=false --bridge=none >"$work/engine.log" 2>&1 &
engine=$!
stop() {
    kill "$engine" 2>/dev/null || true
    wait "$engine" 2>/dev/null || true
    # The engine leaves this mount behind, and `rm -rf var` would fail on it.
    umount "$work/exec/netns/default" 2>/dev/null || true
}
trap stop EXIT
for _ in $(seq 60); do
    docker version >/dev/null 2>&1 && break
    kill -0 "$engine" 2>/dev/null || missing "the engine did not start; $work/engine.log says why."
    sleep 0.5
done

if ! docker image inspect "$stand_in" >/dev/null 2>&1; then
    echo "check: making the stand-in for the Python base (larger: it carries what this machine's pip reads)"
    rm -rf "$work/bookworm" "$work/context"
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv bookworm \
        "$work/bookworm" >"$work/debootstrap.log"
    # How this machine's pip reaches its index: in the stand-in alone, never in a Dockerfile.
    for file in /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
        [ ! -f "$file" ] || install -D --mode=644 "$(readlink -f "$file")" "$work/bookworm$file"
    done
    for folder in $(pip config get global.find-links 2>/dev/null || true); do
        [ ! -d "$folder" ] || { mkdir -p "$work/bookworm$folder" && cp "$folder"/*.whl "$work/bookworm$folder"; }
        printf 'find-links = %s\n' "$folder" >>"$work/bookworm/etc/pip.conf"
    done
    tar --create --directory "$work/bookworm" . | docker import - "$stand_in" >/dev/null
    rm -rf "$work/bookworm"
fi

BUILD_ARGS="--network host --build-arg PYTHON_IMAGE=$stand_in" REGISTRY=localhost/check images/build.sh "$image"
tag=localhost/check/$name:$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' secondread/__init__.py)

echo "check: running $tag without privilege"
run() {
    docker run --rm --read-only --tmpfs /tmp:size=64m --cap-drop ALL --security-opt no-new-privileges --network none "$@"
}
run --env MODULES="$modules" --env ABSENT="$absent" --entrypoint python "$tag" -c '
import importlib.util, os, pathlib, tempfile
import secondread
assert os.getuid() == 10001, os.getuid()
for module in os.environ["MODULES"].split():
    assert importlib.util.find_spec(module), f"{module} is missing"
for module in os.environ["ABSENT"].split():
    assert importlib.util.find_spec(module) is None, f"{module} is in the image"
assert os.statvfs("/").f_flag & os.ST_RDONLY, "the root can be written"
with tempfile.NamedTemporaryFile() as file:
    print("what is temporary goes to", file.name.rpartition("/")[0])
size = sum(path.lstat().st_size for path in pathlib.Path("/opt/secondread").rglob("*"))
print(f"secondread {secondread.__version__} as user {os.getuid()}, {size / 1e6:.0f} MB above its base")
'
# Entry points take arguments; the pipeline image has none and takes a command.
[ "$image" = pipeline ] && start=(secondread --help) || start=(--help)
run "$tag" "${start[@]}" >/dev/null
echo "check: '${start[*]}' answers"
if [ -n "$model" ]; then
    [ "$image" = serving ] || missing "only the serving image reads films."
    [ ${#films[@]} -gt 0 ] || missing "name films to read: images/check.sh serving $model film.png"
    .venv/bin/python images/answer.py "$tag" "$model" "${films[@]}"
    echo "check: it reads as the model folder does"
fi
echo "check: $image holds"
