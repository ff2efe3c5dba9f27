"""KFP component: readings of very many images by a signed model."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def score(
    readings: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    source: str,
    source_fingerprint: str,
    code_fingerprint: str,
    model_name: str,
    model_version: str,
    model_repository: str,
    model_digest: str,
    settings: dict,
) -> float:
    """Read very many images with a signed model.

    Args:
        readings: the table, and a page of what it comes to.
        metrics: counts and shares.
        report: the page for people.
        source: URI of the images.
        source_fingerprint: hash of their content, for the cache's key; images that are others by now are refused.
        code_fingerprint: hash of the client's library, for the cache's key; an image with another library refuses.
        model_name: in the registry and in Triton.
        model_version: number or alias in the registry, where no repository is named.
        model_repository: URI of the model's repository; empty: the registry is asked.
        model_digest: hash of what the model is, for the cache's key; another one by now is refused. Empty: whichever.
        settings: fields of EngineConfig.

    Returns:
        Share of the images that cannot be read, which the gate looks at.
    """
    from secondread.pipeline.show import show_scored
    from secondread.pipeline.steps.score import score as step

    facts = step(
        source,
        readings.path,
        name=model_name,
        which=model_version,
        repository=model_repository,
        digest=model_digest,
        settings=settings,
        source_fingerprint=source_fingerprint,
        client_code=code_fingerprint,
    )
    readings.metadata.update(facts["model"], code_fingerprint=code_fingerprint)
    show_scored(facts, readings.path, metrics=metrics, report=report.path)
    return facts["unreadable_share"]
