"""The classes of a dataset or model: their order, modality and urgency. Always data, never code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from secondread.errors import InputError

MODALITIES = {"cxr": "chest X-ray", "oct": "retinal OCT"}
URGENCIES = ("urgent", "routine", "unknown")


@dataclass(frozen=True)
class ClassInfo:
    """One class.

    Attributes:
        name: stable identifier, such as `cxr-covid`.
        title: what a person reads.
        modality: `cxr`, `oct` or another short name; empty where it is not known.
        urgency: `urgent` (a physician should look at once), `routine` or `unknown`.
    """

    name: str
    title: str = ""
    modality: str = ""
    urgency: str = "unknown"

    def __post_init__(self) -> None:
        if not self.name:
            raise InputError("a class has an empty name: give every class folder or label a name.")
        if self.urgency not in URGENCIES:
            raise InputError(f"class '{self.name}': urgency '{self.urgency}' is not one of {', '.join(URGENCIES)}.")


@dataclass(frozen=True)
class Taxonomy:
    """Classes in the order of the model's outputs. Names are unique."""

    classes: tuple[ClassInfo, ...]

    def __post_init__(self) -> None:
        names = self.names
        if len(set(names)) != len(names):
            raise InputError(f"the taxonomy names a class twice: {', '.join(names)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Class names, in order."""
        return tuple(info.name for info in self.classes)

    def index(self, name: str) -> int:
        """Position of a class.

        Raises:
            InputError: there is no such class.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise InputError(f"label '{name}' is not a class of this taxonomy ({', '.join(self.names)}).") from None

    def restrict(self, names: Iterable[str]) -> Taxonomy:
        """This taxonomy with the given classes only; a name it does not know becomes a class of its own.

        Order: the known classes as here, then the unknown ones by name.
        """
        wanted = set(names)
        known = tuple(info for info in self.classes if info.name in wanted)
        new = tuple(ClassInfo(name) for name in sorted(wanted - set(self.names)))
        return Taxonomy(known + new)

    def with_urgency(self, *, urgent: Iterable[str], routine: Iterable[str]) -> Taxonomy:
        """The same classes, some of another urgency.

        Args:
            urgent: names of those that a physician should look at at once.
            routine: names of those that may wait.
        Raises:
            InputError: a name is of no class, or is both.
        """
        stated = dict.fromkeys(urgent, "urgent")
        for name in routine:
            if stated.setdefault(name, "routine") == "urgent":
                raise InputError(f"class '{name}' is said to be urgent and routine: say one of the two.")
        if strange := sorted(stated.keys() - set(self.names)):
            raise InputError(
                f"'{', '.join(strange)}' is said to be urgent or routine, but the classes are {', '.join(self.names)}."
            )
        return Taxonomy(tuple(replace(info, urgency=stated.get(info.name, info.urgency)) for info in self.classes))

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"classes": [asdict(info) for info in self.classes]}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Taxonomy:
        """From the JSON that `to_dict` gives.

        Raises:
            InputError: a field is missing or not known.
        """
        try:
            return cls(tuple(ClassInfo(**info) for info in document["classes"]))
        except (KeyError, TypeError) as error:
            raise InputError(
                f"this is no taxonomy ({error}): it needs a list 'classes' of name, title, modality, urgency."
            ) from error
