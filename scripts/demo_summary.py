"""Say what a finished run left, and where, and what to try next."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from secondread.config.loadtest import LoadTestConfig


def main(run_path: str, image: str) -> None:
    """Print the summary.

    Args:
        run_path: what `pipeline run --json` printed.
        image: that was read, to be tried again.
    """
    run = json.loads(Path(run_path).read_text(encoding="utf-8"))
    figures = ", ".join(f"{name} {run['metrics'][name]['value']:.3f}" for name in ("accuracy", "auroc_macro"))
    took = f"{sum(run['seconds'].values()):.0f} s, {len(run['cached'])} of {len(run['seconds'])} steps from the cache"
    lines = {
        "test figures": figures,
        "report": run["report"],
        "MLflow run": run["mlflow_run"],
        "browse runs": f".venv/bin/mlflow ui --backend-store-uri {run['mlflow_tracking_uri']}",
        "registered": f"{run['name']} version {run['registered_version']}",
        "repository": run["model_repository"],
        "pipeline": took,
    }
    sys.stdout.write("\n" + "".join(f"{name:<13} {value}\n" for name, value in lines.items()))
    report, film = shlex.quote(run["report"]), shlex.quote(image)
    sys.stdout.write(
        f"\ntry next\n  xdg-open {report}\n  .venv/bin/secondread serve\n"
        f"  .venv/bin/secondread predict {film} --url {LoadTestConfig.url}\n"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
