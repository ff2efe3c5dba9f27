"""scripts/debian-packages.sh, on stand-ins for the commands that would change the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "debian-packages.sh"
# What the script itself is made of.
TOOLS = ("bash", "env")


@pytest.fixture
def machine(tmp_path):
    """A PATH with what is asked for and nothing else; apt-get writes down what it was told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    log = tmp_path / "apt.log"

    def command(name, body):
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)

    class Machine:
        def __init__(self):
            for tool in TOOLS:
                (folder / tool).symlink_to(shutil.which(tool))
            self.has("python3.11", "make", "g++", "git", "curl", "initdb", "swift-ring-builder", "memcached")
            self.has("dcmj2pnm", "chromium", "prometheus")
            command("id", "echo 0")

        def has(self, *names):
            for name in names:
                command(name, "exit 0")

        def lacks(self, *names):
            for name in names:
                (folder / name).unlink()

        def user(self, number):
            command("id", f"echo {number}")

        def apt(self, status=0, brings=()):
            made = "".join(
                f"\nprintf '#!/bin/sh\\n' > {folder}/{name}; /bin/chmod 755 {folder}/{name}" for name in brings
            )
            command("apt-get", f'echo "$*" >> {log}{made}\nexit {status}')

        def run(self, *arguments):
            environment = {"PATH": str(folder), "SSL_CERT_FILE": os.devnull}
            command = ["bash", SCRIPT, *arguments]
            return subprocess.run(
                command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20
            )

        def installed(self):
            return log.read_text().splitlines() if log.exists() else []

    return Machine()


@pytest.mark.parametrize("group", ["demo", "test"])
def test_says_and_does_nothing_when_all_is_there(group, machine):
    machine.apt()
    result = machine.run(group)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert machine.installed() == []


def test_installs_only_what_is_missing_and_says_why(machine):
    machine.lacks("git")
    machine.apt(brings=["git"])
    result = machine.run("demo")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "debian-packages: installing\n  git: the revision that a model is registered with\n"
    assert machine.installed() == ["--quiet --yes update", "--quiet --yes install --no-install-recommends git"]


def test_the_demo_does_not_ask_for_what_only_the_tests_need(machine):
    machine.lacks("curl")
    machine.apt(brings=["curl"])
    assert machine.run("demo").returncode == 0
    assert machine.installed() == []
    assert machine.run("test").returncode == 0
    assert machine.installed()[-1].endswith("curl")


def test_without_python_it_asks_for_all_of_it(machine):
    machine.lacks("python3.11")
    machine.apt(brings=["python3.11"])
    assert machine.run("demo").returncode == 0
    assert machine.installed()[-1].endswith("python3.11 python3.11-venv")


def test_without_root_and_sudo_it_names_what_is_missing(machine):
    machine.lacks("git")
    machine.apt()
    machine.user(1000)
    result = machine.run("demo")
    assert result.returncode == 3
    assert "neither root nor sudo" in result.stderr
    assert "git: the revision that a model is registered with" in result.stderr
    assert "apt-get install git" in result.stderr
    assert machine.installed() == []


def test_sudo_is_asked_for_apt_get_alone(machine, tmp_path):
    machine.lacks("git")
    machine.apt(brings=["git"])
    machine.user(1000)
    asked = tmp_path / "sudo.log"
    sudo = tmp_path / "bin" / "sudo"
    sudo.write_text(f'#!/bin/sh\necho "$*" >> {asked}\n[ "$1" = -n ] && exit 0\nexec "$@"\n')
    sudo.chmod(0o755)
    assert machine.run("demo").returncode == 0
    said = [line for line in asked.read_text().splitlines() if line != "-n true"]
    assert said
    assert all(line.startswith("env DEBIAN_FRONTEND=noninteractive apt-get") for line in said)


def test_when_apt_get_fails_it_names_what_is_missing(machine):
    machine.lacks("git")
    machine.apt(status=100)
    result = machine.run("demo")
    assert result.returncode == 3
    assert "apt-get could not install them" in result.stderr


def test_another_system_is_told_what_to_install(machine):
    machine.lacks("git")
    result = machine.run("demo")
    assert result.returncode == 3
    assert "no Debian or Ubuntu" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["all"]])
def test_an_unknown_group_is_a_mistake(arguments, machine):
    result = machine.run(*arguments)
    assert result.returncode == 2
    assert "demo (or test)" in result.stderr
