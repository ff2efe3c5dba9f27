"""A real MLflow server on PostgreSQL that goes down at the n-th call, for every n: nothing is ever half registered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from secondread.config.environment import Environment
from secondread.errors import DependencyError
from secondread.export.repository.layout import write_repository
from secondread.export.repository.opened import opened_repository
from secondread.export.repository.signing import sign_folder, verify_folder
from secondread.export.repository.signing_key import signing_key
from secondread.model.folder import ModelFolder
from secondread.tracking.aliases import Aliases
from secondread.tracking.promotion import Decision, promote, rollback
from secondread.tracking.registry import RegisteredVersion, Registry
from tests.tracking.breaking_proxy import BreakingProxy

MOST_CALLS = 30
BY = Decision("Ada", "a test")
HISTORY = {"champion": "3", "champion-1": "2", "champion-2": "1", "challenger": "4"}


@pytest.fixture
def line(mlflow_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[BreakingProxy]:
    """The line to it, which breaks."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    proxy = BreakingProxy(mlflow_server.url)
    yield proxy
    proxy.close()


@pytest.fixture
def direct(mlflow_server: Any) -> MlflowClient:
    """Another line to it, which does not."""
    return MlflowClient(tracking_uri=mlflow_server.url, registry_uri=mlflow_server.url)


def at_every_call(line: BreakingProxy, heard: bool, attempt: Callable[[int], None]) -> int:
    """Attempt something with 0, 1, 2, ... calls before the line breaks, until it needs no more; how many it needs."""
    for calls in range(MOST_CALLS):
        line.break_after(calls, heard=heard)
        try:
            attempt(calls)
        except DependencyError as error:
            said = str(error)
        else:
            return calls
        finally:
            line.mend()
        assert "MLflow at http://127.0.0.1" in said
        assert "\n" not in said
    raise AssertionError(f"more than {MOST_CALLS} calls")


@pytest.mark.parametrize("heard", [False, True], ids=["unheard", "answer lost"])
def test_registering_leaves_no_half_registered_version_and_no_alias_changed(
    line: BreakingProxy, direct: MlflowClient, tiny_model: ModelFolder, swift: Any, heard: bool
) -> None:
    """What a version says of where it lies is true at every moment: the store is asked."""
    environment, root = swift.environment(), f"swift://registered-{heard}/models".lower()
    swift.make_container(f"registered-{heard}".lower())
    registry = Registry(line.url)

    def register(calls: int) -> RegisteredVersion:
        name = f"r{calls}-{heard}"
        return registry.register(
            tiny_model,
            name=name,
            root=root,
            tags={"gate.passed": "true"},
            environment=environment,
        )

    def attempt(calls: int) -> None:
        name = f"r{calls}-{heard}"
        direct.create_registered_model(name)
        older = {"digest": "0" * 64, "storage_uri": "s3://models/older"}
        direct.create_model_version(name, source="s3://models/older", tags=older)
        direct.set_registered_model_alias(name, "champion", "1")
        try:
            register(calls)
        finally:
            line.mend()
            check(name)
            if (name, calls) not in done:
                done.append((name, calls))

    def check(name: str) -> None:
        """By MLflow's own account, not ours."""
        versions = {item.version: item.tags for item in direct.search_model_versions(f"name = '{name}'")}
        aliases = direct.get_registered_model(name).aliases
        assert str(aliases["champion"]) == "1"
        assert set(map(str, aliases.values())) <= set(map(str, versions))
        for number, tags in versions.items():
            if str(number) != "1":
                assert tags["storage_uri"] == f"{root}/{name}/{tiny_model.digest()}"
                assert tags["repository_version"] == str(number)
                assert tags["gate.passed"] == "true"
                assert "pixels" in tags["signature.inputs"]
                with opened_repository(tags["storage_uri"], environment) as repository:
                    verify_folder(repository, environment.signing.trusted)

    done: list[tuple[str, int]] = []
    needed = at_every_call(line, heard, attempt)
    assert needed >= 5
    for name, calls in done:  # asked again, each comes to the same
        assert (register(calls).version, register(calls).alias) == (2, "challenger")
        assert len(direct.search_model_versions(f"name = '{name}'")) == 2


@pytest.fixture
def history(
    direct: MlflowClient, tiny_model: ModelFolder, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[[], str]:
    """Have a model whose champion is version 3, after 2 and 1, with 4 as challenger: `name = history()`."""
    name = f"h{abs(hash(request.node.name))}"
    folder = write_repository(tiny_model, tmp_path / "models", name=name, version=1)
    sign_folder(folder, signing_key(Environment.read().signing))
    direct.create_registered_model(name)
    tags = {"digest": tiny_model.digest(), "storage_uri": str(folder), "gate.passed": "true"}
    for _ in range(4):
        direct.create_model_version(name, source="s3://models/x", tags=tags)

    def begin() -> str:
        now = raw(direct, name)
        for alias in now.keys() - HISTORY.keys():
            direct.delete_registered_model_alias(name, alias)
        for alias, version in HISTORY.items():
            if now.get(alias) != version:
                direct.set_registered_model_alias(name, alias, version)
        return name

    return begin


def raw(direct: MlflowClient, name: str) -> dict[str, str]:
    return {alias: str(version) for alias, version in direct.get_registered_model(name).aliases.items()}


@pytest.mark.parametrize("heard", [False, True], ids=["unheard", "answer lost"])
def test_a_promotion_that_fails_has_changed_no_champion_and_lost_no_target(
    line: BreakingProxy, direct: MlflowClient, history: Callable[[], str], heard: bool
) -> None:
    registry, environment = Registry(line.url), Environment.read()
    lost_answers = []

    def attempt(calls: int) -> None:
        name = history()
        failed = True
        try:
            promote(registry, name, decision=BY, environment=environment)
            failed = False
        finally:
            line.mend()
            now = Aliases.of(raw(direct, name))
            if failed and now.champion == "4":
                lost_answers.append(calls)
            assert now.champion == "3" if failed and calls not in lost_answers else now.champion == "4"
            assert {"3", "2", "1"} <= {now.champion, *now.targets}
            promote(registry, name, "4", decision=BY, environment=environment)
            after = {"champion": "4", "champion-1": "3", "champion-2": "2", "champion-3": "1"}
            assert raw(direct, name) == after

    # the calls before the champion changes; a failure after that is no failure any more
    assert at_every_call(line, heard, attempt) >= 8
    assert len(lost_answers) == heard


@pytest.mark.parametrize("heard", [False, True], ids=["unheard", "answer lost"])
def test_a_rollback_that_fails_has_changed_no_champion_and_lost_no_target(
    line: BreakingProxy, direct: MlflowClient, history: Callable[[], str], heard: bool
) -> None:
    registry, environment = Registry(line.url), Environment.read()
    lost_answers = []

    def attempt(calls: int) -> None:
        name = history()
        failed = True
        try:
            rollback(registry, name, decision=BY, environment=environment)
            failed = False
        finally:
            line.mend()
            now = raw(direct, name)
            if failed and now["champion"] == "2":
                lost_answers.append(calls)
            elif failed:
                assert now == HISTORY
            if now["champion"] == "2":
                assert Aliases.of(now) == Aliases("2", "4", ("1",))

    assert at_every_call(line, heard, attempt) >= 5
    assert len(lost_answers) == heard
