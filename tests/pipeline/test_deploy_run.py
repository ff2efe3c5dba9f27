"""Real runs of the deployment pipeline through KFP's local runner, against a real edge and a real registry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from secondread.atomic import read_json
from secondread.cli.main import app
from secondread.config.environment import Environment
from secondread.config.prometheus import PrometheusConfig
from secondread.config.serve import ServeConfig
from secondread.errors import DependencyError, GateRefused, InputError
from secondread.model.folder import ModelFolder
from secondread.pipeline.arguments import TrainPipelineSettings, pipeline_arguments
from secondread.pipeline.deploy_arguments import (
    DeployPipelineSettings,
    RolloutSettings,
    deploy_arguments,
    deployment_arguments,
)
from secondread.pipeline.deploy_run import DeployRun, run_deployment
from secondread.pipeline.steps.begin_rollout import begin_rollout
from secondread.pipeline.steps.end_rollout import end_rollout
from secondread.pipeline.steps.rollout_stage import rollout_stage
from secondread.pipeline.steps.verify import verify
from secondread.pipeline.success import SUCCESS_FILE, failures, verify_success
from secondread.pipeline.train_run import run_training
from secondread.rollout.record.home import Rollouts
from secondread.rollout.splitters.edge_files import Deployed, Status
from secondread.rollout.splitters.edge_process import EdgeProcess
from secondread.rollout.splitters.envoy import EnvoySplitter
from secondread.tracking.registry import Registry
from tests.pipeline.conftest import TINY, Pipeline
from tests.serving.steady_load import Load

# Quick, and with margins that some requests of a busy machine can show: what is decided is tested elsewhere.
SHARED = {"seconds_at_least": 3, "requests_at_least": 40}
POLICY: dict[str, Any] = {
    "stages": [
        {"name": "staging", "checks": ["load_test", "conformance"], "seconds_at_least": 0},
        {"name": "shadow", "mirror_percent": 100, **SHARED},
        {"name": "canary", "traffic_percent": 50, **SHARED},
        {"name": "full", "traffic_percent": 100, **SHARED},
    ],
    "triggers": {"latency_ms_above": None, "drift": []},
    "compare": {"errors_margin_points": 20, "required": ["errors"]}
    | {f"{name}_worse_points": None for name in ("latency", "tail", "classes", "confidence", "outside")},
    "evidence": {"settle_seconds": 1, "split_points": 30},
}
BEARABLE = {"users": 2, "seconds": 1, "requests_at_least": 1, "p99_below_ms": 60_000, "failures_below": 1}
STAGES = ("deploy to staging", "load test", "shadow", "canary", "full")


@dataclass
class Site:
    """One machine: an edge that serves the champion, and the registry that knows it and two challengers."""

    home: Path
    edge: Status

    @property
    def registry(self) -> Registry:
        return Registry(Environment.read().mlflow_tracking_uri)

    @property
    def splitter(self) -> EnvoySplitter:
        return EnvoySplitter(self.home)

    def settings(self) -> RolloutSettings:
        control = {"interval_seconds": 1.5, "load_test": BEARABLE}
        return RolloutSettings("it reads effusions", POLICY, control)

    def champion(self) -> int:
        champion = self.registry.get("secondread")
        assert self.splitter.read().stable.digest == champion.digest
        return champion.version


@pytest.fixture(scope="module")
def site(
    tiny_model: ModelFolder,
    tiny_graph: Callable[..., None],
    empty_mlflow: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("deploy")
    (home / "mlflow").mkdir()
    shutil.copyfile(empty_mlflow, home / "mlflow" / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECONDREAD_HOME", str(home))
        environment = Environment.read()
        registry = Registry(environment.mlflow_tracking_uri)
        for seed in range(3):
            folder = home / f"model-{seed}"
            shutil.copytree(tiny_model.root, folder)
            tiny_graph(folder / "fp32.onnx", seed=seed)
            passed = {"gate.passed": "true"}
            model = ModelFolder.open(folder)
            registry.register(model, name="secondread", root=home / "models", tags=passed, environment=environment)
        config = ServeConfig(http_port=0, grpc_port=0, threads=1, start_timeout_seconds=300)
        edge = EdgeProcess(
            home,
            config,
            trusted=environment.signing.trusted,
            stable=Deployed.of(registry.get("secondread")),
            prometheus=PrometheusConfig(port=0, scrape_seconds=0.2),
        )
        try:
            yield Site(home, edge.wait_until_ready())
        finally:
            edge.stop()


@pytest.fixture(autouse=True)
def _at_home(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDREAD_HOME", str(site.home))


@pytest.fixture(scope="module")
def refused(site: Site) -> tuple[str, str]:
    """What the command says of a version that does not bear its load: stdout, and the error."""
    control = [
        *("--set", "control.interval_seconds=1"),
        *("--set", f"control.load_test={json.dumps({**BEARABLE, 'p99_below_ms': 0.001})}"),
    ]
    arguments = ["pipeline", "run", "deploy", "--which", "2", "--set", f"policy.stages={json.dumps(POLICY['stages'])}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECONDREAD_HOME", str(site.home))
        done = CliRunner().invoke(app, [*arguments, *control, "--json"])
    assert isinstance(done.exception, GateRefused), done.exception
    return done.stdout, str(done.exception)


def test_a_version_that_does_not_bear_the_load_is_rolled_back_with_exit_code_4(
    refused: tuple[str, str], site: Site
) -> None:
    said, error = refused
    document = json.loads(said)
    assert (document["status"], document["stage"], document["rollout"]) == ("rolled_back", "staging", 1)
    assert "In stage staging load_test failed: P99 " in document["reason"]
    assert "version 2 of 'secondread' was rolled back in stage staging" in error
    assert site.champion() == 1
    assert site.splitter.read().candidate is None


def test_the_steps_after_the_stage_that_refused_are_not_come_to(refused: tuple[str, str], site: Site) -> None:
    document = json.loads(refused[0])
    assert set(document["seconds"]) == {"verify", "begin_rollout", "every stage", *STAGES[:2], "end_rollout"}
    assert "In stage staging load_test failed: P99 " in Path(document["timeline"]).read_text()


def test_the_page_of_the_load_test_is_that_of_the_rollouts_own(refused: tuple[str, str], site: Site) -> None:
    run = Path(json.loads(refused[0])["timeline"]).parents[2]
    seen = {read_json(path)["step"]: path.parents[1] for path in run.glob(f"rollout-stage*/seen/{SUCCESS_FILE}")}
    page = site.home / "rollouts/secondread/1/checks/load_test/loadtest.html"
    assert (seen["load test"] / "report").read_text() == page.read_text()
    assert "is not below 0.001 ms" in page.read_text()
    verdicts = {name: verify_success(folder / "seen", step=name)["passed"] for name, folder in seen.items()}
    assert verdicts == {"every stage": False, "deploy to staging": True, "load test": False}


@pytest.fixture(scope="module")
def promoted(refused: tuple[str, str], site: Site, film: Callable[..., bytes]) -> DeployRun:
    """A run of a version that earns it, while callers ask."""
    with pytest.MonkeyPatch.context() as patch, Load(site.edge, film(1), pause_seconds=0.05) as load:
        patch.setenv("SECONDREAD_HOME", str(site.home))
        settings = DeployPipelineSettings(site.settings(), which="2")
        run = run_deployment(deploy_arguments(settings), home=site.home)
    assert not load.broken
    assert {each.status for each in load.answers} == {"200", "OK"}
    return run


def test_a_version_that_earns_it_is_champion_and_answers_and_no_request_is_lost(
    promoted: DeployRun, site: Site
) -> None:
    assert (promoted.status, promoted.stage) == ("promoted", "full"), promoted.reason
    assert (promoted.stable, promoted.candidate) == (1, 2)
    assert site.champion() == 2
    assert site.registry.aliases("secondread").targets == ("1",)


def test_every_stage_is_a_step_and_none_comes_from_a_cache(promoted: DeployRun) -> None:
    steps = {"verify", "begin_rollout", "every stage", *STAGES, "promote", "end_rollout"}
    assert set(promoted.seconds) == steps
    assert all(seconds > 0 for seconds in promoted.seconds.values())


def test_the_page_of_a_run_is_its_rollouts_timeline(promoted: DeployRun) -> None:
    page = Path(promoted.timeline)
    assert "Stage full is passed with" in page.read_text()
    shown = page.parents[1] / "timeline"
    assert shown.read_text() == page.read_text()
    said = (page.parents[1] / "conclusion").read_text()
    assert said == f"Version 2 of secondread is champion: {promoted.reason}\n"


def test_each_stage_shows_the_figures_that_it_was_decided_by(promoted: DeployRun) -> None:
    folders = Path(promoted.timeline).parents[2].glob(f"rollout-stage*/seen/{SUCCESS_FILE}")
    figures = {read_json(path)["step"]: read_json(path.parents[1] / "metrics") for path in folders}
    assert set(figures) == {"every stage", *STAGES}
    assert all(figures[stage]["requests"] >= SHARED["requests_at_least"] for stage in ("shadow", "canary", "full"))
    assert figures["canary"]["errors"] == figures["canary"]["errors.stable"] == 0


@pytest.fixture
def begun(promoted: DeployRun, site: Site, tmp_path: Path) -> Path:
    """A rollout that a run of a cluster began and left in its first stage."""
    verify(str(tmp_path / "verified"), name="secondread", which="3")
    begin(tmp_path, site, "rollout")
    return tmp_path / "rollout"


def begin(folder: Path, site: Site, output: str, *, run: str = "") -> dict[str, Any]:
    settings = site.settings()
    return begin_rollout(
        str(folder / "verified"),
        str(folder / output),
        policy=json.dumps(settings.policy),
        control=json.dumps(settings.control),
        reason=settings.reason,
        pipeline_run=run or folder.name,
    )


def end(folder: Path, site: Site, *, run: str = "") -> dict[str, Any]:
    control = json.dumps(site.settings().control)
    shutil.rmtree(folder / "ended", ignore_errors=True)
    given = {"name": "secondread", "control": control, "state": "FAILED", "pipeline_run": run or folder.name}
    return end_rollout(str(folder / "ended"), **given)


def test_what_a_run_leaves_undecided_is_rolled_back_and_the_champion_stays(begun: Path, site: Site) -> None:
    stage = rollout_stage(
        str(begun), str(begun.parent / "seen"), stage="deploy to staging", control=json.dumps(site.settings().control)
    )
    assert stage["passed"]
    assert site.splitter.read().candidate is not None
    facts = end(begun.parent, site)
    assert facts["ended"] == "roll_back"
    assert facts["reason"].endswith("the run ended as FAILED before the rollout had")
    assert site.champion() == 2
    assert site.splitter.read().candidate is None


def test_a_step_that_is_tried_again_goes_on_with_the_rollout_that_its_run_began(begun: Path, site: Site) -> None:
    before = verify_success(begun, step="begin_rollout")
    assert begin(begun.parent, site, "again") == before
    end(begun.parent, site)


def test_a_rollout_of_somebody_else_is_neither_joined_nor_ended(begun: Path, site: Site) -> None:
    with pytest.raises(SystemExit) as ended:
        begin(begun.parent, site, "other", run="another")
    assert ended.value.code == InputError.exit_code
    assert "has not ended" in failures(begun.parent)[0].message
    assert end(begun.parent, site, run="another")["conclusion"] == "This run began no rollout of secondread."
    assert not Rollouts(site.home).get("secondread").read().state.ended
    assert end(begun.parent, site)["ended"] == "roll_back"


def test_steps_that_see_no_rollout_say_what_they_must_share(
    begun: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("SECONDREAD_HOME", str(begun.parent / "elsewhere"))
        with pytest.raises(SystemExit):
            rollout_stage(str(begun), str(begun.parent / "seen"), stage="shadow", control="")
    assert "must share: mount the same volume there" in failures(begun.parent)[0].message
    end(begun.parent, site)


def test_an_altered_repository_lets_nothing_in(promoted: DeployRun, site: Site, tmp_path: Path) -> None:
    graph = next(Path(site.registry.get("secondread", "3").storage_uri).glob("secondread/*/model.onnx"))
    whole = graph.read_bytes()
    graph.write_bytes(whole + b"\0")
    try:
        with pytest.raises(SystemExit) as ended:
            verify(str(tmp_path / "verified"), name="secondread", which="3")
    finally:
        graph.write_bytes(whole)
    assert ended.value.code == InputError.exit_code
    assert not (tmp_path / "verified").exists()


def test_what_cannot_be_let_in_is_said_before_anything_runs(promoted: DeployRun, site: Site) -> None:
    with pytest.raises(InputError, match="version 2 of 'secondread' is the champion: there is nothing to let in"):
        deploy_arguments(DeployPipelineSettings(site.settings(), which="champion"))
    with pytest.raises(InputError, match="no model 'oct'"):
        deployment_arguments(site.settings(), "oct")
    with pytest.raises(InputError, match="policy has no setting stagse"):
        RolloutSettings("why", policy={"stagse": []})
    with pytest.raises(InputError, match="reason is empty"):
        RolloutSettings(" ")
    given = deployment_arguments(site.settings(), "secondread")
    assert (given["deploy"], given["reason"], json.loads(given["policy"])) == (True, "it reads effusions", POLICY)


def test_pods_get_no_edge_no_alias_and_no_secret(site: Site) -> None:
    cluster = {"splitter": "kserve-canary", "observe": {"prometheus_url": "http://prometheus:9090"}}

    unmirrored = {"stages": [stage for stage in POLICY["stages"] if not stage.get("mirror_percent")]}

    def given(control: dict[str, Any], which: str = "7", policy: Any = unmirrored) -> dict[str, Any]:
        settings = DeployPipelineSettings(RolloutSettings("why", policy, control), which=which)
        return deploy_arguments(settings, remote=True)

    with pytest.raises(InputError, match="splitter envoy is the edge of one machine"):
        given({})
    with pytest.raises(InputError, match="which version is 'challenger' cannot be asked here"):
        given(cluster, which="challenger")
    with pytest.raises(InputError, match=r"kserve-canary mirrors no requests, as stage shadow asks for"):
        given(cluster, policy={})
    with pytest.raises(InputError, match="webhook_url may be secret"):
        given({**cluster, "webhook_url": "https://chat.example/hook/123"})
    assert given(cluster)["model_version"] == "7"
    assert str(site.home) not in json.dumps(given(cluster))


def test_without_an_edge_nothing_is_begun(
    promoted: DeployRun, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", Environment.read().mlflow_tracking_uri)
    monkeypatch.setenv("SECONDREAD_HOME", str(tmp_path))
    with pytest.raises(DependencyError, match="no edge was started"):
        deploy_arguments(DeployPipelineSettings(site.settings(), which="3"))


@pytest.mark.full
def test_a_training_ends_in_the_deployment_of_what_it_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same graph within another one, with an exit handler of its own; refused here: nothing bears this load."""
    pipeline = Pipeline(tmp_path)
    pipeline.run()
    monkeypatch.setenv("SECONDREAD_HOME", str(pipeline.home))
    environment = Environment.read()
    champion = Registry(environment.mlflow_tracking_uri).get("tiny")
    edge = EdgeProcess(
        pipeline.home,
        ServeConfig(name="tiny", http_port=0, grpc_port=0, threads=1, start_timeout_seconds=300),
        trusted=environment.signing.trusted,
        stable=Deployed.of(champion),
        prometheus=PrometheusConfig(port=0, scrape_seconds=0.2),
    )
    try:
        edge.wait_until_ready()
        pipeline.change_an_image(0)
        control = {"interval_seconds": 1.0, "load_test": {**BEARABLE, "p99_below_ms": 0.001}}
        rollout = RolloutSettings("learned from one more film", POLICY, control)
        settings = TrainPipelineSettings(str(pipeline.source), "tiny", str(pipeline.home / "models"), **TINY)
        arguments = pipeline_arguments(settings) | deployment_arguments(rollout, "tiny")
        run = run_training(arguments, home=pipeline.home)
    finally:
        edge.stop()
    assert (run.status, run.registered_version) == ("registered", 2)
    assert run.deployment is not None
    assert (run.deployment.status, run.deployment.stable, run.deployment.candidate) == ("rolled_back", 1, 2)
    assert "load_test failed" in run.deployment.reason
    assert Registry(environment.mlflow_tracking_uri).get("tiny").version == 1
