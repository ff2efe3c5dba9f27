"""Say what a finished run left, and where."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(run_path: str) -> None:
    """Print the summary.

    Args:
        run_path: what `pipeline run --json` printed.
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


if __name__ == "__main__":
    main(*sys.argv[1:])
