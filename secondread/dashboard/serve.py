"""The dashboard's server: Streamlit, told to listen here, to say nothing to anyone else, and to show no inside."""

from __future__ import annotations

import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from secondread.config.dashboard import DashboardConfig
from secondread.config.environment import Environment
from secondread.data.store.open import open_store
from secondread.errors import DependencyError, InputError

SCRIPT = Path(__file__).with_name("app.py")


def command(config: DashboardConfig) -> list[str]:
    """The server's command line."""
    options = {
        "server.address": config.host,
        "server.port": str(config.port),
        "server.headless": "true",  # opens no browser, and asks for nobody's address
        "server.fileWatcherType": "none",
        "server.maxUploadSize": "1",  # MB; nothing here takes a file
        "browser.gatherUsageStats": "false",
        "logger.hideWelcomeMessage": "true",  # the command has said where the pages are
        "logger.level": "warning",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",  # they would take what went wrong to a search engine
        "client.toolbarMode": "minimal",
        "runner.magicEnabled": "false",
        "theme.light.baseRadius": "small",  # round corners would hide those of a film, where marks are
        "theme.dark.baseRadius": "small",
    }
    settings = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "streamlit", "run", str(SCRIPT), *settings, "--", config.root]


def serve(config: DashboardConfig) -> NoReturn:
    """Become the server; Ctrl-C ends it.

    Raises:
        InputError: the root is none, or the address cannot be listened on.
        DependencyError: Streamlit is not installed, or the store does not answer.
    """
    if find_spec("streamlit") is None:
        raise DependencyError("the dashboard needs streamlit. Install it: pip install 'secondread[dashboard]'.")
    if "://" not in config.root and not Path(config.root).expanduser().is_dir():
        raise InputError(f"{config.root} is no folder. Name one that holds dataset versions, or a store's URI.")
    open_store(config.root, Environment.read())
    _check_free(config)
    sys.stdout.write(f"dataset versions in {config.root}: http://{config.host}:{config.port} (Ctrl-C ends it)\n")
    sys.stdout.flush()
    sys.stderr.flush()
    line = command(config)
    os.execv(line[0], line)  # noqa: S606 - the same process, so that whoever ends it ends the server


def _check_free(config: DashboardConfig) -> None:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((config.host, config.port))
    except OSError as error:
        raise InputError(
            f"cannot listen on {config.host} port {config.port} ({error.strerror}). Choose another --port or --host."
        ) from error
