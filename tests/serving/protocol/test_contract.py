"""The inference API's conversions, against tritonclient's own."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from secondread.errors import InputError, TooLargeError
from secondread.serving.protocol.contract import check_input, from_base64, from_packed, to_packed

elements = st.lists(st.binary(max_size=50), min_size=1, max_size=6)


@given(elements)
def test_packing_is_tritons(images: list[bytes]) -> None:
    packed = serialize_byte_tensor(np.array(images, dtype=object)).item()
    assert to_packed(images) == packed
    assert from_packed(packed, len(images)) == images == list(deserialize_bytes_tensor(packed))


@given(elements, st.data())
def test_a_packed_tensor_that_was_cut_inside_an_image_is_refused(images: list[bytes], data: st.DataObject) -> None:
    packed = to_packed(images)
    cut = data.draw(st.integers(0, len(packed) - 1))
    whole = [to_packed(images[:count]) for count in range(len(images))]
    if packed[:cut] in whole:
        assert from_packed(packed[:cut], len(images)) == images[: whole.index(packed[:cut])]
    else:
        with pytest.raises(InputError, match="length"):
            from_packed(packed[:cut], len(images))


def test_a_length_beyond_the_end_names_the_image() -> None:
    with pytest.raises(InputError, match="image 1 is said to have 4294967295 bytes, but only 2 came"):
        from_packed(to_packed([b"one"]) + b"\xff\xff\xff\xffab", 2)


def test_more_images_than_the_shape_says_are_not_looked_for() -> None:
    """What is damaged behind is not come to, as sixteen million empty images were."""
    for packed in (to_packed([b"one", b"two", b""]), to_packed([b""] * 3) + b"damaged"):
        with pytest.raises(InputError, match=r"has shape \[2\] but more images"):
            from_packed(packed, 2)


@given(elements)
def test_base64_gives_the_bytes_back(images: list[bytes]) -> None:
    assert from_base64([base64.b64encode(each).decode() for each in images]) == images


@pytest.mark.parametrize("wrong", ["****", "abc", 5, None, ["YQ=="]])
def test_what_is_no_base64_is_named(wrong: object) -> None:
    with pytest.raises(InputError, match=r"^image 1 is not base64"):
        from_base64(["YQ==", wrong])


@pytest.mark.parametrize(("shape", "count"), [([1], 1), ([32], 32), ([4, 1], 4)])
def test_shapes_that_are_taken(shape: list[int], count: int) -> None:
    assert check_input("image", "BYTES", shape) == count


@pytest.mark.parametrize("shape", [[], [0], [-1], [2, 2], [1, 1, 1]])
def test_shapes_that_are_refused(shape: list[int]) -> None:
    with pytest.raises(InputError, match="send \\[n\\]"):
        check_input("image", "BYTES", shape)


def test_more_images_than_one_request_holds() -> None:
    with pytest.raises(TooLargeError, match="33 images are more than the 32"):
        check_input("image", "BYTES", [33])
