"""The scoring pipeline: from very many images to a table of readings, where others find it.

    score -> deliver
         |
         gate

The model is the champion of the registry, or another version that is named; what a trusted key has not signed is not
read with. An image that cannot be read is a row that says why. The gate is the share of those: it is compared here, and
no setting of the score step, so that whoever raises the limit has no image read again.
"""

from kfp import dsl

from secondread_components.conclude.component import conclude
from secondread_components.deliver.component import deliver
from secondread_components.score.component import score
from secondread_pipelines.pods import ask, with_store, with_trusted_keys


@dsl.pipeline(name="secondread-batch-score", description="From very many images to a table of readings.")
def batch_score(
    source: str,
    publish_to: str,
    source_fingerprint: str = "",
    code_fingerprint: str = "",
    model_name: str = "secondread",
    model_version: str = "champion",
    model_repository: str = "",
    model_digest: str = "",
    unreadable_at_most: float = 0.1,
    score_settings: dict = {},  # noqa: B006 - KFP reads the default and never changes it
):
    """From very many images to a table of readings.

    Args:
        source: URI of the images.
        publish_to: root of the store of readings.
        source_fingerprint: hash of the images' content; part of the cache's key.
        code_fingerprint: hash of the library's sources; part of the cache's key.
        model_name: in the registry and in Triton.
        model_version: number or alias in the registry, where no repository is named.
        model_repository: URI of the model's signed repository; empty: the registry is asked.
        model_digest: hash of what the model is; part of the cache's key.
        unreadable_at_most: share of the images that may be unreadable; above it nothing is delivered.
        score_settings: fields of EngineConfig.
    """
    with dsl.ExitHandler(
        ask(conclude(name=source, last_step="deliver"), "small").set_caching_options(enable_caching=False)
    ):
        scored = ask(
            score(
                source=source,
                source_fingerprint=source_fingerprint,
                code_fingerprint=code_fingerprint,
                model_name=model_name,
                model_version=model_version,
                model_repository=model_repository,
                model_digest=model_digest,
                settings=score_settings,
            ),
            "data",
        )
        with_store(with_trusted_keys(scored))
        with dsl.If(scored.outputs["Output"] <= unreadable_at_most, name="gate on unreadable images"):
            # Never cached: a cluster does not ask the store whether the table is still in it.
            delivered = ask(
                deliver(
                    readings=scored.outputs["readings"], publish_to=publish_to, unreadable_at_most=unreadable_at_most
                ),
                "small",
            ).set_caching_options(enable_caching=False)
            with_store(delivered)
