"""What an evaluation found, as MLflow's figures: from the JSON that it wrote, so that any evaluation can be told of.

A figure has its own name, and where it has an interval, that with `_low` and `_high` behind it. What cannot be known is
left out. Names of what is not over all classes and images have parts: `recall/cxr-covid`, `turned_away/noise`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from secondread.tracking.finished_run import named

Document = Mapping[str, Any]
Figures = Iterator[tuple[str, float | None]]

_ENDS = {"value": "", "share": "", "low": "_low", "high": "_high"}


def figures_of(document: Document) -> dict[str, float]:
    """Figures by name.

    Args:
        document: `evaluation.json`.
    """
    evidence = document["evidence"] or {}
    parts = [
        *_over_all(document),
        *_of_classes(document),
        *_of_calibration(document["calibration"]),
        *_of_gate(document["gate"]),
        *_of_elsewhere(document),
        *(figure for name, take in _EVIDENCE.items() if evidence.get(name) for figure in take(evidence[name])),
    ]
    return {name: float(value) for name, value in parts if value is not None}


def curves_of(document: Document) -> dict[str, list[float]]:
    """Accuracy and calibration error of corrupted images; the step is the strength, and 0 the images as they are."""
    found = (document["evidence"] or {}).get("robustness")
    if not found:
        return {}
    return {
        named("corrupted", figure, name): [found["clean"][figure], *(each[figure]["value"] for each in strengths)]
        for name, strengths in found["corruptions"].items()
        for figure in ("accuracy", "ece")
    }


def _with_ends(figure: Document, *name: str) -> Figures:
    """One figure, `{"value", "low", "high"}` or with a share for the value."""
    for end, behind in _ENDS.items():
        if end in figure:
            yield f"{named(*name)}{behind}", figure[end]


def _over_all(document: Document) -> Figures:
    yield "images", document["n"]
    yield "patients", document["groups"]
    for name, figure in document["metrics"].items():
        yield from _with_ends(figure, name)


def _of_classes(document: Document) -> Figures:
    for label, found in document["per_class"].items():
        for name, figure in found.items():
            yield from _with_ends(figure if isinstance(figure, Mapping) else {"value": figure}, name, label)
    for label, found in document["thresholds"].items():
        yield named("threshold", label), found["threshold"]
        for name in ("sensitivity", "specificity"):
            yield from _with_ends(found[name], f"{name}_at_threshold", label)


def _of_calibration(found: Document) -> Figures:
    yield "temperature", found["temperature"]
    yield "margin_power", found["margin_power"]
    yield from _with_ends(found["ece_if_calibrated"], "ece_if_calibrated")
    for name, figure in found["before"].items():
        yield from _with_ends(figure, "before_scaling", name)


def _of_gate(found: Document) -> Figures:
    yield "gate/passed", found["passed"]
    for line in found["lines"]:
        yield named("gate", line["name"]), line["passed"]


def _of_elsewhere(document: Document) -> Figures:
    """Of a set from outside: classes that the model lacks, and the drop."""
    for each in document["apart"]:
        yield named("apart", "images", each["name"]), each["n"]
        yield from _with_ends(each["confidence"], "apart", "confidence", each["name"])
        yield from _with_ends(each["flagged"], "apart", "turned_away", each["name"])
    for name, figure in (document["drop"] or {"figures": {}})["figures"].items():
        yield from _with_ends(figure["drop"], "drop", name)


def _of_subgroups(found: Document) -> Figures:
    gaps = [
        (factor["name"], group["name"], gap)
        for factor in found["factors"]
        for group in factor["groups"]
        for gap in group["gaps"]
    ]
    yield "subgroups/compared", found["looks"]
    for verdict, name in (("worse", "worse"), ("better", "better"), ("too small to tell", "too_small")):
        yield f"subgroups/{name}", sum(gap["verdict"] == verdict for _, _, gap in gaps)
    for factor in found["factors"]:
        if factor["largest"]:
            yield from _with_ends(factor["largest"]["gap"], "largest_gap", factor["name"])
    for factor, group, gap in gaps:
        if gap["verdict"] in ("worse", "better"):
            of = gap["classes"] if gap["figure"] == "sensitivity" else ()
            yield from _with_ends(gap, "gap", factor, group, gap["figure"], *of)


def _of_robustness(found: Document) -> Figures:
    for name, loss in found["mean_loss"].items():
        yield named("mean_loss", name), loss


def _of_behaviour(found: Document) -> Figures:
    yield "behaviour/passed", found["passed"]
    for result in found["results"]:
        yield from _with_ends(result, "behaviour", "failed", result["name"])


def _of_field(found: Document) -> Figures:
    yield from _with_ends(found["own"], "turned_away", "these")
    yield from _with_ends(found["together"], "turned_away", "other_fields")
    for name, kind in found["kinds"].items():
        yield from _with_ends(kind, "turned_away", name)


def _of_latency(found: Document) -> Figures:
    yield "latency_median_ms", found["median_ms"]
    yield "latency_p99_ms", found["p99_ms"]


def _of_selective(found: Document) -> Figures:
    yield from _with_ends(found["aurc"], "aurc")
    for name in ("threshold", "coverage", "observed", "at_most"):
        yield f"abstention/{name}", found["abstention"][name]


def _of_dial(found: Document) -> Figures:
    for name in ("accepted", "threshold"):
        yield f"risk_dial/{name}", found["chosen"][name]
    for name in ("escalated", "wrong_closures"):
        yield from _with_ends(found["chosen"][name], "risk_dial", name)


def _of_room(part: str, *names: str) -> Callable[[Document], Figures]:
    def take(found: Document) -> Figures:
        for name in names:
            yield from _with_ends(found[name], part, name)

    return take


def _of_known_failures(found: Document) -> Figures:
    for verdict, count in found["counts"].items():
        yield named("known_failures", verdict.replace(" ", "_")), count


def _of_champion(found: Document) -> Figures:
    for name, difference in found["differences"].items():
        yield from _with_ends(difference, "less_champion", name)
    yield "less_champion/mcnemar_p", found["mcnemar"]["p_value"]


_EVIDENCE: Mapping[str, Callable[[Document], Figures]] = {
    "subgroups": _of_subgroups,
    "robustness": _of_robustness,
    "behaviour": _of_behaviour,
    "not_my_field": _of_field,
    "latency": _of_latency,
    "selective": _of_selective,
    "risk_dial": _of_dial,
    "second_reader": _of_room("second_reader", "closed", "errors", "caught", "missed", "missed_disease", "needless"),
    "workload": _of_room(
        "workload", "physicians_alone", "with_second_reader", "preliminary", "busy_alone", "busy_with"
    ),
    "known_failures": _of_known_failures,
    "champion": _of_champion,
}
