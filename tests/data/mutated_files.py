"""A program: damage files again and again, and read each as `data ingest` would. Whatever crashes ends this process.

    python mutated_files.py <folder of whole files> <first> <last> <folder to work in>

The number of a mutation decides file and damage. What is said of each must be one line of an error of ours.
"""

import logging
import os
import random
import resource
import shutil
import sys
import time
import traceback
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from secondread.data.intake import store_image
from secondread.data.manifest import read_manifest
from secondread.data.sources.open import open_source
from secondread.data.sources.source import SourceImage
from secondread.errors import SecondReadError

MEMORY_BYTES = 6 << 30  # of address space: what allocates by a damaged length fails
# sheet -> what its source is opened as; the other sets are opened by their file
SHEETS = {"manifest.csv": "", "Data_Entry_2017.csv": "nih-cxr14:", "COVID.metadata.xlsx": "covid-radiography:"}
MORE_THAN_A_LINE = {"Cc", "Zl", "Zp", "Cs"}  # control characters, line ends, halves of a character
SLOWEST_SECONDS = 20.0
ISOLATED_SHARE = (
    10  # of the films that GDCM decodes in a process of its own, every so many-th is taken, since each is slow
)


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, put in or taken out; one file in four is cut off too."""
    data = bytearray(whole)
    for _ in range(rng.randint(1, 6)):
        # headers stand at the start, and a byte of a header does more harm than one of a picture
        at = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(min(len(data), 1024))
        kind = rng.random()
        if kind < 0.8:
            data[at] = rng.randrange(256)
        elif kind < 0.9:
            data[at:at] = rng.randbytes(rng.randint(1, 4))
        else:
            del data[at : at + rng.randint(1, 4)]
    return bytes(data[: rng.randrange(1, len(data))] if rng.random() < 0.25 else data)


def with_checksums(png: bytes) -> bytes:
    """The chunks with the checksums that they should have, or all damage would stop at those."""
    data, at = bytearray(png), 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(data)


def read_picture(data: bytes, _: str, folder: Path) -> None:
    found = store_image(SourceImage("a", "cxr-normal", lambda: data, modality="cxr"), folder)
    if found.reason:
        raise SecondReadError(found.reason)


def read_set(data: bytes, name: str, folder: Path) -> None:
    """A set of images in one file, or a sheet that lies where its source has it."""
    source = folder / "source"
    for picture in ("images/00000001_000.png", "COVID/images/COVID-1.png"):
        (source / picture).parent.mkdir(parents=True)
        (source / picture).write_bytes(b"a picture")
    file_name = name.partition("-")[2]
    (source / file_name).write_bytes(data)
    sheet = file_name in SHEETS
    opened = open_source(f"{SHEETS[file_name]}{source}" if sheet else str(source / file_name))
    opened.taxonomy()
    for image in opened.images():
        image.read()


def read_table(data: bytes, name: str, folder: Path) -> None:
    (folder / name).write_bytes(data)
    read_manifest(folder / name)


READERS: dict[str, Callable[[bytes, str, Path], None]] = {"film": read_picture, "set": read_set, "table": read_table}


def main(seeds: Path, first: int, last: int, work: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    logging.disable(logging.CRITICAL)
    wholes = {path.name: path.read_bytes() for path in sorted(seeds.iterdir())}
    fast, isolated = ([name for name in wholes if ("isolated" in name) == slow] for slow in (False, True))
    counts: Counter[str] = Counter()
    for number in range(first, last):
        rng = random.Random(number)
        name = rng.choice(isolated if isolated and number % ISOLATED_SHARE == 0 else fast)
        (work / "last").write_text(f"{number} {name}")
        folder = work / "one"
        folder.mkdir()
        os.environ["SECONDREAD_HOME"] = str(folder / "home")
        data = damaged(wholes[name], rng)
        if name.endswith(".png") and number % 2:
            data = with_checksums(data)
        read = partial(READERS[name.partition("-")[0]], data, name, folder)
        counts[name, tried(read, f"{number} {name}")] += 1
        shutil.rmtree(folder)
    for (name, outcome), count in sorted(counts.items()):
        sys.stdout.write(f"{name}\t{outcome}\t{count}\n")


def tried(read: Callable[[], None], described: str) -> str:
    start = time.monotonic()
    outcome = "read"
    try:
        read()
    except SecondReadError as error:
        outcome = "refused"
        if any(unicodedata.category(character) in MORE_THAN_A_LINE for character in str(error)):
            sys.exit(f"{described}: not one line: {str(error)!r}")
    except OSError as error:  # the operating system's own word on a file, as `data ingest` records it
        if error.strerror is None:
            traceback.print_exc()
            sys.exit(described)
        outcome = "refused"
    except Exception:  # noqa: BLE001 - whatever else comes is what is looked for
        traceback.print_exc()
        sys.exit(described)
    if time.monotonic() - start > SLOWEST_SECONDS:
        sys.exit(f"{described} took {time.monotonic() - start:.0f} s")
    return outcome


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
