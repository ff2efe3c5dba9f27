"""A signed repository in a folder and in a real object store: whole or not at all, and free the second time."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from secondread.config.environment import Environment
from secondread.data.store.open import open_object_store
from secondread.errors import DependencyError, IntegrityError
from secondread.export.repository import deliver as module
from secondread.export.repository import layout
from secondread.export.repository.deliver import Delivered, deliver
from secondread.export.repository.layout import read_repository
from secondread.export.repository.opened import opened_repository
from secondread.export.repository.signing import SIGNATURE_FILE, verify_folder
from secondread.export.repository.signing_key import SigningKey, make_key_pair
from secondread.export.repository.triton_config import triton_config
from secondread.model.folder import REFERENCE_FILE, ModelFolder

FILES = ["chest/1/config.json", "chest/1/model.onnx", "chest/config.pbtxt", "chest/configs/gpu.pbtxt"]


class Delivery:
    """Delivering the tiny model below one root."""

    def __init__(self, model: ModelFolder, root: str, key: SigningKey, environment: Environment) -> None:
        self.model, self.root, self.key, self.environment = model, root, key, environment

    def __call__(self, version: int = 1, **further: str) -> Delivered:
        return deliver(
            self.model,
            self.root,
            name="chest",
            version=version,
            key=self.key,
            environment=self.environment,
            further=further,
        )

    @property
    def uri(self) -> str:
        return f"{self.root}/chest/{self.model.digest()}"

    def objects(self) -> list[str]:
        return sorted(item.key for item in open_object_store(self.uri, self.environment).objects("", at_most=100))

    def verify(self) -> str:
        """Version and signer, as whoever serves it sees them."""
        with opened_repository(self.uri, self.environment) as folder:
            signer = verify_folder(folder, self.key.path.with_suffix(".pub"))
            return f"{read_repository(folder, 'chest').version} {signer.name}"


@pytest.fixture
def in_folder(tiny_model: ModelFolder, signer: SigningKey, tmp_path: Path) -> Delivery:
    return Delivery(tiny_model, str(tmp_path / "models"), signer, Environment.read())


@pytest.fixture
def in_store(tiny_model: ModelFolder, signer: SigningKey, store_root: str, swift: Any, tmp_path: Path) -> Delivery:
    """In S3 and in Swift."""
    return Delivery(tiny_model, store_root, signer, swift.environment(SECONDREAD_HOME=str(tmp_path / "home")))


def test_in_a_folder(in_folder: Delivery) -> None:
    done = in_folder(MLmodel="flavors: {}\n")
    assert done == Delivered(in_folder.uri, len(FILES) + 2)
    assert in_folder.verify() == f"1 {in_folder.key.public.name}"
    assert in_folder(MLmodel="flavors: {}\n").sent == 0


def test_what_the_model_answered_on_val_lies_beside_every_version_and_is_signed(
    in_folder: Delivery, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(in_folder.model.root, model)
    answered = {"patient": [0, 1], "predicted": ["cxr-covid", "cxr-normal"], "confidence": np.float32([0.9, 0.8])}
    frame = pd.DataFrame(answered | {"embedding": [np.float32([1, 2])] * 2})
    frame.to_parquet(model / REFERENCE_FILE)
    in_folder.model = ModelFolder.open(model)
    assert in_folder().sent == len(FILES) + 2
    assert in_folder().sent == 0
    assert in_folder(version=2).sent == 4  # Triton's two configurations are there
    for version in ("1", "2"):
        assert Path(in_folder.uri, "chest", version, "reference.npz").is_file()
    with opened_repository(in_folder.uri, in_folder.environment) as folder:
        verify_folder(folder, in_folder.key.path.with_suffix(".pub"))
        reference = read_repository(folder, "chest").reference
    assert reference is not None
    assert reference.predicted.tolist() == [1, 0]
    Path(in_folder.uri, "chest", "2", "reference.npz").write_bytes(b"another")
    with pytest.raises(IntegrityError, match=r"reference\.npz"):
        verify_folder(Path(in_folder.uri), in_folder.key.path.with_suffix(".pub"))


def test_in_an_object_store(in_store: Delivery) -> None:
    done = in_store(MLmodel="flavors: {}\n")
    assert done == Delivered(in_store.uri, len(FILES) + 2)
    assert in_store.objects() == ["MLmodel", *FILES, SIGNATURE_FILE]
    assert in_store.verify() == f"1 {in_store.key.public.name}"


def test_the_second_time_nothing_is_sent(in_store: Delivery) -> None:
    in_store()
    assert in_store().sent == 0
    assert in_store.verify()


def test_the_signature_is_sent_last_and_until_then_nobody_uses_it(
    in_store: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store goes down at each of the four objects in turn; what was sent by then stays."""
    send, left = module._send_one, 0

    def goes_down(path: Path, *where: Any) -> bool:
        nonlocal left
        if left == 0:
            raise DependencyError("the store does not answer")
        left -= 1
        return send(path, *where)

    monkeypatch.setattr(module, "_send_one", goes_down)
    for sent in range(len(FILES) + 1):
        left = sent
        with pytest.raises(DependencyError, match="does not answer"):
            in_store()
        assert SIGNATURE_FILE not in in_store.objects()
        if in_store.objects():
            with pytest.raises(IntegrityError, match="is not signed"):
                in_store.verify()
    left = 10
    assert in_store().sent == 1  # the signature: the rest is there
    assert in_store.verify()


