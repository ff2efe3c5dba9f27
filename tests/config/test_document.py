"""What people write as YAML, read; and what is wrong with it, said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondread.config.document import over, read_document, read_mapping
from secondread.errors import InputError


def test_a_document_is_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("- 1\n- two: 2\n")
    assert read_document(tmp_path / "a.yaml", what="list") == [1, {"two": 2}]


def test_an_empty_file_is_no_document_and_an_empty_mapping(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# nothing yet\n")
    assert read_document(tmp_path / "a.yaml", what="policy") is None
    assert read_mapping(tmp_path / "a.yaml", what="policy", example="limit: 1") == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"limit: [1", "cannot read the policy .*a.yaml, which is no YAML: .*line 1"),
        (b"limit: \xff", "cannot read the policy .*a.yaml, which is no YAML"),
        (b"!!python/object/apply:os.system ['true']", "cannot read the policy .*a.yaml, which is no YAML"),
        (b"- limit", "the policy .*a.yaml must map settings to values, such as 'limit: 1'"),
    ],
)
def test_what_is_no_mapping_of_settings_is_said_in_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(InputError, match=said) as refused:
        read_mapping(tmp_path / "a.yaml", what="policy", example="limit: 1")
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the policy .*none.yaml: No such file or directory"):
        read_document(tmp_path / "none.yaml", what="policy")


def test_one_mapping_goes_over_another_at_any_depth() -> None:
    below = {"a": 1, "b": {"c": 2, "d": {"e": 3}}}
    assert over(below, {"b": {"d": {"e": 4, "f": 5}}, "g": 6}) == {
        "a": 1,
        "b": {"c": 2, "d": {"e": 4, "f": 5}},
        "g": 6,
    }
