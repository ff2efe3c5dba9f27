"""Two versions side by side, against what `data diff` says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from secondread.dashboard.comparison import changes, drifts
from secondread.dashboard.images import read_images
from secondread.dashboard.pictures import brightness
from secondread.dashboard.shelf import Held
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.diff import diff_versions


def test_the_changes_are_those_of_data_diff(shelf_root: Path, published_root: Path, held: Callable[..., Held]) -> None:
    first, retrain = (DatasetVersion.open(shelf_root / name) for name in ("first", "retrain"))
    expected = diff_versions(first, retrain).to_dict()
    assert expected["moved"]["images"] > 0
    for versions in (
        (held(shelf_root, "first"), held(shelf_root, "retrain")),
        (held(published_root, first.name), held(published_root, retrain.name)),
    ):
        table, remarks = changes(*versions)
        assert table.loc["moved to another split", "images"] == expected["moved"]["images"]
        assert table.loc["moved to another split", "groups"] == expected["moved"]["groups"]
        assert table.loc["unchanged", "images"] == expected["unchanged"]
        assert table.loc["added", "images"] == 0
        assert remarks == ["The later version grew from the earlier one."]
    _, remarks = changes(held(shelf_root, "first"), held(published_root, first.name))
    assert "byte for byte the same" in remarks[0]


def test_drift_is_measured_on_every_image_but_brightness_on_those_that_were_read(
    shelf_root: Path, held: Callable[..., Held]
) -> None:
    first, retrain = held(shelf_root, "first"), held(shelf_root, "retrain")
    before, after = read_images(first), read_images(retrain)
    without = {item.name: item for item in drifts(before, after)}
    assert "brightness" not in without
    split = without["split"]
    share = (before.table["split"] == "train").mean()
    assert split.before[split.bins.index("train")] == pytest.approx(share)
    assert split.after[split.bins.index("train")] > share
    read = brightness(first, before, count=50), brightness(retrain, after, count=50)
    found = {item.name: item for item in drifts(before, after, read)}
    assert "not known" not in found["brightness"].bins
    assert found["brightness"].before[0] * 50 == pytest.approx(round(found["brightness"].before[0] * 50))
