"""How the registry keeps what was champion."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.config.require import require

_MOST = 20  # more aliases than anybody reads


@dataclass(frozen=True)
class RegistryConfig:
    """How the registry keeps what was champion."""

    # former champions under the aliases champion-1 (the last one), champion-2, ...: the last three cover a bad week;
    # versions without an alias stay in the registry, and `promote` takes them by number
    rollback_targets: int = 3

    def __post_init__(self) -> None:
        whole = type(self.rollback_targets) is int and 1 <= self.rollback_targets <= _MOST
        require(whole, f"rollback_targets must be a whole number from 1 to {_MOST}, not {self.rollback_targets!r}.")
