"""How the chosen version differs from an earlier one."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from secondread.dashboard import colours
from secondread.dashboard.chosen import Chosen, images_of
from secondread.dashboard.comparison import changes, drifts
from secondread.dashboard.figures import drift_chart
from secondread.dashboard.images import Images
from secondread.dashboard.pictures import BRIGHTNESS_IMAGES, brightness
from secondread.dashboard.screens.text import explained, plain
from secondread.dashboard.shelf import Held
from secondread.data.versions.drift import Drift


def show(chosen: Chosen) -> None:
    """The page."""
    others = [held for held in chosen.shelf.versions if held.key != chosen.held.key]
    if not others:
        st.info("There is one version here only, so there is nothing to compare it with.")
        return
    titles = [held.title for held in others]
    parents = [place for place, held in enumerate(others) if held.content_hash == chosen.held.parent]
    before = others[
        titles.index(st.selectbox("Compared with (the earlier version)", titles, index=parents[0] if parents else 0))
    ]
    with explained():
        st.subheader("Images that changed")
        table, remarks = _changes(before.key, chosen.held.key, before, chosen.held)
        for remark in remarks:
            st.write(plain(remark))
        st.table(table.style.format({"images": "{:,}", "groups": "{:,}"}, na_rep=""))
    with explained():
        st.subheader("What has drifted")
        _drifts(chosen, before)


def _drifts(chosen: Chosen, before: Held) -> None:
    old = images_of(before)
    lights = _lights(chosen, before, old)
    found = _found(before.key, chosen.held.key, lights is not None, old, chosen.images, lights)
    st.caption(
        "PSI, the population stability index, says how large a shift is: below 0.1 small, from 0.25 on large. p is how "
        "often chance alone would give as much; one image of a group is tested."
    )
    for item in found:
        st.markdown(f"{colours.SHIFTS[item.severity]} **{plain(item.title)}**: {plain(item.sentence)}.")
    named = {item.title: item for item in found}
    title = st.selectbox("Show", list(named))
    _picture(named[title])


def _picture(drift: Drift) -> None:
    st.altair_chart(drift_chart(drift), width="stretch")


def _lights(chosen: Chosen, before: Held, old: Images) -> tuple[pd.Series, pd.Series] | None:
    """Brightness of both versions; from a store only when it is asked for, since it takes some hundred requests."""
    near = before.near and chosen.held.near
    count = BRIGHTNESS_IMAGES
    if not near and not st.toggle(f"Compare the brightness too (reads {count} pictures of each version)"):
        return None
    return _brightness(before.key, before, old), _brightness(chosen.held.key, chosen.held, chosen.images)


@st.cache_data(max_entries=16, show_spinner="Comparing image by image…")
def _changes(before_key: str, after_key: str, _before: Held, _after: Held) -> tuple[pd.DataFrame, list[str]]:  # noqa: ARG001 - what is kept is kept by the keys
    return changes(_before, _after)


@st.cache_data(max_entries=16, show_spinner="Measuring what has drifted…")
def _found(
    before_key: str,  # noqa: ARG001 - what is kept is kept by the keys
    after_key: str,  # noqa: ARG001
    with_brightness: bool,  # noqa: ARG001
    _before: Images,
    _after: Images,
    _lights: tuple[pd.Series, pd.Series] | None,
) -> list[Drift]:
    return drifts(_before, _after, _lights)


@st.cache_data(max_entries=16, show_spinner="Looking at the brightness…")
def _brightness(key: str, _held: Held, _images: Images) -> pd.Series:  # noqa: ARG001 - what is kept is kept by the key
    return brightness(_held, _images)
