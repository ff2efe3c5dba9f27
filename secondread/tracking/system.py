"""The load of this machine, measured by MLflow's own monitors: CPU, memory, disk, network, and GPUs where there are.

MLflow would send it by itself, and give up when its server goes away; here it goes the way of all other figures. The
machine is the host, not the container: what its neighbours use is in it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from mlflow.environment_variables import MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL
from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
from mlflow.system_metrics.metrics.rocm_monitor import ROCMMonitor

PREFIX = "system/"  # that MLflow's pages know these figures by
_SECONDS = 10.0  # between two measurements, as MLflow does by default


class SystemWatch:
    """A thread that measures until it is told to stop; once more then, so that a short run has figures too.

    Args:
        tell: is given the figures, by name, and the number of the measurement.
        first: number of the first measurement.
    """

    def __init__(self, tell: Callable[[Mapping[str, float], int], None], *, first: int) -> None:
        self._tell = tell
        self._step = first
        self._monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor(), *_gpu_monitors()]
        for monitor in self._monitors:
            monitor.collect_metrics()  # the first load of the CPU is since nobody knows when
            monitor.clear_metrics()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="system-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Measure a last time, and end."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        seconds = MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL.get() or _SECONDS
        while not self._stopped.wait(seconds):
            self._measure()
        self._measure()

    def _measure(self) -> None:
        figures: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            figures.update(monitor.aggregate_metrics())
            monitor.clear_metrics()
        self._tell({f"{PREFIX}{name}": float(value) for name, value in figures.items()}, self._step)
        self._step += 1


def _gpu_monitors() -> list[BaseMetricsMonitor]:
    """Of the GPUs that this machine has and whose library is installed (`nvidia-ml-py`, or `pyrsmi`)."""
    for kind in (GPUMonitor, ROCMMonitor):
        try:
            return [kind()]
        except (ImportError, RuntimeError):
            continue
    return []
