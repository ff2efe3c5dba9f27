"""Patient ids as keyed hashes: recognised again with the same key, and never read back."""

import hashlib
import hmac
import stat
from pathlib import Path

import pytest

from secondread.data.patients import PatientHasher
from secondread.errors import InputError

KEY = b"sixteen bytes are the least"


def test_the_hash_is_hmac_sha256_cut_to_128_bits() -> None:
    expected = hmac.digest(KEY, b"MRN-4711", hashlib.sha256).hex()[:32]
    assert PatientHasher(KEY).hash("MRN-4711") == f"k1-{expected}"


def test_the_version_of_the_key_stands_before_the_hash() -> None:
    assert PatientHasher(KEY, version=2).hash("MRN-4711").startswith("k2-")


def test_two_keys_give_two_hashes() -> None:
    assert PatientHasher(KEY).hash("MRN-4711") != PatientHasher(KEY[::-1]).hash("MRN-4711")


def test_a_fingerprint_tells_keys_apart_and_is_the_hash_of_nothing_else() -> None:
    one, other = PatientHasher(KEY).fingerprint, PatientHasher(KEY[::-1]).fingerprint
    assert one == hashlib.sha256(b"secondread patient key fingerprint\0" + KEY).hexdigest()[:8]
    assert one != other
    assert one != hashlib.sha256(KEY).hexdigest()[:8]


def test_an_unknown_patient_stays_unknown() -> None:
    assert PatientHasher(KEY).hash("") == ""


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "patient-1.key"
    first = PatientHasher.from_file(path).hash("MRN-4711")
    assert len(path.read_bytes()) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PatientHasher.from_file(path).hash("MRN-4711") == first


def test_two_new_keys_differ(tmp_path: Path) -> None:
    hashes = {PatientHasher.from_file(tmp_path / name).hash("MRN-4711") for name in ("one", "two")}
    assert len(hashes) == 2


@pytest.mark.parametrize("content", [b"", b"short", b"\n" * 15])
def test_a_short_key_file_is_refused_by_name_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "patient-1.key"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"patient-1\.key has {len(content)} bytes; it needs at least 16"):
        PatientHasher.from_file(path)
    assert path.read_bytes() == content


def test_a_key_that_cannot_be_read_or_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path, tmp_path / "file" / "patient-1.key"):
        with pytest.raises(InputError, match="SECONDREAD_PATIENT_KEY_FILE"):
            PatientHasher.from_file(path)
