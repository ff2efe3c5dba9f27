"""What others call an artifact that KFP gave a place."""

from __future__ import annotations


def object_uri(uri: str) -> str:
    """KFP's name for its own object store, as everybody else names it; a path of this machine stays as it is."""
    return f"s3://{uri.removeprefix('minio://')}" if uri.startswith("minio://") else uri
