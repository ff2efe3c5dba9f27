"""The Triton model repository that register writes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from secondread.errors import InputError, IntegrityError
from secondread.export.repository.layout import (
    read_repository,
    verify_repository,
    write_repository,
)
from secondread.model.folder import ModelFolder
from secondread.model.session import GraphSession
from secondread.serving.local.triton import LocalTriton


def test_the_layout_is_the_one_that_triton_reads(model: ModelFolder, tmp_path: Path) -> None:
    folder = write_repository(model, tmp_path / "models", name="chest", version=7)
    assert folder == tmp_path / "models" / "chest" / model.digest()
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == ["chest/7/config.json", "chest/7/model.onnx", "chest/config.pbtxt", "chest/configs/gpu.pbtxt"]
    assert (folder / "chest/7/model.onnx").read_bytes() == model.graph_path().read_bytes()


def test_reading_it_back_gives_the_model(model: ModelFolder, tmp_path: Path) -> None:
    folder = write_repository(model, tmp_path, name="chest", version=7)
    served = read_repository(folder, "chest")
    assert (served.name, served.version, served.digest) == ("chest", "7", model.digest())
    assert served.config == model.config


def test_writing_again_changes_nothing(model: ModelFolder, tmp_path: Path) -> None:
    def state(folder: Path) -> dict[Path, tuple[int, str]]:
        return {
            path: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
            for path in folder.rglob("*")
            if path.is_file()
        }

    folder = write_repository(model, tmp_path, name="chest", version=7)
    before = state(folder)
    assert write_repository(model, tmp_path, name="chest", version=7) == folder
    assert state(folder) == before


def test_another_version_of_the_same_model_stands_beside_and_is_the_one_served(
    model: ModelFolder, tmp_path: Path
) -> None:
    folder = write_repository(model, tmp_path, name="chest", version=9)
    assert write_repository(model, tmp_path, name="chest", version=10) == folder
    assert sorted(path.name for path in (folder / "chest").iterdir()) == ["10", "9", "config.pbtxt", "configs"]
    assert read_repository(folder, "chest").version == "10"


def test_a_graph_that_does_not_run_is_not_stored(model: ModelFolder, tmp_path: Path) -> None:
    model.graph_path().write_bytes(b"no graph")
    with pytest.raises(IntegrityError, match=r"fp32\.onnx cannot be opened"):
        write_repository(model, tmp_path / "models", name="chest", version=1)
    assert not (tmp_path / "models").exists()


def test_a_graph_with_other_classes_than_its_config_is_not_stored(model: ModelFolder, tmp_path: Path) -> None:
    document = json.loads((model.root / "config.json").read_text())
    document["taxonomy"]["classes"].append({"name": "d"})
    (model.root / "config.json").write_text(json.dumps(document))
    with pytest.raises(IntegrityError, match="names 4 classes"):
        write_repository(ModelFolder.open(model.root), tmp_path / "models", name="chest", version=1)
    assert not (tmp_path / "models").exists()


def test_an_interrupted_copy_looks_like_nothing(
    model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("secondread.export.repository.layout.shutil.copyfile", fail)
    with pytest.raises(KeyboardInterrupt):
        write_repository(model, tmp_path / "models", name="chest", version=1)
    assert list((tmp_path / "models" / "chest").iterdir()) == []


def test_versions_start_at_one(model: ModelFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="version 0 is below 1"):
        write_repository(model, tmp_path, name="chest", version=0)


def test_a_folder_without_the_model_names_those_it_has(model: ModelFolder, tmp_path: Path) -> None:
    folder = write_repository(model, tmp_path, name="chest", version=1)
    with pytest.raises(IntegrityError, match=r"no model 'eye' \(it has chest\)"):
        read_repository(folder, "eye")
    with pytest.raises(IntegrityError, match="it is no model repository"):
        read_repository(tmp_path / "gone", "chest")


def test_a_config_without_its_digest_is_refused(model: ModelFolder, tmp_path: Path) -> None:
    folder = write_repository(model, tmp_path, name="chest", version=1)
    path = folder / "chest/1/config.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "digest"}))
    with pytest.raises(IntegrityError, match="names no digest"):
        read_repository(folder, "chest")


def damage(path: Path, how: str) -> None:
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    elif how == "changed":
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    else:
        path.unlink()


def test_the_record_beside_the_graph_names_its_sha256(model: ModelFolder, tmp_path: Path) -> None:
    folder = write_repository(model, tmp_path, name="chest", version=1)
    document = json.loads((folder / "chest/1/config.json").read_text())
    assert document["graph_sha256"] == hashlib.sha256((folder / "chest/1/model.onnx").read_bytes()).hexdigest()
    verify_repository(folder)


@pytest.mark.parametrize("how", ["truncated", "changed", "deleted"])
def test_a_damaged_graph_is_noticed_and_mended_by_registering_again(
    model: ModelFolder, tmp_path: Path, how: str
) -> None:
    folder = write_repository(model, tmp_path, name="chest", version=1)
    graph = folder / "chest/1/model.onnx"
    damage(graph, how)
    for check in (lambda: read_repository(folder, "chest"), lambda: verify_repository(folder)):
        with pytest.raises(IntegrityError, match=r"chest/1/model\.onnx is .*Register the model again"):
            check()
    assert write_repository(model, tmp_path, name="chest", version=1) == folder
    verify_repository(folder)
    assert graph.read_bytes() == model.graph_path().read_bytes()
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == ["chest/1/config.json", "chest/1/model.onnx", "chest/config.pbtxt", "chest/configs/gpu.pbtxt"]


@pytest.mark.parametrize("name", ["1/config.json", "config.pbtxt"])
def test_a_lost_configuration_is_noticed_and_mended(model: ModelFolder, tmp_path: Path, name: str) -> None:
    folder = write_repository(model, tmp_path, name="chest", version=1)
    path = folder / "chest" / name
    text = path.read_text()
    path.unlink()
    with pytest.raises(IntegrityError, match=f"{path.name} is missing"):
        verify_repository(folder)
    write_repository(model, tmp_path, name="chest", version=1)
    verify_repository(folder)
    assert path.read_text() == text


@pytest.mark.parametrize("name", ["config.pbtxt", "configs/gpu.pbtxt"])
def test_a_truncated_triton_configuration_is_mended(model: ModelFolder, tmp_path: Path, name: str) -> None:
    folder = write_repository(model, tmp_path, name="chest", version=1)
    path = folder / "chest" / name
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    write_repository(model, tmp_path, name="chest", version=1)
    assert path.read_text() == text


def test_a_repository_of_before_the_record_is_mended(model: ModelFolder, tmp_path: Path) -> None:
    folder = write_repository(model, tmp_path, name="chest", version=1)
    path = folder / "chest/1/config.json"
    document = json.loads(path.read_text())
    del document["graph_sha256"]
    path.write_text(json.dumps(document))
    with pytest.raises(IntegrityError, match="names no graph_sha256"):
        read_repository(folder, "chest")
    write_repository(model, tmp_path, name="chest", version=1)
    assert read_repository(folder, "chest").version == "1"


def test_a_latest_version_without_its_record_is_not_passed_over(model: ModelFolder, tmp_path: Path) -> None:
    folder = write_repository(model, tmp_path, name="chest", version=9)
    write_repository(model, tmp_path, name="chest", version=10)
    (folder / "chest/10/config.json").unlink()  # Triton would serve 10 all the same
    with pytest.raises(IntegrityError, match=r"10/config\.json is missing"):
        read_repository(folder, "chest")


def test_an_older_version_that_is_damaged_is_noticed_too(model: ModelFolder, tmp_path: Path) -> None:
    folder = write_repository(model, tmp_path, name="chest", version=9)
    write_repository(model, tmp_path, name="chest", version=10)
    damage(folder / "chest/9/model.onnx", "truncated")
    assert read_repository(folder, "chest").version == "10"  # what is served is whole
    with pytest.raises(IntegrityError, match=r"9/model\.onnx"):
        verify_repository(folder)


def test_a_folder_without_models_is_no_repository(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(IntegrityError, match="is no model repository"):
            verify_repository(folder)


def test_a_remote_repository_is_said_to_be_one() -> None:
    for check in (lambda uri: read_repository(uri, "chest"), verify_repository):
        with pytest.raises(InputError, match=r"^s3://bucket/chest/12ab .*on no disk of this machine: copy"):
            check(Path("s3://bucket/chest/12ab"))


def test_a_graph_that_explains_is_a_model_of_its_own_beside_the_fast_one(
    explaining: ModelFolder, tmp_path: Path
) -> None:
    folder = write_repository(explaining, tmp_path / "models", name="chest", version=7)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    each = ("7/config.json", "7/model.onnx", "config.pbtxt", "configs/gpu.pbtxt")
    assert files == [f"{name}/{file}" for name in ("chest-explain", "chest") for file in each]
    assert (folder / "chest-explain/7/model.onnx").read_bytes() == (explaining.root / "explain.onnx").read_bytes()
    verify_repository(folder)
    assert read_repository(folder, "chest-explain").digest == read_repository(folder, "chest").digest


def test_the_digest_covers_the_graph_that_explains(explaining: ModelFolder) -> None:
    before = explaining.digest()
    (explaining.root / "explain.onnx").write_bytes((explaining.root / "explain.onnx").read_bytes() + b"\0")
    assert explaining.digest() != before


def test_a_graph_that_explains_nothing_is_not_stored(model: ModelFolder, tmp_path: Path) -> None:
    (model.root / "explain.onnx").write_bytes(model.graph_path().read_bytes())
    with pytest.raises(IntegrityError, match=r"explain\.onnx gives no 'saliency'"):
        write_repository(model, tmp_path / "models", name="chest", version=1)
    assert not (tmp_path / "models").exists()


def test_a_local_triton_serves_both(explaining: ModelFolder, tmp_path: Path) -> None:
    import tritonclient.http

    folder = write_repository(explaining, tmp_path / "models", name="chest", version=1)
    (folder / "MLmodel").write_text("a file beside the models is none of Triton's business")
    pixels = np.random.default_rng(0).integers(0, 255, (2, 1, 32, 32), dtype=np.uint8)
    tensor = tritonclient.http.InferInput("pixels", list(pixels.shape), "UINT8")
    tensor.set_data_from_numpy(pixels)
    with LocalTriton(folder, home=tmp_path / "home", threads=1) as triton:
        client = tritonclient.http.InferenceServerClient(triton.http_address)
        answers = {name: client.infer(name, [tensor]) for name in ("chest", "chest-explain")}
        client.close()
    saliency = answers["chest-explain"].as_numpy("saliency")
    np.testing.assert_allclose(saliency, pixels[:, 0] / np.float32(255), atol=1e-6)
    probabilities = [answer.as_numpy("probabilities") for answer in answers.values()]
    np.testing.assert_array_equal(*probabilities)


@pytest.fixture
def exported(model: ModelFolder) -> ModelFolder:
    """A small network of ours, as train exports it."""
    import torch

    from secondread.export.onnx import ExplainingGraph, ServedGraph, export_onnx
    from secondread.model.out_of_distribution import Axes, Probe, Scale, Strangeness
    from secondread.model.vit import PRESETS, ViT

    torch.manual_seed(0)
    network = ViT(PRESETS["vit-test-32"].fit_to(image_size=32, classes=3)).eval()
    features = network.describe(torch.zeros(1, 1, 32, 32))[1].shape[1]
    axes = Axes(*np.ones((2, features), np.float32), np.eye(features, 2, dtype=np.float32))
    scale = Scale(np.zeros(2, np.float32), np.ones(2, np.float32))
    score = Strangeness(axes, Probe(np.ones(features, np.float32), 0.0), scale)
    served = ServedGraph(network, temperature=1.0, strangeness=score)
    export_onnx(served, model.graph_path())
    export_onnx(ExplainingGraph(served), model.root / "explain.onnx")
    return ModelFolder.open(model.root)


def test_a_local_triton_explains_as_the_exported_graph_does(exported: ModelFolder, tmp_path: Path) -> None:
    import tritonclient.http

    folder = write_repository(exported, tmp_path / "models", name="chest", version=1)
    pixels = np.random.default_rng(0).integers(0, 255, (8, 1, 32, 32), dtype=np.uint8)
    tensor = tritonclient.http.InferInput("pixels", list(pixels.shape), "UINT8")
    tensor.set_data_from_numpy(pixels)
    with LocalTriton(folder, home=tmp_path / "home", threads=1) as triton:
        client = tritonclient.http.InferenceServerClient(triton.http_address)
        answer = client.infer("chest-explain", [tensor])
        fast = client.infer("chest", [tensor])
        client.close()
    expected = GraphSession(exported.root / "explain.onnx", threads=1).explain(pixels)
    np.testing.assert_allclose(answer.as_numpy("saliency"), expected.saliency, atol=1e-5)
    np.testing.assert_allclose(answer.as_numpy("probabilities"), fast.as_numpy("probabilities"), atol=1e-6)
