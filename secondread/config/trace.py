"""Where traces go, by OpenTelemetry's own variables. Its SDK reads the others itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class TraceSettings:
    """Where traces go."""

    endpoint: str = ""  # OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, else OTEL_EXPORTER_OTLP_ENDPOINT; empty: none are made
    protocol: str = ""  # OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, else OTEL_EXPORTER_OTLP_PROTOCOL; empty: http/protobuf

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> TraceSettings:
        """Read the environment."""
        if variables.get("OTEL_SDK_DISABLED", "").lower() == "true" or variables.get("OTEL_TRACES_EXPORTER") == "none":
            return cls()

        def either(name: str) -> str:
            return variables.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or variables.get(f"OTEL_EXPORTER_OTLP_{name}", "")

        return cls(either("ENDPOINT"), either("PROTOCOL"))
