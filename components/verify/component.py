"""KFP component: look a registered version up, and check signature and digest of its repository."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def verify(verified: dsl.Output[dsl.Artifact], name: str, version: str, code_fingerprint: str):
    """Look a registered version up, and check signature and digest of its repository.

    Args:
        verified: the record of what was verified.
        name: of the model, in the registry.
        version: number or alias.
        code_fingerprint: hash of the client's library; an image with another library refuses.
    """
    from secondread.pipeline.steps.verify import verify as step

    facts = step(verified.path, name=name, which=version, client_code=code_fingerprint)
    verified.metadata.update(facts)
