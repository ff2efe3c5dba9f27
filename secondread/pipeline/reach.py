"""What whoever runs a pipeline can reach: a pod sees stores, and nothing of the machine that it was submitted from."""

from __future__ import annotations

from secondread.config.environment import Environment
from secondread.data.sources.open import is_local
from secondread.data.store.open import is_stored, open_store, split_uri
from secondread.errors import InputError


def check_reached(source: str, *, remote: bool) -> None:
    """Refuse images that whoever runs the pipeline cannot reach.

    Raises:
        InputError: it is a pod, and they are on this machine.
    """
    if remote and is_local(source):
        raise InputError(
            f"'{source}' is a path of this machine, which a pod cannot reach. Copy it to s3:// or swift:// and name "
            "that, or run the pipeline here, with `secondread pipeline run`."
        )


def check_stored(name: str, uri: str, *, remote: bool) -> None:
    """Refuse a folder where pods do the work.

    Args:
        name: what lies there, for people.
        uri: where.
        remote: pods do the work.
    Raises:
        InputError: it is a folder, and they do.
    """
    if remote and not is_stored(uri):
        raise InputError(f"{name} '{uri}' is a folder, which a pod does not reach. Name an s3:// or swift:// URI.")


def store_root(publish_to: str, environment: Environment, *, remote: bool) -> str:
    """URI of the store that a pipeline publishes in. Here it is asked now, and not when all the work is done.

    Raises:
        InputError: it is none, cannot be reached by a pod, or does not let us in.
        DependencyError: it does not answer.
    """
    check_stored("the store", publish_to, remote=remote)
    if remote:
        split_uri(publish_to)  # a submitter need not have the pods' key to the store
        return publish_to
    return open_store(publish_to, environment).uri
