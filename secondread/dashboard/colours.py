"""One colour for one thing on every page. The hues are told apart by the colour-blind too, on white and on black.

Source: Okabe & Ito, "Color Universal Design", 2008.
"""

from __future__ import annotations

from secondread.data.audit.severity import LOOK, NONE, SERIOUS

SPLITS = {"train": "#0072B2", "val": "#56B4E9", "test": "#E69F00", "final_eval": "#CC79A7"}
VERSIONS = {"before": "#999999", "after": "#009E73"}
SEVERITIES = {SERIOUS: "#D55E00", LOOK: "#E69F00", NONE: "#009E73"}
PLAIN = "#0072B2"  # where there is nothing to tell apart
FOUND = {SERIOUS: "serious", LOOK: "worth a look", NONE: "nothing found"}
BADGES = {
    SERIOUS: f":red-badge[{FOUND[SERIOUS]}]",
    LOOK: f":orange-badge[{FOUND[LOOK]}]",
    NONE: f":green-badge[{FOUND[NONE]}]",
}
SHIFTS = {
    SERIOUS: ":red-badge[large shift]",
    LOOK: ":orange-badge[some shift]",
    NONE: ":green-badge[much the same]",
}
