"""KFP component: fetch a child version whose test split is its parent's."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def fetch(
    dataset: dsl.Output[dsl.Dataset],
    uri: str,
    content_hash: str,
    parent: str,
    parent_version: str,
    code_fingerprint: str,
):
    """Fetch a child version whose test split is its parent's.

    Args:
        dataset: the dataset version.
        uri: of the child, s3://, swift:// or a folder.
        content_hash: of the child, so that the cache cannot serve one that has changed.
        parent: URI of the version that it grew from.
        parent_version: content hash of the parent, likewise.
        code_fingerprint: hash of the client's library, for the cache's key; an image with another library refuses.
    """
    from secondread.pipeline.steps.fetch import fetch as step

    facts = step(
        uri,
        dataset.path,
        content_hash=content_hash,
        parent=parent,
        parent_version=parent_version,
        client_code=code_fingerprint,
    )
    dataset.metadata.update(facts, code_fingerprint=code_fingerprint)
