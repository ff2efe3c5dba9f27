"""The difference of two dataset versions, for people."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from secondread.cli.output import print_line, print_table

_KINDS = ("added", "removed", "relabelled", "moved", "regrouped")


def print_diff(document: dict[str, Any]) -> None:
    """Print what `VersionDiff.to_dict` gives: a headline, remarks, and a table with a row for each kind of change."""
    before, after = document["from"], document["to"]
    kin = ", its child" if document["parent_and_child"] else ""
    print_line(f"{before['name']} ({before['images']} images) -> {after['name']} ({after['images']} images{kin})")
    for remark in _remarks(document):
        print_line(remark)
    table = Table("", "images", "groups", "by class", "by split", "for example", box=None, pad_edge=False)
    for kind in _KINDS:
        change = document[kind]
        if change["images"]:
            counts = (_counts(change[name]) for name in ("by_class", "by_split"))
            table.add_row(
                kind, str(change["images"]), str(change["groups"]), *counts, "\n".join(change["examples"][:3])
            )
    if table.row_count:
        print_table(table)
    print_line(f"{document['unchanged']} images unchanged")


def _remarks(document: dict[str, Any]) -> list[str]:
    remarks = []
    if document["same_content"]:
        remarks.append("The same content: what a model learns from is byte for byte the same.")
    if not document["same_preprocessing"]:
        sizes = f"{document['from']['image_size']} px -> {document['to']['image_size']} px"
        remarks.append(f"Other preprocessing ({sizes}): the pixels of every image differ.")
    named = {what: document[f"classes_{what}"] for what in ("added", "removed")}
    remarks += [f"Classes {what}: {', '.join(classes)}" for what, classes in named.items() if classes]
    if document["other_file"]:
        remarks.append(f"{document['other_file']} images are the same picture in another file")
    return remarks


def _counts(counts: dict[str, int]) -> str:
    return "\n".join(f"{name} {count}" for name, count in counts.items())
