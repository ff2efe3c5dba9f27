"""Who signs models, and whose signatures count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from secondread.config.require import require

KEY_NAME = "model-signing"  # of a key pair: `.key` and `.pub`


@dataclass(frozen=True)
class SigningSettings:
    """Who signs models, and whose signatures count. Files are named here, and never hold what is in them."""

    # SECONDREAD_SIGNING_KEY_FILE: private key, PEM; by default `<home>/keys/model-signing.key`, made on first use so
    # that a laptop needs no setting. One that is named must be there: a Secret that was not mounted makes no new signer
    key_file: Path
    named: bool  # whether the key file was named
    # SECONDREAD_TRUSTED_KEYS: a public key, PEM, or a folder of them (`*.pub`), so that a key can be replaced while
    # what it signed is still served; by default the signing key's own, beside it
    trusted: Path

    def __post_init__(self) -> None:
        require(
            self.key_file.suffix != ".pub",
            f"SECONDREAD_SIGNING_KEY_FILE is {self.key_file}, which is named like a public key. Name the private one.",
        )

    @classmethod
    def read(cls, variables: Mapping[str, str], home: Path) -> SigningSettings:
        """Read the environment."""
        named = variables.get("SECONDREAD_SIGNING_KEY_FILE", "")
        key_file = Path(named) if named else home / "keys" / f"{KEY_NAME}.key"
        trusted = variables.get("SECONDREAD_TRUSTED_KEYS", "")
        return cls(key_file, bool(named), Path(trusted) if trusted else key_file.with_suffix(".pub"))
