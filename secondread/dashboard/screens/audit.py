"""What the audit found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from secondread.dashboard import colours
from secondread.dashboard.audits import Found, bytes_to_fetch, run_audit, stored_audit
from secondread.dashboard.chosen import Chosen
from secondread.dashboard.figures import shortcuts_chart
from secondread.dashboard.screens.text import explained, plain
from secondread.data.audit.severity import NONE


def show(chosen: Chosen) -> None:
    """The page."""
    with explained():
        found = stored_audit(chosen.held, chosen.cache)
        if found is None:
            _offer(chosen)
        else:
            _present(found)


def _offer(chosen: Chosen) -> None:
    st.write(
        "This version has no audit yet. It looks for leaks between splits, contradictions, and for what tells the "
        "label without a look at the patient; that takes a minute or so."
    )
    size = bytes_to_fetch(chosen.held)
    if size:
        st.write(f"The audit looks at thousands of pictures, so all {size / 1e6:,.0f} MB are fetched first, once.")
    if st.button("Run the audit", type="primary", icon=":material/search:"):
        with st.spinner("Auditing…"):
            run_audit(chosen.held, chosen.cache)
        st.rerun()


def _present(found: Found) -> None:
    document = found.document
    st.markdown(f"**Verdict** {colours.BADGES[document['severity']]}")
    st.subheader("What tells the label without a look at the patient")
    if document["shortcuts"]:
        st.altair_chart(shortcuts_chart(document["shortcuts"]), width="stretch")
    several = len({item["modality"] for item in document["shortcuts"]}) > 1
    _entries(
        [
            (item["severity"], item["modality"] if several else "", _capital(item["sentence"]) + ".")
            for item in document["shortcuts"]
        ]
    )
    for note in document["notes"]:
        st.caption(plain(_capital(note)))
    st.subheader("Leaks, repeats and contradictions")
    _entries([(item["severity"], item["title"], item["sentence"]) for item in document["findings"]])
    _left_out(document["rejected"])
    if found.page is not None:
        st.download_button(
            "Whole report with pictures",
            found.page.read_bytes(),
            file_name="audit.html",
            mime="text/html",
            icon=":material/download:",
        )


def _entries(entries: list[tuple[str, str, str]]) -> None:
    """Severity, title and sentence of each thing; what was looked for in vain is folded up."""
    named = [(severity, (f"**{plain(title)}**: " if title else "") + plain(text)) for severity, title, text in entries]
    for severity, text in named:
        if severity != NONE:
            st.markdown(f"{colours.BADGES[severity]} {text}")
    nothing = [text for severity, text in named if severity == NONE]
    if nothing:
        with st.expander(f"{colours.FOUND[NONE].capitalize()}: {len(nothing)}"):
            for text in nothing:
                st.markdown(f"- {text}")


def _left_out(rejected: Mapping[str, Any]) -> None:
    if rejected:
        st.subheader("Left out when the images came in")
        reasons = pd.Series({plain(str(reason)): count for reason, count in rejected.items()}, name="images")
        st.table(reasons.sort_values(ascending=False).rename_axis("reason").to_frame())


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
