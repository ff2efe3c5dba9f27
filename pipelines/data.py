"""The data pipeline: from a source of images to a dataset version that others can trust, if its audit lets it pass.

    ingest -> preprocess -> audit -> publish
                              |
                              gate

Cleaning is part of ingest: an image is checked, compared with the others and left out while its bytes are at hand.
Splitting is part of preprocess: a version is pixels, groups and splits under one hash, and a split of its own would be
a version without a name. The audit looks at the version, splits and all, and at what cleaning left out. Its gate is the
setting `fail_on`; without one it always says yes, and its page says what was found.
"""

from kfp import dsl

from secondread_components.audit.component import audit
from secondread_components.conclude.component import conclude
from secondread_components.ingest.component import ingest
from secondread_components.preprocess.component import preprocess
from secondread_components.publish.component import publish
from secondread_pipelines.pods import ask, with_catalogue, with_patient_key, with_store


@dsl.pipeline(name="secondread-data", description="From a folder of medical images to a published dataset version.")
def data(
    source: str = "phantom://demo",
    source_fingerprint: str = "",
    code_fingerprint: str = "",
    publish_to: str = "",
    parent: str = "",
    parent_version: str = "",
    ingest_settings: dict = {},  # noqa: B006 - KFP reads the default and never changes it
    preprocess_settings: dict = {},  # noqa: B006
    audit_settings: dict = {},  # noqa: B006
):
    """From a source of images to a published dataset version.

    Args:
        source: URI of the labelled images.
        source_fingerprint: hash of the source's content; part of the cache's key.
        code_fingerprint: hash of the library's sources; part of the cache's key.
        publish_to: root of the store of versions.
        parent: URI of the version that the new one grows from; empty for none.
        parent_version: content hash of the parent; part of the cache's key.
        ingest_settings: further fields of IngestConfig.
        preprocess_settings: fields of PreprocessConfig.
        audit_settings: fields of AuditConfig; fail_on is the gate.
    """
    with dsl.ExitHandler(
        ask(conclude(name=source, last_step="publish"), "small").set_caching_options(enable_caching=False)
    ):
        images = ask(
            ingest(
                source=source,
                source_fingerprint=source_fingerprint,
                code_fingerprint=code_fingerprint,
                settings=ingest_settings,
            ),
            "data",
        )
        with_store(with_patient_key(images))
        version = ask(
            preprocess(
                images=images.outputs["images"],
                settings=preprocess_settings,
                parent=parent,
                parent_version=parent_version,
            ),
            "data",
        )
        with_store(version)
        audited = ask(
            audit(images=images.outputs["images"], dataset=version.outputs["dataset"], settings=audit_settings),
            "data",
        )
        with dsl.If(audited.outputs["Output"] == True, name="gate on audit"):  # noqa: E712 - KFP's expression
            # Never cached: a cluster does not ask the store whether a version is still in it, and publishing it again
            # sends nothing.
            published = ask(
                publish(
                    dataset=version.outputs["dataset"],
                    findings=audited.outputs["findings"],
                    publish_to=publish_to,
                    pipeline_run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                ),
                "small",
            ).set_caching_options(enable_caching=False)
            with_catalogue(with_store(published))
