"""What comes from environment variables, all of it, read once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from secondread.config.signing import SigningSettings
from secondread.config.trace import TraceSettings
from secondread.config.trainjob import TrainJobSettings


@dataclass(frozen=True)
class S3Settings:
    """How to reach S3, or what speaks its API; the names that other tools read too."""

    endpoint: str  # SECONDREAD_S3_ENDPOINT, else AWS_ENDPOINT_URL: http:// or https://; Amazon's own by default
    access_key: str  # AWS_ACCESS_KEY_ID; empty: nobody in particular
    secret_key: str = dataclasses.field(repr=False)  # AWS_SECRET_ACCESS_KEY
    session_token: str = dataclasses.field(repr=False)  # AWS_SESSION_TOKEN, with keys that are lent for some hours
    region: str  # AWS_REGION, else AWS_DEFAULT_REGION; signatures hold it, and most servers of one's own expect this

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> S3Settings:
        """Read the environment."""
        amazon = variables.get("AWS_ENDPOINT_URL", "https://s3.amazonaws.com")
        return cls(
            endpoint=variables.get("SECONDREAD_S3_ENDPOINT", amazon),
            access_key=variables.get("AWS_ACCESS_KEY_ID", ""),
            secret_key=variables.get("AWS_SECRET_ACCESS_KEY", ""),
            session_token=variables.get("AWS_SESSION_TOKEN", ""),
            region=variables.get("AWS_REGION", variables.get("AWS_DEFAULT_REGION", "us-east-1")),
        )


@dataclass(frozen=True)
class SwiftSettings:
    """How to reach OpenStack Swift, by the names that OpenStack's own tools read. The first that is whole is used."""

    storage_url: str  # OS_STORAGE_URL: of the account, with
    token: str = dataclasses.field(repr=False)  # OS_AUTH_TOKEN
    auth_url: str  # OS_AUTH_URL: Keystone's, with
    credential_id: str  # OS_APPLICATION_CREDENTIAL_ID and
    credential_secret: str = dataclasses.field(repr=False)  # OS_APPLICATION_CREDENTIAL_SECRET
    region: str  # OS_REGION_NAME: which object store of Keystone's catalogue; empty: the first
    v1_auth_url: str  # ST_AUTH: Swift's own users, where there is no Keystone, with
    v1_user: str  # ST_USER and
    v1_key: str = dataclasses.field(repr=False)  # ST_KEY

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> SwiftSettings:
        """Read the environment."""
        return cls(
            storage_url=variables.get("OS_STORAGE_URL", ""),
            token=variables.get("OS_AUTH_TOKEN", ""),
            auth_url=variables.get("OS_AUTH_URL", ""),
            credential_id=variables.get("OS_APPLICATION_CREDENTIAL_ID", ""),
            credential_secret=variables.get("OS_APPLICATION_CREDENTIAL_SECRET", ""),
            region=variables.get("OS_REGION_NAME", ""),
            v1_auth_url=variables.get("ST_AUTH", ""),
            v1_user=variables.get("ST_USER", ""),
            v1_key=variables.get("ST_KEY", ""),
        )

    @property
    def may_renew(self) -> bool:
        """Whether a token that ran out can be replaced."""
        return not (self.storage_url and self.token)


@dataclass(frozen=True)
class Environment:
    """What comes from environment variables, all of it."""

    home: Path  # SECONDREAD_HOME: everything written at run time; `var` so that a laptop needs no setting
    mlflow_tracking_uri: str  # MLFLOW_TRACKING_URI: a database or server; SQLite under `home` by default
    catalogue_uri: str  # SECONDREAD_CATALOGUE_URI: of PostgreSQL where several people share one; SQLite under `home`
    patient_key_file: Path  # SECONDREAD_PATIENT_KEY_FILE: secret of the keyed patient hash, made on first use
    log_json: bool  # SECONDREAD_LOG=json: ECS documents, as a log collector wants them; plain lines for people
    revision: str  # SECONDREAD_REVISION: git commit that an image was built from; empty where nobody said
    pipeline_run: str  # SECONDREAD_PIPELINE_RUN: the local run that a step belongs to; set by the runner itself
    engine: str  # SECONDREAD_ENGINE: of ingest and preprocess; here, no cache takes it for a change of what they write
    ray_address: str  # RAY_ADDRESS: of a running cluster, which the engine `ray` then uses; the name that Ray reads too
    signing: SigningSettings  # who signs models, and whose signatures count
    trainjob: TrainJobSettings  # where strategy `trainjob` trains
    s3: S3Settings  # where s3:// is
    swift: SwiftSettings  # where swift:// is
    trace: TraceSettings  # where a server's traces go

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None) -> Environment:
        """Read the environment.

        Args:
            variables: instead of the process environment, for tests.
        """
        variables = os.environ if variables is None else variables
        home = Path(variables.get("SECONDREAD_HOME", "var")).resolve()
        return cls(
            home=home,
            mlflow_tracking_uri=variables.get("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow/mlflow.db"),
            catalogue_uri=variables.get("SECONDREAD_CATALOGUE_URI", f"sqlite:///{home}/catalogue/catalogue.db"),
            patient_key_file=Path(variables.get("SECONDREAD_PATIENT_KEY_FILE", str(home / "keys" / "patient-1.key"))),
            log_json=variables.get("SECONDREAD_LOG", "") == "json",
            revision=variables.get("SECONDREAD_REVISION", "").removeprefix("unknown"),  # an image built without git
            pipeline_run=variables.get("SECONDREAD_PIPELINE_RUN", ""),
            engine=variables.get("SECONDREAD_ENGINE", "local"),
            ray_address=variables.get("RAY_ADDRESS", ""),
            signing=SigningSettings.read(variables, home),
            trainjob=TrainJobSettings.read(variables),
            s3=S3Settings.read(variables),
            swift=SwiftSettings.read(variables),
            trace=TraceSettings.read(variables),
        )
