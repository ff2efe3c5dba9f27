"""The drawings, as Altair charts: each from a small table, none from the images themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt
import pandas as pd

from secondread.dashboard import colours
from secondread.dashboard.tables import ALL
from secondread.data.versions.drift import Drift

_LABEL_PIXELS = 150  # of a class's or source's name; longer ones are cut, and whole in the tooltip
_BAR_PIXELS = 26  # of height that a bar and its gap take
_LEAST_PIXELS = 70  # of height: axis and its title
_KEY_PIXELS = 60  # of height: the key of the colours, or a title


def images_chart(counts: pd.DataFrame) -> alt.Chart:
    """Images by class, one part of the bar a split.

    Args:
        counts: of `images_by_class`, with its sums.
    """
    shown = counts.drop(index=ALL).drop(columns=ALL)
    long = shown.rename_axis("class").reset_index().melt("class", var_name="split", value_name="images")
    long["order"] = long["split"].map({split: place for place, split in enumerate(colours.SPLITS)})
    chart: alt.Chart = (
        alt.Chart(long)
        .mark_bar()
        .encode(
            x=alt.X("images:Q", title="Images", axis=alt.Axis(format="~s", tickCount=5)),
            y=_names("class", "Class", list(shown.index)),
            color=_key("split", {split: colours.SPLITS[split] for split in shown.columns}),
            order="order:Q",
            tooltip=["class:N", "split:N", alt.Tooltip("images:Q", format=",")],
        )
        .properties(height=_height(len(shown)) + _KEY_PIXELS)
    )
    return chart


def missing_chart(shares: pd.DataFrame) -> alt.Chart:
    """Share of all images that lack each field.

    Args:
        shares: of `missing_shares`.
    """
    long = pd.DataFrame({"field": shares.columns, "share": shares.loc[ALL].to_numpy()})
    chart: alt.Chart = (
        alt.Chart(long)
        .mark_bar(color=colours.PLAIN)
        .encode(
            x=_share("share", "Share of images that lack it"),
            y=_names("field", "Field", long["field"].tolist()),
            tooltip=["field:N", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(height=_height(len(long)))
    )
    return chart


def shortcuts_chart(shortcuts: Iterable[Mapping[str, Any]]) -> alt.LayerChart:
    """What each trait alone reaches, with its interval, and what guessing reaches.

    Args:
        shortcuts: as the audit's JSON lists them.
    """
    rows = list(shortcuts)
    several = len({item["modality"] for item in rows}) > 1
    named = [item["name"].replace("_", " ") + (f", {item['modality']}" if several else "") for item in rows]
    figures = ("value", "low", "high", "chance")
    data = pd.DataFrame([{key: item[key] for key in figures} for item in rows])
    data = data.assign(trait=named, severity=[colours.FOUND[item["severity"]] for item in rows])
    tooltip = [alt.Tooltip("trait:N"), *(alt.Tooltip(f"{key}:Q", format=".2f") for key in figures)]
    base = alt.Chart(data).encode(y=_names("trait", "Told from", named), tooltip=tooltip)
    scale = alt.Scale(domain=[0, 1])
    axis = alt.Axis(title="Balanced accuracy, 95 % interval (| guessing)", format=".1f", tickCount=5)
    colour = _key("severity", {colours.FOUND[name]: hue for name, hue in colours.SEVERITIES.items()}, columns=2)
    between = base.mark_rule(size=3).encode(x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q", color=colour)
    points = base.mark_point(size=90, filled=True, opacity=1).encode(
        x=alt.X("value:Q", scale=scale, axis=axis), color=colour
    )
    guessing = base.mark_tick(color="#888888", thickness=2, size=18).encode(x=alt.X("chance:Q", scale=scale, axis=axis))
    return alt.LayerChart(layer=[guessing, between, points]).properties(height=_height(len(rows)) + _KEY_PIXELS)


def drift_chart(drift: Drift) -> alt.Chart:
    """Shares of one thing in the earlier and the later version, side by side."""
    long = pd.DataFrame(
        [
            {"value": name, "version": version, "share": share}
            for version, shares in (("before", drift.before), ("after", drift.after))
            for name, share in zip(drift.bins, shares, strict=True)
        ]
    )
    chart: alt.Chart = (
        alt.Chart(long)
        .mark_bar()
        .encode(
            x=_share("share", "Share of the version's images", most=max(*drift.before, *drift.after)),
            y=_names("value", None, list(drift.bins)),
            yOffset=alt.YOffset("version:N", sort=list(colours.VERSIONS)),
            color=_key("version", colours.VERSIONS),
            tooltip=["version:N", "value:N", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(
            height=_height(1.5 * len(drift.bins)) + 2 * _KEY_PIXELS, title=alt.TitleParams(drift.title, anchor="start")
        )
    )
    return chart


def _names(field: str, title: str | None, order: list[str]) -> alt.Y:
    axis = alt.Axis(labelLimit=_LABEL_PIXELS, labelOverlap=False)
    return alt.Y(f"{field}:N", title=title, sort=order, axis=axis)


def _share(field: str, title: str, *, most: float = 1.0) -> alt.X:
    scale = alt.Scale(domain=[0, most or 1.0])
    return alt.X(f"{field}:Q", title=title, scale=scale, axis=alt.Axis(format="~%", tickCount=5))


def _key(field: str, scheme: Mapping[str, str], *, columns: int = 4) -> alt.Color:
    scale = alt.Scale(domain=list(scheme), range=list(scheme.values()))
    return alt.Color(f"{field}:N", scale=scale, title=None, legend=alt.Legend(orient="top", columns=columns))


def _height(bars: float) -> int:
    return round(_LEAST_PIXELS + _BAR_PIXELS * bars)
