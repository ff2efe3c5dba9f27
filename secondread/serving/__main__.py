"""The transformer on its own, in a predictor pod beside Triton: `python -m secondread.serving --predictor-host ...`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from secondread import logging
from secondread.config.environment import Environment
from secondread.config.mapping import from_mapping
from secondread.config.serve import ServeConfig
from secondread.config.settings import parse_settings
from secondread.errors import SecondReadError, exit_code_of
from secondread.serving.front.server import Endpoints, open_tracing, run_transformer


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM.

    Args:
        arguments: of the command line.
    Returns:
        Exit code.
    """
    options = _parser().parse_args(arguments)
    environment = Environment.read()
    logging.configure(as_json=environment.log_json)
    log = logging.get_logger("secondread.serving")

    def listening(endpoints: Endpoints) -> None:
        log.info("listening on %s and gRPC %s, Triton at %s", endpoints.url, endpoints.grpc_url, options.predictor_host)

    try:
        given = {
            "name": options.model_name,
            "host": options.host,
            "http_port": options.http_port,
            "grpc_port": options.grpc_port,
        }
        config = from_mapping(ServeConfig, {**given, **parse_settings(options.set, ("serve",))["serve"]}, stage="serve")
        trusted = options.trusted_keys or environment.signing.trusted
        run_transformer(
            options.model_dir,
            options.predictor_host,
            config,
            trusted=trusted,
            tracing=open_tracing(environment.trace),
            on_listening=listening,
        )
    except SecondReadError as error:
        log.error("%s", error)
        return exit_code_of(error)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m secondread.serving",
        description="The inference API in front of a Triton that runs in the same pod.",
        epilog="Example: python -m secondread.serving --model-dir /mnt/models --predictor-host localhost:8000",
    )
    parser.add_argument("--model-name", default="secondread", help="model, as the repository names it")
    parser.add_argument(
        "--model-dir", type=Path, default=Path("/mnt/models"), help="model repository, as Triton has it"
    )
    parser.add_argument(
        "--trusted-keys",
        type=Path,
        help="public key, or folder of *.pub, that must have signed it; by default SECONDREAD_TRUSTED_KEYS",
    )
    parser.add_argument("--predictor-host", default="localhost:8000", help="host:port of Triton's HTTP service")
    # In a pod the network policy decides who comes in.
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on")  # noqa: S104
    parser.add_argument("--http-port", type=int, default=8080, help="REST; 0 picks a free port")
    parser.add_argument("--grpc-port", type=int, default=8081, help="gRPC; 0 picks a free port")
    parser.add_argument(
        "--set", action="append", default=[], metavar="serve.FIELD=VALUE", help="any other setting of ServeConfig"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
