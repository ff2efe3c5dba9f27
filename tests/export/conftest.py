"""A key pair, and a signed repository of the tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondread.export.repository import write_repository
from secondread.export.signing import sign_folder
from secondread.export.signing_key import SigningKey, make_key_pair
from secondread.model.folder import ModelFolder


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    """A key pair in a folder of its own."""
    return make_key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def trusted(signer: SigningKey) -> Path:
    """Its public key."""
    return signer.path.with_suffix(".pub")


@pytest.fixture
def signed(tiny_model: ModelFolder, signer: SigningKey, tmp_path: Path) -> Path:
    """The tiny model as version 1 of the signed repository `chest`."""
    folder = write_repository(tiny_model, tmp_path / "models", name="chest", version=1)
    sign_folder(folder, signer)
    return folder
