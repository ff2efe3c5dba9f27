#!/usr/bin/env bash
# The main job, once: images -> pipeline -> registered model -> Triton and transformer -> one answer over V2.
set -euo pipefail
cd "$(dirname "$0")/.."

data=${1:-phantom://demo}
export SECONDREAD_HOME=${SECONDREAD_HOME:-$PWD/var}
secondread=.venv/bin/secondread
python=.venv/bin/python
work=$(mktemp -d)
server=

finish() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT

field() { # field FILE NAME: a top-level field of a JSON document
    "$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"
}

recipe=()
case $data in phantom:*) recipe=(--set train.image_presentations=30000) ;; esac # a first look; real films get it whole

echo "1. the pipeline, on $data"
"$secondread" pipeline run train --data "$data" "${recipe[@]}" --json >"$work/run.json"

echo "2. the model behind Triton and the Open Inference Protocol"
repository=$(field "$work/run.json" model_repository)
"$secondread" serve --repository "$repository" --http-port 0 --grpc-port 0 --ready-file "$work/ready.json" \
    2>"$work/serve.log" &
server=$!
until [ -s "$work/ready.json" ]; do
    kill -0 "$server" 2>/dev/null || { cat "$work/serve.log" >&2; exit 3; }
    sleep 0.2
done
url=$(field "$work/ready.json" url)

echo "3. one image of the test split, read over V2 at $url"
"$python" scripts/demo_image.py "$work/run.json" "$SECONDREAD_HOME/demo"
images=("$SECONDREAD_HOME"/demo/test-image.*)
image=${images[0]#"$PWD"/}
"$secondread" predict "$image" --url "$url"
"$python" scripts/demo_summary.py "$work/run.json" "$image"
