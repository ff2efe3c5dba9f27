"""What a phantom URI asks for."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from secondread.data.sources.phantom.latents import MEANS, MODALITY_OF
from secondread.errors import InputError

# Raise this whenever any image of any URI changes: fingerprints, and with them the caches, depend on it.
GENERATOR_VERSION = 1

EXAMPLE = "phantom://demo?images=2700&size=128&seed=0&wrong_labels=0.03"
_SETS = {"demo": ("cxr", "oct"), "cxr": ("cxr",), "oct": ("oct",)}
_PARAMETERS = ("images", "size", "seed", "wrong_labels", "classes")


@dataclass(frozen=True)
class PhantomSpec:
    """A phantom source's parameters.

    Attributes:
        classes: names, in the order of the seed taxonomy.
        images: how many there are in all, 1 to 1,000,000.
        size: pixels of both sides, 32 to 1024.
        seed: 0 to 2^32 - 1; another seed gives other patients.
        wrong_labels: share of images with the label of another class of their modality, 0 to 0.5.
    """

    classes: tuple[str, ...] = tuple(MODALITY_OF)
    images: int = 2700  # 300 a class: a small network learns from it in minutes on two cores
    size: int = 128  # pixels; twice what the demo trains on
    seed: int = 0
    wrong_labels: float = 0.03  # as in carefully read data; NIH ChestX-ray14's mined labels are worse

    def __post_init__(self) -> None:
        for name, low, high in (
            ("images", 1, 1_000_000),
            ("size", 32, 1024),
            ("seed", 0, 2**32 - 1),
            ("wrong_labels", 0.0, 0.5),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"phantom parameter {name}={value} is out of range: give {low} to {high}.")
        if not self.classes:
            raise InputError(f"phantom parameter classes is empty: give some of {', '.join(MODALITY_OF)}.")

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those that the classes are of."""
        return tuple(modality for modality in MEANS if self.classes_of(modality))

    def classes_of(self, modality: str) -> tuple[str, ...]:
        """The classes of one modality, in order."""
        return tuple(name for name in self.classes if MODALITY_OF[name] == modality)

    def fingerprint(self) -> str:
        """sha256, hex, over the generator's version and every parameter."""
        parts = (GENERATOR_VERSION, self.images, self.size, self.seed, repr(self.wrong_labels), *self.classes)
        return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()


def parse_uri(uri: str) -> PhantomSpec:
    """Read a URI such as `phantom://demo?images=2700&size=128&seed=0&wrong_labels=0.03`.

    The set is `demo` (both modalities), `cxr` or `oct`; `classes=a,b` keeps some classes of it. All parameters may be
    left out.

    Raises:
        InputError: no such set, a parameter that is not known, given twice, or out of its range.
    """
    parts = urlsplit(uri)
    if parts.scheme != "phantom" or parts.netloc not in _SETS or parts.path not in ("", "/") or parts.fragment:
        raise InputError(
            f"'{uri}' is no phantom set: write phantom://demo, phantom://cxr or phantom://oct ({EXAMPLE})."
        )
    values = _query(parts.query, uri)
    return PhantomSpec(
        classes=_classes(values.get("classes"), parts.netloc),
        images=_integer("images", values, PhantomSpec.images),
        size=_integer("size", values, PhantomSpec.size),
        seed=_integer("seed", values, PhantomSpec.seed),
        wrong_labels=_share("wrong_labels", values, PhantomSpec.wrong_labels),
    )


def _query(query: str, uri: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _PARAMETERS:
            raise InputError(f"phantom parameter '{name}' in '{uri}' is not known: use {', '.join(_PARAMETERS)}.")
        if name in values:
            raise InputError(f"phantom parameter {name} is given twice in '{uri}': keep one.")
        values[name] = value
    return values


def _integer(name: str, values: dict[str, str], default: int) -> int:
    text = values.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"-?[0-9]{1,15}", text):
        raise InputError(f"phantom parameter {name}='{text}' is no whole number: write for example {name}={default}.")
    return int(text)


def _share(name: str, values: dict[str, str], default: float) -> float:
    text = values.get(name)
    if text is None:
        return default
    try:
        return float(text)
    except ValueError:
        raise InputError(f"phantom parameter {name}='{text}' is no number: write a share, {name}={default}.") from None


def _classes(text: str | None, chosen_set: str) -> tuple[str, ...]:
    available = tuple(name for name in MODALITY_OF if MODALITY_OF[name] in _SETS[chosen_set])
    if text is None:
        return available
    wanted = [name.strip() for name in text.split(",")]
    for name in wanted:
        if name not in available:
            raise InputError(
                f"phantom parameter classes names '{name}', which phantom://{chosen_set} does not have: "
                f"give some of {', '.join(available)}."
            )
    return tuple(name for name in available if name in wanted)
