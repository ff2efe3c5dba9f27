"""The script that Streamlit runs: a root is its one argument. `secondread data dashboard` starts it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import streamlit as st

from secondread.dashboard.chosen import Chosen, cache_folder, images_of, look
from secondread.dashboard.screens import audit, drift, missing, overview, samples
from secondread.dashboard.screens.text import explained, plain

# Pages have no icons: the browser would fetch them from elsewhere, to show them on its tab.
_PAGES: dict[str, Callable[[Chosen], None]] = {
    "Overview": overview.show,
    "Samples": samples.show,
    "Missing": missing.show,
    "Audit": audit.show,
    "Drift": drift.show,
}
_WIDE = "Samples"  # on the others lines would be too long to read


def main(root: str) -> None:
    """Draw the page that was asked for.

    Args:
        root: where the versions are.
    """
    # the version is chosen outside the pages, so that it stays the same from one to the next
    chosen: list[Chosen] = []
    pages = [
        st.Page(_page(show, chosen), title=title, url_path=title.lower(), default=show is overview.show)
        for title, show in _PAGES.items()
    ]
    page = st.navigation(pages, position="top")
    st.set_page_config(
        page_title=f"{page.title} · SecondRead data", layout="wide" if page.title == _WIDE else "centered"
    )
    with explained():
        chosen.extend(_choose(root))
    page.run()


def _page(show: Callable[[Chosen], None], chosen: list[Chosen]) -> Callable[[], None]:
    def page() -> None:
        for one in chosen:
            with explained():
                show(one)

    return page


def _choose(root: str) -> list[Chosen]:
    """Let a version be chosen; none where there is none."""
    shelf = look(root)
    if not shelf.versions and not shelf.problems:
        st.info(
            f"No dataset version in {plain(shelf.uri)} yet. Make one with `secondread data preprocess`, or publish one."
        )
    by_title = {held.title: held for held in shelf.versions}
    title = st.selectbox("Dataset version", list(by_title), key="version") if by_title else None
    for problem in shelf.problems:
        st.warning(plain(problem), icon=":material/warning:")
    if title is None:
        return []
    held = by_title[title]
    images = images_of(held)
    if images.synthetic:
        st.caption(":material/science: Generated images: they say nothing about real patients.")
    return [Chosen(shelf, held, images, cache_folder())]


if __name__ == "__main__":
    main(sys.argv[1])
