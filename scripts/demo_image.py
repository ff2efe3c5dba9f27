"""Copy one image of the test split out of a finished run, and say what it was labelled."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pandas as pd


def main(run_path: str, folder: str) -> None:
    """Pick the first image that was judged on test.

    Args:
        run_path: what `pipeline run --json` printed.
        folder: gets `test-image.<ending>`, instead of an earlier run's.
    """
    run = json.loads(Path(run_path).read_text(encoding="utf-8"))
    judged = pd.read_parquet(Path(run["report"]).with_name("predictions.parquet")).iloc[0]
    images = pd.read_parquet(Path(run["images"], "manifest.parquet")).set_index("image_id")
    source = Path(run["images"], images.loc[judged["image_id"], "path"])
    Path(folder).mkdir(parents=True, exist_ok=True)
    for earlier in Path(folder).glob("test-image.*"):
        earlier.unlink()
    shutil.copyfile(source, Path(folder, f"test-image{source.suffix}"))
    sys.stdout.write(f"   an image labelled {judged['label']}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
