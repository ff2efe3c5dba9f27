"""`secondread data`: images in, dataset versions out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from secondread.cli import dashboard, download, store
from secondread.cli.catalogue import app as catalogue
from secondread.cli.difference import print_diff
from secondread.cli.engine import EngineName, RayAddress, chosen_engine
from secondread.cli.output import Json, example, print_facts, print_json, print_line
from secondread.config.audit import AuditConfig
from secondread.config.augment import AugmentConfig
from secondread.config.environment import Environment
from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import CLAHE, PreprocessConfig
from secondread.config.require import require

_ORDER_OF_WORK = (
    *("download", "ingest", "audit", "preprocess", "diff", "augment"),
    *("publish", "list", "fetch", "catalogue", "dashboard"),
)


class _InOrder(TyperGroup):
    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # noqa: ARG002
        return sorted(self.commands, key=_ORDER_OF_WORK.index)


app = typer.Typer(cls=_InOrder, help="Bring images in and make dataset versions.", no_args_is_help=True)
app.add_typer(catalogue, name="catalogue")
download.add_to(app)
store.add_to(app)
dashboard.add_to(app)


@app.command(
    epilog=example(
        "secondread data ingest films/ --output var/films",
        "secondread data ingest phantom://demo --output var/phantoms",
    )
)
def ingest(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder of class folders, folder with manifest.csv, archive of one, MedMNIST .npz, .yaml of sources, "
            "s3:// or swift:// with one of these, or phantom://demo."
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder to write; it appears whole or not at all.")],
    modality: Annotated[str, typer.Option(help="cxr, oct or another short name, where the source does not say.")] = "",
    public_ids: Annotated[
        bool, typer.Option("--public-ids", help="Patient ids are published: do not hash them.")
    ] = False,
    urgent: Annotated[
        list[str] | None, typer.Option(help="A class that a physician should look at at once. May be given again.")
    ] = None,
    routine: Annotated[list[str] | None, typer.Option(help="A class that may wait. May be given again.")] = None,
    hide_names: Annotated[
        bool, typer.Option("--hide-names", help="File names tell who the patient is: list and log hashes instead.")
    ] = False,
    find_cropped_up_to: Annotated[
        int,
        typer.Option(help="Among at most so many images copies are looked for that were cropped; 0: never.", min=0),
    ] = IngestConfig.find_cropped_up_to,
    engine: EngineName = "",
    ray_address: RayAddress = "",
    json: Json = False,
) -> None:
    """Copy a source's images, check each, and write their manifest and what was left out.

    A run that was cut, even by a kill, is gone on with by the same command.
    """
    from secondread.data.ingest import ingest as run

    config = IngestConfig(
        source=source,
        modality=modality,
        public_ids=public_ids,
        urgent=tuple(urgent or ()),
        routine=tuple(routine or ()),
        hide_names=hide_names,
        find_cropped_up_to=find_cropped_up_to,
    )
    worker = chosen_engine(engine, ray_address)
    result = run(config, output, patient_key=Environment.read().patient_key_file, engine=worker)
    facts = {"images": sum(result.kept.values()), "kept": dict(result.kept), "rejected": dict(result.rejected)}
    if json:
        print_json({"output": str(output), **facts, "fingerprint": result.fingerprint, "synthetic": result.synthetic})
        return
    rejected = ", ".join(f"{reason}: {count}" for reason, count in result.rejected.items()) or "none"
    print_facts(
        {
            "images": facts["images"],
            "classes": ", ".join(f"{name} {count}" for name, count in result.kept.items()),
            "left out": f"{rejected}" + (f" (listed in {output}/rejected.parquet)" if result.rejected else ""),
            "written to": output,
        }
    )


@app.command(
    epilog=example(
        "secondread data preprocess var/films --output var/dataset --image-size 96",
        "secondread data preprocess var/more-films --output var/dataset-2 --parent var/dataset",
    )
)
def preprocess(
    ingested: Annotated[Path, typer.Argument(help="Folder that `data ingest` wrote.")],
    output: Annotated[Path, typer.Option(help="Folder to write; it appears whole or not at all.")],
    image_size: Annotated[int, typer.Option(help="Pixels of both sides.")] = PreprocessConfig.image_size,
    clahe: Annotated[
        bool, typer.Option("--clahe", help="Equalise contrast by region (CLAHE), in serving too.")
    ] = False,
    trim_borders: Annotated[
        bool, typer.Option("--trim-borders", help="Cut off black or white frames around films, in serving too.")
    ] = PreprocessConfig.trim_borders,
    split_seed: Annotated[int, typer.Option(help="Picks one of the possible splits.")] = PreprocessConfig.split_seed,
    parent: Annotated[
        str | None,
        typer.Option(help="Folder or URI of the version that this one grows from: what it has keeps its split."),
    ] = None,
    engine: EngineName = "",
    ray_address: RayAddress = "",
    json: Json = False,
) -> None:
    """Turn ingested images into a dataset version: pixels, groups and splits.

    A run that was cut, even by a kill, is gone on with by the same command.
    """
    from secondread.data.store.lookup import open_version
    from secondread.data.versions.version import write_dataset_version

    contrast = CLAHE if clahe else PreprocessConfig.contrast
    config = PreprocessConfig(
        image_size=image_size, contrast=contrast, trim_borders=trim_borders, split_seed=split_seed
    )
    grown_from = open_version(parent, Environment.read()) if parent else None
    worker = chosen_engine(engine, ray_address)
    version = write_dataset_version(ingested, output, config, grown_from, engine=worker)
    if json:
        print_json({"output": str(output), **version.summary(), "settings": asdict(config)})
        return
    facts = {"dataset version": version.name, **_by_split(version.counts), **_none_set_aside(version.counts, config)}
    print_facts({**facts, "written to": output})


@app.command(epilog=example("secondread data diff var/dataset var/dataset-2"))
def diff(
    before: Annotated[Path, typer.Argument(help="Folder of the earlier dataset version.")],
    after: Annotated[Path, typer.Argument(help="Folder of the later one.")],
    json: Json = False,
) -> None:
    """Say which images were added, removed, relabelled, moved to another split, or regrouped."""
    from secondread.data.versions.dataset import DatasetVersion
    from secondread.data.versions.diff import diff_versions

    document = diff_versions(DatasetVersion.open(before), DatasetVersion.open(after)).to_dict()
    if json:
        print_json(document)
        return
    print_diff(document)


@app.command(
    epilog=example(
        "secondread data augment var/dataset --from final_eval --label cxr-viral-pneumonia --fraction 0.1 "
        "--output var/retrain"
    )
)
def augment(
    version: Annotated[Path, typer.Argument(help="Folder of the dataset version to grow from.")],
    label: Annotated[str, typer.Option(help="Class whose patients are moved into train and val.")],
    output: Annotated[Path, typer.Option(help="Folder to write; it appears whole or not at all.")],
    origin: Annotated[str, typer.Option("--from", help="Split to take from; only final_eval may be.")] = "final_eval",
    fraction: Annotated[
        float, typer.Option(help="Share of the groups that hold the class, above 0, up to 1.")
    ] = AugmentConfig.fraction,
    seed: Annotated[int, typer.Option(help="Picks which groups.")] = AugmentConfig.seed,
    json: Json = False,
) -> None:
    """Make a retrain set: a child version with more of a class to learn from, and the same test images."""
    from secondread.data.versions.augment import augment as run
    from secondread.data.versions.dataset import DatasetVersion

    config = AugmentConfig(label=label, fraction=fraction, seed=seed)
    require(origin == "final_eval", f"--from is '{origin}', but only final_eval gives images away.")
    child = run(DatasetVersion.open(version), output, config)
    if json:
        print_json({"output": str(output), **child.summary(), "parent": child.parent, "settings": asdict(config)})
        return
    facts = {"dataset version": child.name, "grown from": child.parent[:12]}
    print_facts({**facts, **_by_split(child.counts), "written to": output})


@app.command(
    epilog=example(
        "secondread data audit var/films",
        "secondread data audit var/dataset --output var/dataset-audit --fail-on serious",
    )
)
def audit(
    path: Annotated[Path, typer.Argument(help="Folder that `data ingest` or `data preprocess` wrote.")],
    output: Annotated[
        Path | None, typer.Option(help="Folder for audit.html and audit.json; by default PATH with -audit behind it.")
    ] = None,
    fail_on: Annotated[
        str, typer.Option(help="Exit with 4 when anything is as bad: `serious`, or `worth a look`. By default nothing.")
    ] = "",
    json: Json = False,
) -> None:
    """Count what is in a set, and find leaks, contradictions, and what gives the label away."""
    from secondread.data.audit.audit import audit as run
    from secondread.data.audit.audit import check_gate
    from secondread.data.audit.report import HTML_FILE, write_audit
    from secondread.data.audit.subject import open_subject

    config = AuditConfig(fail_on=fail_on)
    subject = open_subject(path)
    result = run(subject, config)
    # absolute, since `-audit` behind `.` or `..` would be no sibling
    output = output or path.resolve().with_name(f"{path.resolve().name}-audit")
    write_audit(result, subject, output, config, inputs=[path])
    if json:
        print_json({"output": str(output), **result.to_dict()})
    else:
        for severity, sentence in result.as_bad_as("worth a look"):
            print_line(f"{severity}: {sentence}.")
        print_facts({"images": result.images, "verdict": result.severity, "written to": output / HTML_FILE})
    check_gate(result, config.fail_on, output / HTML_FILE)


def _none_set_aside(counts: Mapping[str, Mapping[str, int]], config: PreprocessConfig) -> dict[str, str]:
    """Why a version has no final_eval, where it is for its size."""
    images, least = sum(sum(split.values()) for split in counts.values()), config.final_eval_min_images
    if "final_eval" in counts or images >= least:
        return {}
    change = "`secondread pipeline run data --set preprocess.final_eval_min_images=N`"
    return {"final_eval": f"none: below {least:,} images there are too few to set some aside ({change} sets how many)"}


def _by_split(counts: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """Images by split, in the order in which a project uses them."""
    from secondread.data.manifest import SPLITS

    return {split: f"{sum(counts[split].values())} images" for split in SPLITS if split in counts}