def test_a_store_that_is_down_is_said_in_one_line(in_store: Delivery, swift: Any) -> None:
    swift.kill()
    with pytest.raises(DependencyError, match="does not answer"):
        in_store()


@pytest.mark.parametrize("how", ["changed", "lost"])
def test_what_was_damaged_in_the_store_is_found_and_mended(in_store: Delivery, how: str) -> None:
    in_store()
    store = open_object_store(in_store.uri, in_store.environment)
    if how == "changed":
        store.write("chest/1/model.onnx", b"no graph", sha256="")
    else:
        store.write(SIGNATURE_FILE, b"{}", sha256="")
    with pytest.raises(IntegrityError):
        in_store.verify()
    assert in_store().sent == 1
    assert in_store.verify()


def test_another_key_signs_it_anew(in_store: Delivery, tmp_path: Path) -> None:
    in_store()
    in_store.key = make_key_pair(tmp_path / "other")
    assert in_store().sent == 1
    assert in_store.verify() == f"1 {in_store.key.public.name}"


@pytest.fixture
def another_library(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called, Triton's configuration is another."""

    def come() -> None:
        monkeypatch.setattr(layout, "triton_config", lambda *given: triton_config(*given) + "# of a later library\n")

    return come


def test_what_a_folder_serves_is_left_alone_whatever_another_library_would_write(
    in_folder: Delivery, another_library: Callable[[], None]
) -> None:
    in_folder(MLmodel="mlflow_version: 1\n")
    another_library()
    assert in_folder(MLmodel="mlflow_version: 2\n").sent == 0
    assert in_folder.verify() == f"1 {in_folder.key.public.name}"


def test_a_store_that_fails_after_the_first_object_leaves_what_pods_can_start_from(
    in_store: Delivery, another_library: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_store(MLmodel="mlflow_version: 1\n")
    another_library()
    send, sent = module._send_one, 0

    def goes_down(*given: Any) -> bool:
        nonlocal sent
        if sent:
            raise DependencyError("the store does not answer")
        sent += send(*given)
        return bool(sent)

    monkeypatch.setattr(module, "_send_one", goes_down)
    with contextlib.suppress(DependencyError):
        in_store(MLmodel="mlflow_version: 2\n")
    assert in_store.verify() == f"1 {in_store.key.public.name}"
    assert sent == 0


def test_a_new_key_signs_what_a_trusted_one_signed_and_changes_nothing_else(in_store: Delivery, tmp_path: Path) -> None:
    in_store(MLmodel="mlflow_version: 1\n")
    signing = replace(in_store.environment.signing, trusted=in_store.key.path.with_suffix(".pub"))
    in_store.environment = replace(in_store.environment, signing=signing)
    in_store.key = make_key_pair(tmp_path / "other")
    assert in_store(MLmodel="mlflow_version: 2\n").sent == 1
    assert in_store.verify() == f"1 {in_store.key.public.name}"
    with opened_repository(in_store.uri, in_store.environment) as folder:
        assert (folder / "MLmodel").read_text() == "mlflow_version: 1\n"


def test_another_version_of_the_same_model_stands_beside_the_first(in_store: Delivery) -> None:
    in_store(1)
    assert in_store(4).sent == 3  # its graph, its configuration, and the signature over all
    assert in_store.verify().startswith("4 ")
    assert in_store(1).sent == 0


def test_what_somebody_else_put_there_is_not_signed_along(in_store: Delivery) -> None:
    open_object_store(in_store.uri, in_store.environment).write("chest/1/more.onnx", b"x", sha256="")
    with pytest.raises(IntegrityError, match=r"holds what is no part of the model \(chest/1/more\.onnx\)"):
        in_store()
    assert SIGNATURE_FILE not in in_store.objects()


def test_what_was_removed_from_a_folder_is_written_again(in_folder: Delivery) -> None:
    in_folder()
    shutil.rmtree(Path(in_folder.uri, "chest"))
    in_folder()
    assert in_folder.verify()
