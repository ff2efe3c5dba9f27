"""Random pictures of each class, as the model gets them."""

from __future__ import annotations

import streamlit as st

from secondread.dashboard.chosen import Chosen
from secondread.dashboard.pictures import draw, read_pictures
from secondread.dashboard.screens.text import explained, plain

_SIDE = 160  # pixels that a picture is shown at
_MOST = 24  # pictures of a class


def show(chosen: Chosen) -> None:
    """The page."""
    images = chosen.images
    with st.container(horizontal=True, vertical_alignment="bottom"):
        split = st.selectbox("Split", ["any", *images.splits], width=160)
        count = st.selectbox("Pictures of a class", [6, 12, _MOST], width=160)
        if st.button("Draw others", icon=":material/casino:"):
            st.session_state["draw"] = st.session_state.get("draw", 0) + 1
    st.caption(f"As the model gets them: {images.image_size} px, grey. Only what is shown is read.")
    seed = st.session_state.get("draw", 0)
    for info in images.taxonomy.classes:
        named = f"{plain(info.title)} ({plain(info.name)})" if info.title not in ("", info.name) else plain(info.name)
        st.markdown(f"**{named}**")
        positions = draw(images, label=info.name, split="" if split == "any" else split, count=count, seed=seed)
        if not positions:
            st.caption("None in this split.")
            continue
        with explained():
            pictures = read_pictures(chosen.held, images, positions)
            with st.container(horizontal=True, gap="small"):
                for picture, position in zip(pictures, positions, strict=True):
                    st.image(picture, caption=_caption(chosen, position), width=_SIDE)


def _caption(chosen: Chosen, position: int) -> str:
    """Split, source, sex and view: what may make pictures look alike. No age, and nothing that names anybody."""
    row = chosen.images.table.iloc[position]
    known = [str(row[name]) for name in ("split", "source", "view", "sex") if str(row[name])]
    return plain(" · ".join(known))
