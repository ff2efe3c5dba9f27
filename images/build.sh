#!/usr/bin/env bash
# Builds the images, tagged with the library's version. Called by `make images`.
#
#     images/build.sh                 # all
#     images/build.sh serving         # one
#
# DOCKER      the engine's command: docker (default) or podman
# REGISTRY    what the names begin with, ghcr.io/secondread by default
# BUILD_ARGS  more arguments of `docker build`, such as --network host
set -euo pipefail
cd "$(dirname "$0")/.."

DOCKER=${DOCKER:-docker}
REGISTRY=${REGISTRY:-ghcr.io/secondread}

if ! "$DOCKER" version >/dev/null 2>&1; then
    echo "images: no container engine answers '$DOCKER version': start it, or name another with DOCKER=podman." >&2
    exit 3
fi

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' secondread/__init__.py)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
if [ "$revision" != unknown ] && [ -n "$(git status --porcelain)" ]; then
    revision=$revision-dirty
fi
# The commit's time, not today's: the same commit gives the same label.
created=$(git log -1 --format=%cI 2>/dev/null || echo unknown)

name_of() {
    case $1 in
        # The SDK's local runner warns of an image without `python` in its name.
        pipeline) echo pipeline-python ;;
        serving | rollout) echo "$1" ;;
        *)
            echo "images: no image '$1'; there are: pipeline serving rollout." >&2
            exit 2
            ;;
    esac
}

[ $# -gt 0 ] || set -- pipeline serving rollout
for image in "$@"; do
    tag=$REGISTRY/$(name_of "$image"):$version
    echo "images: building $tag"
    # shellcheck disable=SC2086  # several arguments in one variable
    "$DOCKER" build --file "images/$image/Dockerfile" --tag "$tag" \
        --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "CREATED=$created" \
        ${BUILD_ARGS:-} .
    echo "images: $tag is $("$DOCKER" image inspect --format '{{.Size}}' "$tag" | awk '{printf "%.0f MB", $1 / 1e6}')"
done
