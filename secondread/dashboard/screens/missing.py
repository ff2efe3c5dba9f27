"""What the manifest does not know of its images."""

from __future__ import annotations

from typing import Any

import streamlit as st

from secondread.dashboard.chosen import Chosen
from secondread.dashboard.figures import missing_chart
from secondread.dashboard.screens.text import plain_table
from secondread.dashboard.tables import missing_shares

_BY = {"class": "label", "source": "source"}


def show(chosen: Chosen) -> None:
    """The page."""
    st.write(
        "What is not known cannot be checked: without patients one person may be in two splits, without sex, age, view "
        "or source nobody can say whether the model works for all."
    )
    by = st.segmented_control("Share that lacks a field, by", list(_BY), default="class", required=True)
    shares = missing_shares(chosen.images, _BY[by])
    st.altair_chart(missing_chart(shares), width="stretch")
    shaded = plain_table(shares).style.format(_percent).map(_shade)
    st.table(shaded)


def _percent(share: Any) -> str:
    """As text. A share that is not nothing never reads as nothing, nor one that is not all as all."""
    return "under 1 %" if 0 < share < 0.01 else "over 99 %" if 0.99 < share < 1 else f"{share:.0%}"


def _shade(share: Any) -> str:
    return f"background-color: rgba(213, 94, 0, {0.55 * share:.2f})" if share else ""
