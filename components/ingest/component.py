"""KFP component: copy a source's images and write their manifest."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def ingest(
    images: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    source: str,
    source_fingerprint: str,
    code_fingerprint: str,
    settings: dict,
):
    """Copy a source's images and write their manifest.

    Args:
        images: the images and their manifest.
        metrics: how many images were kept and left out.
        source: URI of a folder, an archive, a .npz, a .yaml of sources, one of these in a store, or phantom://demo.
        source_fingerprint: hash of the source's content, so that the cache cannot serve a source that has changed.
        code_fingerprint: hash of the client's library, for the cache's key; an image with another library refuses.
        settings: further fields of IngestConfig.
    """
    from secondread.pipeline.show import show_metrics
    from secondread.pipeline.steps.ingest import ingest as step

    facts = step(
        source,
        images.path,
        settings=settings,
        source_fingerprint=source_fingerprint,
        client_code=code_fingerprint,
    )
    images.metadata.update(facts, code_fingerprint=code_fingerprint)
    show_metrics(metrics, {"images": facts["images"], "rejected": sum(facts["rejected"].values())})
