"""KFP component: look a dataset version over, and ask the gate."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def audit(
    images: dsl.Input[dsl.Dataset],
    dataset: dsl.Input[dsl.Dataset],
    findings: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    settings: dict,
) -> bool:
    """Look a dataset version over, and ask the gate.

    Args:
        images: what ingest wrote; it knows what was left out, and why.
        dataset: what preprocess wrote of it.
        findings: the audit as JSON, and its page.
        metrics: what was found, as figures.
        report: the page for people.
        settings: fields of AuditConfig; fail_on is the gate.

    Returns:
        Whether the gate said yes; without a gate it does.
    """
    from secondread.pipeline.show import show_audit
    from secondread.pipeline.steps.audit import audit as step

    facts = step(images.path, dataset.path, findings.path, settings=settings)
    show_audit(facts, findings.path, metrics=metrics, report=report.path)
    return facts["passed"]
