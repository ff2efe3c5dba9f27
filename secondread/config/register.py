"""Under which name, and where, a model is registered."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require


@dataclass(frozen=True)
class RegisterConfig:
    """Under which name, and where, a model is registered."""

    name: str = "secondread"  # registry model and Triton model; a site may run one for CXR and one for OCT
    # folder, s3://bucket/prefix or swift://container/prefix that gets <name>/<digest>/; empty: `<home>/models`, on this
    # machine alone
    root: str = ""

    def __post_init__(self) -> None:
        valid = self.name.replace("-", "").replace("_", "").isalnum() and self.name.isascii()
        require(valid, f"model name '{self.name}' may hold letters, digits, '-' and '_' only.")
        stored = self.root.startswith(("s3://", "swift://"))
        require(
            stored or "://" not in self.root,
            f"root '{self.root}' is no place for models. Use a folder, s3://bucket/prefix or swift://container/prefix.",
        )
