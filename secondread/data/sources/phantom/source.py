"""A phantom URI as a source of labelled images."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from secondread.data.sources.phantom.plan import Case, plan
from secondread.data.sources.phantom.png import encode_png
from secondread.data.sources.phantom.render import render
from secondread.data.sources.phantom.spec import PhantomSpec, parse_uri
from secondread.data.sources.source import SourceImage
from secondread.data.taxonomies import seed_taxonomy
from secondread.taxonomy import Taxonomy


class PhantomSource:
    """Synthetic images of the nine seed classes, drawn when they are read.

    Attributes:
        uri: as given, such as `phantom://demo?images=2700&size=128&seed=0&wrong_labels=0.03`.
        public: True; the patients are made up.
        synthetic: True.
        spec: what the URI asks for. `best_reachable_accuracy(spec)` says how well it can be learned.
    """

    public = True
    synthetic = True

    def __init__(self, uri: str) -> None:
        """Read the URI; nothing is drawn yet.

        Raises:
            InputError: the set, a parameter or its value is not known.
        """
        self.uri = uri
        self.spec: PhantomSpec = parse_uri(uri)

    def taxonomy(self) -> Taxonomy:
        """The seed classes that the source has, in the seed's order."""
        return seed_taxonomy().restrict(self.spec.classes)

    def cases(self) -> Iterator[Case]:
        """Every image, not drawn, with the truth about it: true class and amounts of each pattern."""
        return plan(self.spec)

    def images(self) -> Iterator[SourceImage]:
        """Every image, patient by patient. `read` draws it as a PNG; the same one each time."""
        return map(self._image, self.cases())

    def fingerprint(self) -> str:
        """sha256, hex, over the parameters and the generator's version."""
        return self.spec.fingerprint()

    def _image(self, case: Case) -> SourceImage:
        patient = f"phantom-{case.patient:06d}"
        return SourceImage(
            name=f"{case.label}/{patient}-{case.image}.png",
            label=case.label,
            read=partial(draw_png, case, size=self.spec.size),
            patient_id=patient,
            study_id=f"{patient}-{case.image}",
            modality=case.modality,
            source="phantom",
            site="phantom",
            license="CC0-1.0",
            sex=case.sex,
            age=case.age,
            view=case.view,
        )


def draw_png(case: Case, *, size: int) -> bytes:
    """A case as the bytes of a PNG that carries the synthetic mark.

    Args:
        case: of a source's plan.
        size: pixels of both sides.
    """
    return encode_png(render(case, size=size))
