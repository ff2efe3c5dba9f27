"""What a model must and must not do, test by test; read from a `behaviour.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from secondread.config.changes import Change, change_from
from secondread.config.mapping import from_mapping
from secondread.config.require import require, require_seed

PHANTOMS, CONFIDENT, FOLDER = "phantoms", "confident", "folder"
CASES = (PHANTOMS, CONFIDENT, FOLDER)


@dataclass(frozen=True, kw_only=True)
class BehaviourTest:
    """What every test states."""

    kind: ClassVar[str] = ""

    name: str  # short, such as `side-marker`
    asks: str  # one sentence that a physician understands
    modality: str = ""  # of the films that it is about, such as cxr; empty: all
    allowed_share: float = 0.05  # of films that may fail; a share that a second physician could look at
    images_at_most: int = 200  # films, one a patient, drawn by class
    # films; where all of 30 hold, one in nine others may still fail (95 %). With fewer, the test cannot be run
    images_at_least: int = 30

    def __post_init__(self) -> None:
        require(bool(self.name) and bool(self.asks), "name and asks must say what the test is, but one is empty.")
        require(0 <= self.allowed_share < 1, f"allowed_share must be in [0, 1), not {self.allowed_share}.")
        ordered = 1 <= self.images_at_least <= self.images_at_most
        require(ordered, f"images_at_least must be from 1 to images_at_most, not {self.images_at_least}.")


@dataclass(frozen=True, kw_only=True)
class Invariance(BehaviourTest):
    """The answer must not depend on it."""

    kind: ClassVar[str] = "invariance"

    change: Change
    reference: Change | None = None  # what the changed film is compared with; None: the film as it is
    # that the probability of a class may move; answers alone would count each film at a boundary that turns by a hair
    tolerance: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.tolerance < 1, f"tolerance must be in [0, 1), not {self.tolerance}.")


@dataclass(frozen=True, kw_only=True)
class Direction(BehaviourTest):
    """The probability of disease must not fall by it."""

    kind: ClassVar[str] = "direction"

    change: Change
    healthy: tuple[str, ...] = ("*normal*",)  # patterns of the names of classes that are no disease
    tolerance: float = 0.05  # probability that it may fall by; twice what JPEG or rounding does

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.tolerance < 1, f"tolerance must be in [0, 1), not {self.tolerance}.")


@dataclass(frozen=True, kw_only=True)
class Minimum(BehaviourTest):
    """Easy cases must be right."""

    kind: ClassVar[str] = "minimum"

    # `phantoms`: typical ones, of models that learned from phantoms; `confident`: films that a reference, such as the
    # champion, is sure of and right about; `folder`: films in class folders
    cases: str
    confidence: float = 0.95  # of the reference, from which on a film is easy
    folder: str = ""  # of class folders; relative to the file that names it
    # of `confident`: without a reference, or with one that is sure of too few films, the test could not be run, which
    # is no pass; false: it is not asked then, as of a first model, or after a champion that is sure of nothing
    reference_needed: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.cases in CASES, f"cases must be one of {', '.join(CASES)}, not '{self.cases}'.")
        require(0 < self.confidence <= 1, f"confidence must be in (0, 1], not {self.confidence}.")
        named = (self.cases == FOLDER) == bool(self.folder)
        require(named, "folder must be named where cases is 'folder', and nowhere else.")
        spared = self.reference_needed or self.cases == CONFIDENT
        require(spared, "reference_needed may be false only where cases is 'confident': no other test has a reference.")


KINDS: tuple[type[Invariance] | type[Direction] | type[Minimum], ...] = (Invariance, Direction, Minimum)


@dataclass(frozen=True)
class BehaviourConfig:
    """All tests of a model."""

    tests: tuple[BehaviourTest, ...]
    level: float = 0.95  # of the intervals of shares
    shown_images: int = 5  # worst films that a test names
    batch_size: int = 32  # images a run of the graph
    seed: int = 0  # of the choice of films

    def __post_init__(self) -> None:
        require_seed("seed", self.seed)
        names = [test.name for test in self.tests]
        require(bool(names), "there is no test: give some under invariance, direction or minimum.")
        for name in names:
            require(names.count(name) == 1, f"two tests are called '{name}': give each a name of its own.")
        require(0.5 <= self.level < 1, f"level must be in [0.5, 1), not {self.level}.")
        require(self.shown_images >= 0, f"shown_images must not be negative, not {self.shown_images}.")
        require(self.batch_size > 0, f"batch_size must be above 0, not {self.batch_size}.")


def behaviour_from(document: Mapping[str, Any], *, folder: Path) -> BehaviourConfig:
    """Make the tests from a YAML document: `invariance`, `direction`, `minimum`, and fields of `BehaviourConfig`.

    Args:
        document: as parsed.
        folder: that a folder of films is relative to.
    Raises:
        InputError: a key is not known or missing, or a value refused; the message says of which test.
    """
    tests: list[BehaviourTest] = []
    for kind in KINDS:
        items = document.get(kind.kind) or []
        require(isinstance(items, list), f"{kind.kind} must be a list of tests.")
        tests += [_test(kind, item, f"{kind.kind}[{index}]", folder) for index, item in enumerate(items)]
    rest = {name: value for name, value in document.items() if name not in {kind.kind for kind in KINDS}}
    known = {"level", "shown_images", "batch_size", "seed"}
    unknown = ", ".join(sorted(map(str, set(rest) - known)))
    sections = ", ".join([*(kind.kind for kind in KINDS), *sorted(known)])
    require(not unknown, f"there is no setting {unknown}. There are {sections}.")
    return from_mapping(BehaviourConfig, {**rest, "tests": tests}, stage="")


def _test(
    kind: type[Invariance] | type[Direction] | type[Minimum], item: Any, stage: str, folder: Path
) -> BehaviourTest:
    """One test of a list."""
    require(isinstance(item, Mapping), f"{stage} must be a mapping of settings, not {item!r}.")
    if isinstance(item.get("name"), str):
        stage = f"{stage} ({item['name']})"
    needed = ("name", "asks", "cases") if kind is Minimum else ("name", "asks", "change")
    missing = [name for name in needed if name not in item]
    require(not missing, f"{stage} lacks {', '.join(missing)}.")
    changes = {
        name: change_from(item[name], stage=f"{stage}.{name}")
        for name in ("change", "reference")
        if item.get(name) is not None and kind is not Minimum
    }
    test = from_mapping(kind, {**item, **changes}, stage=stage)
    if isinstance(test, Minimum) and test.folder:
        return replace(test, folder=str(folder / test.folder))
    return test
