"""Laptop, commit hook and GitHub run the same commands, and nothing they use can change under them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yaml"))


def steps(workflow):
    for job in yaml.safe_load(workflow.read_text())["jobs"].values():
        yield from job["steps"]


@pytest.fixture
def hooks():
    (ours,) = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    assert ours["repo"] == "local"
    return {hook["id"]: hook for hook in ours["hooks"]}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_a_commit(workflow):
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used), used


def test_a_workflow_can_only_read():
    assert WORKFLOWS
    assert all(yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"} for path in WORKFLOWS)


def test_github_runs_the_gate_that_everyone_runs():
    commands = [step.get("run") for workflow in WORKFLOWS for step in steps(workflow)]
    assert "bash .ci/run" in commands
    assert "make test" in (REPOSITORY / ".ci" / "run").read_text()


@pytest.mark.parametrize("target", ["lint", "type"])
def test_hooks_call_the_targets_of_the_makefile(target, hooks):
    assert hooks[target]["entry"].split()[0] == "make"
    assert hooks[target]["entry"].split()[-1] == target
    assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)


def test_hooks_look_for_large_files_and_secrets_with_pinned_tools(hooks):
    foreign = {hook["entry"].split()[0]: hook for hook in hooks.values() if hook["language"] == "python"}
    assert set(foreign) == {"check-added-large-files", "detect-private-key", "detect-secrets-hook"}
    for hook in foreign.values():
        assert all(re.fullmatch(r"[\w-]+==[\d.]+", package) for package in hook["additional_dependencies"])
