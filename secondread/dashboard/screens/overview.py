"""Images by split and class, and by what else is known."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from secondread.dashboard.chosen import Chosen
from secondread.dashboard.figures import images_chart
from secondread.dashboard.screens.text import plain_table
from secondread.dashboard.tables import ALL, groups_by_class, images_by, images_by_class

_BY = {
    "source": "Source",
    "sex": "Sex",
    "age": "Age (years)",
    "view": "View",
    "original_split": "Split as published",
    "modality": "Modality",
    "body_part": "Body part",
    "laterality": "Side",
    "burnt_in_text": "Text in the picture",
}


def show(chosen: Chosen) -> None:
    """The page."""
    images = chosen.images
    counts, groups = images_by_class(images), groups_by_class(images)
    with st.container(horizontal=True, gap="medium"):
        st.metric("Images", f"{len(images.table):,}", width="content")
        st.metric("Groups", f"{groups[ALL]:,}", width="content", help="A patient's images, or near duplicates.")
        st.metric("Classes", len(images.taxonomy.names), width="content")
        st.metric("Image size", f"{images.image_size} px", width="content")
    st.subheader("Images by class and split")
    st.altair_chart(images_chart(counts), width="stretch")
    _numbers(counts.assign(groups=groups))
    st.subheader("Images by what else is known")
    known = {title: counted for name, title in _BY.items() if not (counted := images_by(images, name)).empty}
    if not known:
        st.info("The manifest says nothing but the class of these images.")
        return
    title = st.segmented_control("Count by", list(known), default=next(iter(known)), required=True)
    _numbers(known[title])


def _numbers(counts: pd.DataFrame) -> None:
    st.table(plain_table(counts).style.format("{:,}"))
