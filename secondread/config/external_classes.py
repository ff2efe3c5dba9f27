"""Which class of a set from outside is which of the model's: the file behind `evaluate --classes`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from secondread.config.mapping import from_mapping
from secondread.config.require import require


@dataclass(frozen=True)
class ExternalClassesConfig:
    """Which class of the set is which of the model's. A class that is not named here goes by its own name."""

    # the set's class to the model's; several may go to one, since a set may tell apart what the model does not
    map: Mapping[str, str] = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()  # the set's classes that no figure is to count, such as one labelled by guess

    def __post_init__(self) -> None:
        require(isinstance(self.map, Mapping), "map must be a mapping of the set's classes to the model's.")
        for name in (*self.map, *self.map.values(), *self.leave_out):
            # YAML reads `no`, `on` and 0 as something else than a name
            require(isinstance(name, str), f"a class is named {name!r}, which is no text: put it in quotes.")
        both = ", ".join(sorted(set(self.map) & set(self.leave_out)))
        require(not both, f"{both} is in map and in leave_out: keep one of them.")


def external_classes_from(document: Any) -> ExternalClassesConfig:
    """Make the map from a parsed YAML file; of an empty one, every class goes by its own name.

    Raises:
        InputError: a key is not known, or a value refused.
    """
    document = {} if document is None else document
    form = "it must hold 'map' and 'leave_out', such as map: {NORMAL: cxr-normal}."
    require(isinstance(document, Mapping) and all(isinstance(key, str) for key in document), form)
    return from_mapping(ExternalClassesConfig, document, stage="")
