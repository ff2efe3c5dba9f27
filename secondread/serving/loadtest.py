"""Load on a running server: locust without its page, a verdict, and its report as HTML."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secondread.config.loadtest import LoadTestConfig
from secondread.errors import DependencyError, GateRefused, InputError
from secondread.serving.load_setting import LoadSetting, image_files

_LOCUSTFILE = Path(__file__).parent / "locustfile.py"
_SPARE_SECONDS = 60  # for locust to start, to finish its last requests and to write its report


@dataclass(frozen=True)
class LoadTestResult:
    """What a load test found.

    Attributes:
        requests: sent and ended.
        failures: of these, without a reading.
        p50_ms, p95_ms, p99_ms: milliseconds of the answered requests, nearest rank; None when there are none.
        rate_per_second: requests a second.
        first_failure: what the first failed request was told.
        report: locust's page.
    """

    requests: int
    failures: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    rate_per_second: float
    first_failure: str
    report: str

    @property
    def failure_share(self) -> float:
        """Failures among the requests; 1 when there were no requests."""
        return self.failures / self.requests if self.requests else 1.0

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "failure_share": self.failure_share}

    def table(self) -> str:
        """For people."""
        times = "  ".join(
            f"{name} {value:.1f} ms" if value is not None else f"{name} -"
            for name, value in (("p50", self.p50_ms), ("p95", self.p95_ms), ("p99", self.p99_ms))
        )
        return (
            f"{self.requests} requests at {self.rate_per_second:.1f}/s  {times}  "
            f"failures {self.failures} ({self.failure_share:.2%})\nreport {self.report}"
        )

    def check(self, config: LoadTestConfig) -> None:
        """Say no when the server did not bear the load.

        Raises:
            GateRefused: too many failures, too slow, or nothing was measured.
        """
        if self.failure_share > config.failures_at_most:
            raise GateRefused(
                f"load test: {self.failure_share:.2%} of {self.requests} requests failed, more than "
                f"{config.failures_at_most:.2%} (first: {self.first_failure or 'no request at all'})."
            )
        if self.p99_ms is None or self.p99_ms >= config.p99_below_ms:
            raise GateRefused(
                f"load test: P99 is {self.p99_ms or math.inf:.1f} ms, not below {config.p99_below_ms:g} ms. "
                "Give the server more CPUs, or a smaller model."
            )


def loadtest(config: LoadTestConfig, *, images: Path | None = None, report: Path, token: str = "") -> LoadTestResult:
    """Put load on a running server. `LoadTestResult.check` gives the verdict.

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
    try:
        report.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {report} ({error.strerror}): choose another --report.") from error
    with tempfile.TemporaryDirectory() as work:
        results = Path(work) / "times.json"
        setting = LoadSetting(
            grpc_url=config.grpc_url,
            name=config.name,
            images=str(images.absolute()) if images else "",
            wait_seconds=config.wait_seconds,
            results=str(results),
            token=token,
        )
        _run_locust(config, setting, report.absolute())
        return _summary(json.loads(results.read_text(encoding="utf-8")), report)


def _check_server(config: LoadTestConfig) -> None:
    """A test against nobody would only say, much later, that everything failed."""
    if not config.url:
        return
    address = f"{config.url.rstrip('/')}/v2/models/{config.name}/ready"
    try:
        urllib.request.urlopen(address, timeout=5).close()  # noqa: S310 - the server that the user named
    except urllib.error.HTTPError as error:
        raise DependencyError(f"{config.name} is not ready at {config.url} (status {error.code}).") from error
    except (OSError, ValueError) as error:
        raise DependencyError(f"no server answers at {config.url}: start one with `secondread serve`.") from error


def _run_locust(config: LoadTestConfig, setting: LoadSetting, report: Path) -> None:
    library = str(Path(__file__).parents[2])
    variables = {
        **os.environ,
        **setting.to_environment(),
        "PYTHONPATH": os.pathsep.join(filter(None, (library, os.environ.get("PYTHONPATH")))),
    }
    try:
        done = subprocess.run(  # noqa: S603 - our own file in our own interpreter
            _command(config, report),
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=config.seconds + _SPARE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DependencyError(f"locust did not end within {error.timeout:g} s: is the server still there?") from error
    if done.returncode or not Path(setting.results).is_file():
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise DependencyError(f"locust failed with exit code {done.returncode}: {last}")


def _command(config: LoadTestConfig, report: Path) -> list[str]:
    users = [name for name, address in (("RestUser", config.url), ("GrpcUser", config.grpc_url)) if address]
    return [
        *(sys.executable, "-m", "locust", "--locustfile", str(_LOCUSTFILE), "--headless", "--only-summary"),
        *("--host", config.url or "http://unused"),
        *("--users", str(config.users), "--spawn-rate", str(config.users)),
        *("--run-time", f"{math.ceil(config.seconds)}s", "--stop-timeout", "10"),
        *("--html", str(report), "--exit-code-on-error", "0"),
        *users,
    ]


def _summary(times: list[tuple[float, float, str]], report: Path) -> LoadTestResult:
    """Figures of the requests: when each ended (seconds), how long it took (milliseconds), its failure or ""."""
    answered = np.array([milliseconds for _, milliseconds, failure in times if not failure])
    failures = [failure for _, _, failure in times if failure]
    ends = [end for end, _, _ in times]
    seconds = max(ends) - min(ends) if len(ends) > 1 else math.inf
    p50, p95, p99 = (_percentile(answered, share) for share in (50, 95, 99))
    return LoadTestResult(
        requests=len(times),
        failures=len(failures),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        rate_per_second=len(times) / seconds,
        first_failure=failures[0] if failures else "",
        report=str(report),
    )


def _percentile(milliseconds: Any, share: float) -> float | None:
    return float(np.percentile(milliseconds, share, method="inverted_cdf")) if milliseconds.size else None
