"""Whether the serving image reads films as the library does: `python images/answer.py TAG MODEL FILM...`, by check.sh.

The container runs as in a pod: no root, a read-only root file system with a small /tmp, no capabilities; beside it a
Triton on loopback, which is this machine's. Both protocols must give what the model folder gives without a server,
and on SIGTERM the container must end with 0.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from secondread.config.signing import SigningSettings
from secondread.export.repository.layout import write_repository
from secondread.export.repository.signing import sign_folder
from secondread.export.repository.signing_key import signing_key
from secondread.model.folder import ModelFolder
from secondread.serving.local.triton import LocalTriton
from secondread.serving.predict import predict_with_model, predict_with_server
from secondread.serving.protocol.reading import Reading

NAME = "secondread"
START_SECONDS = 60.0
TOLERANCE = 1e-6  # of a probability
UNPRIVILEGED = (
    *("--read-only", "--tmpfs", "/tmp:size=64m", "--cap-drop", "ALL"),  # noqa: S108 - the container's own
    *("--security-opt", "no-new-privileges", "--memory", "2g"),
)


def main(tag: str, model: Path, films: list[Path]) -> int:
    """Compare; gives the exit code."""
    alone = predict_with_model(model, films)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        work.chmod(0o755)  # the container's user is nobody here
        repository = write_repository(ModelFolder.open(model), work / "models", name=NAME, version=1)
        settings = SigningSettings.read({}, work)
        sign_folder(repository, signing_key(settings))
        keys = work / "trusted"
        keys.mkdir()
        (keys / "model.pub").write_bytes(settings.trusted.read_bytes())
        http, grpc = _free_ports(2)
        mounts = ("--volume", f"{repository}:/mnt/models:ro", "--volume", f"{keys}:/mnt/trusted:ro")
        with LocalTriton(repository, home=work) as triton:
            arguments = ["--host", "127.0.0.1", "--http-port", str(http), "--grpc-port", str(grpc)]
            arguments += ["--predictor-host", triton.http_address, "--trusted-keys", "/mnt/trusted"]
            container = _docker("run", "--detach", "--network", "host", *UNPRIVILEGED, *mounts, tag, *arguments)
            try:
                _wait(container, http)
                for url in (f"http://127.0.0.1:{http}", f"grpc://127.0.0.1:{grpc}"):
                    away = _furthest(alone, predict_with_server(url, films, name=NAME))
                    print(
                        f"answer: {len(films)} films over {url.partition(':')[0]}, at most {away:.1e} from the folder"
                    )
                    if not away <= TOLERANCE:
                        return 1
                _docker("stop", container)
                if code := _docker("inspect", "--format", "{{.State.ExitCode}}", container).strip("0"):
                    print(f"answer: on SIGTERM it ended with {code}", file=sys.stderr)
                    return 1
            finally:
                _docker("rm", "--force", container)
    return 0


def _furthest(ours: list[Reading], theirs: list[Reading]) -> float:
    """The largest difference of a probability; 1 where an image was taken for another."""
    if [each.image_id for each in ours] != [each.image_id for each in theirs]:
        return 1.0
    pairs = zip(ours, theirs, strict=True)
    return max(
        float(np.abs(np.subtract([*a.probabilities.values()], [*b.probabilities.values()])).max()) for a, b in pairs
    )


def _wait(container: str, port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        ready = _answers(port)
        if ready:
            return
        if _docker("inspect", "--format", "{{.State.Running}}", container) != "true":
            break
        time.sleep(0.2)
    logs = subprocess.run(["docker", "logs", container], check=False, capture_output=True, text=True)
    sys.exit(f"answer: the container did not get ready:\n{logs.stderr[-2000:]}")


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), [Path(each) for each in sys.argv[3:]]))
