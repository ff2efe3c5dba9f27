"""Who may ask: whoever has a token of the file, as it is now."""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from secondread.errors import DependencyError, InputError
from secondread.serving.front.access import Access, UnauthorizedError, read_token
from secondread.serving.predict import predict_with_server
from secondread.serving.transformer.sdk import GRPCInferenceServiceStub, messages

ONE, TWO = "one-token-of-16-or-more", "another-token-of-16-or-more"


def write(file: Path, *lines: str) -> None:
    """In a new file, as a mounted Secret changes."""
    aside = file.with_suffix(".new")
    aside.write_text("\n".join(lines) + "\n")
    os.replace(aside, file)


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    write(file, "# who", "", ONE)
    return file


def test_without_a_file_anybody_may_ask() -> None:
    Access("").check(None)


@pytest.mark.parametrize("header", [f"Bearer {ONE}", f"bearer  {ONE} "])
def test_a_token_of_the_file_is_let_in(tokens: Path, header: str) -> None:
    Access(str(tokens)).check(header)


@pytest.mark.parametrize(
    "header", [None, "", ONE, "Bearer", "Bearer ", f"Basic {ONE}", f"Bearer {ONE}x", "Bearer # who"]
)
def test_anything_else_is_not(tokens: Path, header: str | None) -> None:
    with pytest.raises(UnauthorizedError, match="Authorization: Bearer TOKEN") as caught:
        Access(str(tokens)).check(header)
    assert caught.value.http_status == 401
    assert ONE not in str(caught.value)


def test_tokens_come_and_go_without_a_restart(tokens: Path) -> None:
    access = Access(str(tokens))
    write(tokens, ONE, TWO)
    access.check(f"Bearer {TWO}")
    write(tokens, TWO)
    access.check(f"Bearer {TWO}")
    with pytest.raises(UnauthorizedError):
        access.check(f"Bearer {ONE}")


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(Path.unlink, id="missing"),
        pytest.param(lambda file: file.write_text(""), id="empty"),
        pytest.param(lambda file: file.write_bytes(b"\xff" * 20), id="not UTF-8"),
    ],
)
def test_while_the_file_is_being_written_the_tokens_of_before_count(
    tokens: Path, spoil: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    access = Access(str(tokens))
    spoil(tokens)
    for _ in range(2):
        access.check(f"Bearer {ONE}")
        with pytest.raises(UnauthorizedError):
            access.check(f"Bearer {TWO}")
    (said,) = caplog.messages  # once, to whoever runs the server
    assert said.startswith(f"the tokens that were read before count on: {tokens}")
    write(tokens, TWO)
    access.check(f"Bearer {TWO}")
    with pytest.raises(UnauthorizedError):
        access.check(f"Bearer {ONE}")


@pytest.mark.parametrize("lines", [(), ("# nothing",), ("short",), (ONE, "short")])
def test_a_file_that_lets_in_nobody_or_anybody_is_refused(tmp_path: Path, lines: tuple[str, ...]) -> None:
    write(tmp_path / "tokens", *lines)
    with pytest.raises(InputError, match="openssl rand"):
        Access(str(tmp_path / "tokens"))


def test_whoever_asks_reads_the_first_token_of_a_file(tokens: Path, tmp_path: Path) -> None:
    assert read_token(tokens) == ONE
    with pytest.raises(InputError, match="cannot be read"):
        read_token(tmp_path / "nowhere")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.* cannot be read"):
        Access(str(tmp_path / "nowhere"))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_bytes(b"\xff" * 20)
    for read in (lambda file: Access(str(file)), read_token):
        with pytest.raises(InputError, match="it is not UTF-8"):
            read(tmp_path / "tokens")


@pytest.fixture
def guarded(
    start: Callable[..., Any], stop: Callable[[Any], int], silent_predictor: str, tokens: Path
) -> Iterator[Any]:
    """A server that wants a token, before a Triton that never answers."""
    server = start(predictor=silent_predictor, token_file=str(tokens), predictor_timeout_seconds=0.5)
    yield server
    stop(server)


def test_rest_and_grpc_want_the_token_and_health_does_not(
    guarded: Any, film: Callable[..., bytes], tmp_path: Path
) -> None:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1]}
    v2 = json.dumps({"inputs": [{**tensor, "data": [base64.b64encode(film(1)).decode()]}]})
    v1 = json.dumps({"instances": [{"b64": base64.b64encode(film(1)).decode()}]})

    def rest(path: str, body: str, token: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(guarded.url + path, body.encode(), headers)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=30)
        with caught.value as error:
            return error.code, error.headers["www-authenticate"]

    for path, body in (("/v2/models/secondread/infer", v2), ("/v1/models/secondread:predict", v1)):
        assert rest(path, body, "") == rest(path, body, TWO) == (401, "Bearer")
        assert rest(path, body, ONE) == (503, None)  # let in, to a Triton that does not answer
    with urllib.request.urlopen(f"{guarded.url}/v2/health/live", timeout=30) as response:
        assert response.status == 200

    image = tmp_path / "film.png"
    image.write_bytes(film(1))
    with pytest.raises(InputError, match="this server wants a token"):
        predict_with_server(guarded.url, [image])
    with pytest.raises(DependencyError, match="did not answer"):  # let in
        predict_with_server(guarded.url, [image], token=ONE)

    message = messages.ModelInferRequest(
        model_name="secondread", inputs=[{**tensor, "contents": {"bytes_contents": [film(1)]}}]
    )
    with grpc.insecure_channel(guarded.grpc_url) as channel:
        for token, code in (("", "UNAUTHENTICATED"), (TWO, "UNAUTHENTICATED"), (ONE, "UNAVAILABLE")):
            metadata = (("authorization", f"Bearer {token}"),) if token else ()
            with pytest.raises(grpc.RpcError) as caught:
                GRPCInferenceServiceStub(channel).ModelInfer(message, metadata=metadata)
            assert caught.value.code().name == code
    assert ONE not in guarded.log.read_text()
