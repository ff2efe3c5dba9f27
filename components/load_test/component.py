"""KFP component: put load on a model that is served, and ask the gate."""

from typing import Optional

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def load_test(
    tested: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    name: str,
    url: str = "",
    grpc_url: str = "",
    repository: str = "",
    digest: str = "",
    token_file: str = "",
    settings: dict = {},  # noqa: B006 - KFP reads the default and never changes it
    images: Optional[dsl.Input[dsl.Artifact]] = None,  # noqa: UP045 - KFP does not read `| None`
) -> bool:
    """Put load on a model that is served, and ask the gate.

    Args:
        tested: figures, also over time, and the page.
        metrics: the figures of the whole test.
        report: the page for people.
        summary: the headline and the gate's lines.
        name: of the model.
        url: of REST; empty for none.
        grpc_url: host:port of gRPC; empty for none.
        repository: instead of an address, a signed Triton repository to serve here.
        digest: of the model that must answer; empty: any may.
        token_file: file of the token that the server wants; empty for none.
        settings: further fields of LoadTestConfig.
        images: what ingest wrote, whose images are sent; phantoms by default.

    Returns:
        Whether the gate said yes; its reasons are in the summary.
    """
    from secondread.pipeline.show import show_load_test
    from secondread.pipeline.steps.load_test import load_test as step

    facts = step(
        tested.path,
        name=name,
        url=url,
        grpc_url=grpc_url,
        repository=repository,
        digest=digest,
        images=images.path if images else "",
        token_file=token_file,
        settings=settings,
    )
    show_load_test(facts, tested.path, metrics=metrics, report=report.path, summary=summary.path)
    return facts["passed"]
