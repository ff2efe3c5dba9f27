"""A training that is sent away: what goes along, what the cluster runs, and what is refused before it goes."""

from __future__ import annotations

import shlex

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.errors import DependencyError, InputError
from secondread.training.submit import JobServer, Order, variables_for

ORDER = Order(data="/mnt/data/version", output="/mnt/data/model", settings=("train.epochs=2",))


def test_the_cluster_runs_the_same_command_with_strategy_ray() -> None:
    assert ORDER.command == (
        "python -m secondread train --data /mnt/data/version --output /mnt/data/model --name secondread --json "
        "--set train.strategy=ray --set train.epochs=2 --resume"
    )


def test_a_version_in_a_store_is_fetched_first() -> None:
    order = Order(
        data="s3://films/versions/3f2a91c", output="/mnt/data/model", start="/mnt/data/old model", resume=False
    )
    fetch, train = order.command.split(" && ")
    assert fetch == "python -m secondread data fetch s3://films/versions/3f2a91c /mnt/data/model.data"
    assert "--data /mnt/data/model.data " in train
    assert train.endswith("--start '/mnt/data/old model' --fresh")


def test_no_word_of_the_user_is_a_command() -> None:
    command = Order(data="/mnt/$(id)", output="/mnt/a; b").command
    assert shlex.split(command)[4:8] == ["--data", "/mnt/$(id)", "--output", "/mnt/a; b"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output": "model"}, "--output model is no absolute path"),
        ({"output": "s3://models/a"}, "--output s3://models/a is no absolute path"),
        ({"data": "var/dataset"}, "--data var/dataset is no absolute path"),
        ({"settings": ["train.strategy=ddp"]}, "trains with strategy ray"),
    ],
)
def test_what_the_cluster_could_not_do_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Order(**{"data": "/mnt/a", "output": "/mnt/b", **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", ["preprocess.image_size=224", "train.lr=1", "train.gradient_clip=Infinity"])
def test_a_setting_that_the_training_would_refuse_is_refused_before_it_is_sent(setting: str) -> None:
    nobody = "http://127.0.0.1:9"
    arguments = ["train", "submit", "--address", nobody, "--data", "/mnt/a", "--output", "/mnt/b", "--set", setting]
    told = CliRunner().invoke(app, arguments)
    assert isinstance(told.exception, InputError)


def test_only_what_is_no_secret_goes_along() -> None:
    environment = {
        "MLFLOW_TRACKING_URI": "http://mlflow:8000",
        "SECONDREAD_LOG": "json",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "RAY_AUTH_TOKEN": "hush",
    }
    assert variables_for(ORDER, environment) == {
        "SECONDREAD_HOME": "/mnt/data/var",
        "SECONDREAD_LOG": "json",
        "MLFLOW_TRACKING_URI": "http://mlflow:8000",
    }


def test_an_mlflow_in_a_file_of_this_machine_stays_here(caplog: pytest.LogCaptureFixture) -> None:
    assert "MLFLOW_TRACKING_URI" not in variables_for(ORDER, {"MLFLOW_TRACKING_URI": "sqlite:////home/me/mlflow.db"})
    assert "MLFLOW_TRACKING_URI names a file of this machine" in caplog.text


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://user:hush@db/mlflow",
        "postgresql://user:hu/sh@db/mlflow",
        "postgresql://db/mlflow?user=me&password=hush",
        "https://hush@mlflow",
    ],
)
def test_a_password_or_token_in_mlflows_address_stays_here(address: str) -> None:
    with pytest.raises(InputError, match="has a name or password in it") as caught:
        variables_for(ORDER, {"MLFLOW_TRACKING_URI": address})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("address", ["head:8265", "ray://head:10001", "auto"])
def test_an_address_that_is_no_url_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="Name it as http://HEAD:8265"):
        JobServer.connect(address)


def test_a_job_server_that_does_not_answer_is_named() -> None:
    with pytest.raises(DependencyError, match=r"the Ray job server at http://127\.0\.0\.1:9 does not answer"):
        JobServer.connect("http://127.0.0.1:9")
