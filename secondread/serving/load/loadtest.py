"""Load on a running server: locust without its page, a verdict, and a page of ours.

Locust's own page needs scripts, and shows over time the median and P95 of the last ten seconds, to two digits.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from secondread.atomic import atomic_file
from secondread.child import END_WITH_PARENT
from secondread.config.loadtest import LoadTestConfig
from secondread.errors import DependencyError, InputError
from secondread.progress import track
from secondread.serving.load.result import LoadTestResult, summarise
from secondread.serving.load.setting import ANSWER_SECONDS, LoadSetting, image_files
from secondread.serving.load.times import read_times

_LOCUSTFILE = Path(__file__).parent / "locustfile.py"
_STOP_SECONDS = ANSWER_SECONDS + 5  # for users to end: no request is cut off, since the slowest count
_SPARE_SECONDS = _STOP_SECONDS + 60  # for locust to start and to end as well
_CONNECT_SECONDS = 5.0


def loadtest(config: LoadTestConfig, *, images: Path | None = None, report: Path, token: str = "") -> LoadTestResult:
    """Put load on a running server. `LoadTestResult.gate` gives the verdict.

    Args:
        config: where, how much, how long.
        images: folder of JPEG, PNG or DICOM files to send; phantoms by default.
        report: HTML file to write.
        token: that the server wants; empty for none.
    Raises:
        InputError: no image in the folder, or the report cannot be written.
        DependencyError: locust is not installed or failed, or no server answers.
    """
    if importlib.util.find_spec("locust") is None:
        raise DependencyError("locust is not installed: pip install -c constraints.txt 'secondread[load]'.")
    if images is not None and not image_files(images):
        raise InputError(f"{images} holds no image: name a folder with JPEG, PNG or DICOM files.")
    _check_server(config)
    from secondread.serving.load.page import render_load_test

    with atomic_file(report) as page, tempfile.TemporaryDirectory() as work:
        setting = LoadSetting(
            config=config,
            images=str(images.absolute()) if images else "",
            times=str(Path(work) / "times.jsonl"),
            token=token,
        )
        _run_locust(setting, Path(work) / "log.txt")
        result = summarise(read_times(Path(setting.times)), report=str(report))
        page.write_text(render_load_test(result, config, own_images=images is not None), encoding="utf-8")
    return result


def _check_server(config: LoadTestConfig) -> None:
    """A test against nobody would only say, much later, that everything failed."""
    if config.url:
        address = f"{config.url.rstrip('/')}/v2/models/{config.name}/ready"
        try:
            urllib.request.urlopen(address, timeout=_CONNECT_SECONDS).close()  # noqa: S310 - the server that the user named
        except urllib.error.HTTPError as error:
            raise DependencyError(f"{config.name} is not ready at {config.url} (status {error.code}).") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            if isinstance(reason := getattr(error, "reason", None), ssl.SSLCertVerificationError):
                raise DependencyError(
                    f"{config.url} has a certificate that is not trusted here ({reason.verify_message}). Name your "
                    "authority's in SSL_CERT_FILE."
                ) from error
            raise _nobody(config.url) from error
    if config.grpc_url:
        host, _, port = config.grpc_url.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
        except (OSError, ValueError, OverflowError) as error:
            raise _nobody(f"{config.grpc_url} (gRPC)") from error


def _nobody(where: str) -> DependencyError:
    return DependencyError(f"no server answers at {where}: start one with `secondread serve`.")


def _run_locust(setting: LoadSetting, log: Path) -> None:
    library = str(Path(__file__).parents[3])
    variables = {
        **os.environ,
        **setting.to_environment(),
        "PYTHONPATH": os.pathsep.join(filter(None, (library, os.environ.get("PYTHONPATH")))),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own file in our own interpreter
            [*END_WITH_PARENT, *locust_command(setting.config)],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        seconds = round(setting.config.duration_seconds)
        for _ in track(_running(process, seconds), "load test, seconds", total=seconds):
            pass
        process.wait(_SPARE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise DependencyError("locust did not end when its time was over: is the server still there?") from error
    finally:
        process.kill()
        process.wait()
    if process.returncode or not Path(setting.times).is_file():
        last = (log.read_text(errors="replace").strip().splitlines() or ["no output"])[-1]
        raise DependencyError(f"locust failed with exit code {process.returncode}: {last}")


def _running(process: subprocess.Popen[bytes], seconds: int) -> Iterator[int]:
    """Each second in which it runs."""
    for second in range(seconds):
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            yield second
        else:
            return


def locust_command(config: LoadTestConfig) -> list[str]:
    """What locust is started with; the rest stands in the environment (`LoadSetting.to_environment`)."""
    users = [name for name, address in (("RestUser", config.url), ("GrpcUser", config.grpc_url)) if address]
    return [
        *(sys.executable, "-m", "locust", "--locustfile", str(_LOCUSTFILE), "--headless", "--only-summary"),
        *("--host", config.url or "http://unused", "--stop-timeout", f"{_STOP_SECONDS:.0f}"),
        *("--exit-code-on-error", "0"),
        *users,
    ]
