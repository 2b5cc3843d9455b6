"""The IDX files of MNIST and its successors (LeCun, Cortes and Burges: http://yann.lecun.com/exdb/mnist)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from earlybird.errors import InputError
from earlybird.recipes.data.directory import source_directory
from earlybird.recipes.data.settings import ImageDataSettings
from earlybird.recipes.data.split import Split

UNSIGNED_BYTE = 0x08
DEFLATE_RATIO = 1032  # No deflate stream expands further (zlib's technical notes).


def read_idx(settings: ImageDataSettings) -> tuple[Split, Split]:
    """Return the splits of `{split}-images-idx3-ubyte` and `{split}-labels-idx1-ubyte`, gzipped or not.

    The split "test" may be called "t10k", as MNIST calls it.

    Raises:
        InputError: a file is missing, its header is not the one expected or contradicts the file's size, or
            there are not as many labels as images.
    """
    directory = source_directory(settings, "train-images-idx3-ubyte[.gz] and its three companions")
    return _read_split(directory, settings.train_split), _read_split(directory, settings.eval_split)


def _read_split(directory: Path, split: str) -> Split:
    images = read_idx_file(_find(directory, split, "images-idx3-ubyte"), dimensions=3)
    labels = read_idx_file(_find(directory, split, "labels-idx1-ubyte"), dimensions=1)
    if len(images) != len(labels):
        raise InputError(
            f"split {split!r} of {directory} holds {len(images)} images and {len(labels)} labels: "
            "expected one label per image"
        )
    return Split(labels.astype(np.int64), None, f"split {split!r} of {directory}", images)


def _find(directory: Path, split: str, ending: str) -> Path:
    prefixes = (split, "t10k") if split == "test" else (split,)
    candidates = [f"{prefix}-{ending}{suffix}" for prefix in prefixes for suffix in ("", ".gz")]
    for name in candidates:
        if (directory / name).is_file():
            return directory / name
    raise InputError(f"{directory} has no IDX file for split {split!r}: expected {' or '.join(candidates)}")


def read_idx_file(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the uint8 array of an IDX file: two zero bytes, the type, the number of dimensions, each as a
    big-endian uint32, then the values in C order.

    Raises:
        InputError: the header is malformed or promises another number of bytes than the file holds.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _parse(file, path, dimensions)
    except (OSError, EOFError, zlib.error) as error:  # gzip: foreign, truncated, damaged.
        raise InputError(f"{path} cannot be read: {error}") from error


def _parse(file: BinaryIO | gzip.GzipFile, path: Path, dimensions: int) -> NDArray[np.uint8]:
    header = file.read(4 + 4 * dimensions)
    magic = bytes([0, 0, UNSIGNED_BYTE, dimensions])
    if len(header) < 4 + 4 * dimensions or header[:4] != magic:
        raise InputError(
            f"{path} is no IDX file of unsigned bytes in {dimensions} dimensions: it begins with "
            f"{header[:4].hex(' ') or 'nothing'}, expected {magic.hex(' ')} and {dimensions} sizes"
        )
    shape = struct.unpack(f">{dimensions}I", header[4:])
    size = math.prod(shape)
    promised = " x ".join(str(side) for side in shape)
    if size == 0:
        raise InputError(f"{path} is empty: its header promises {promised} bytes")
    # The promise is checked before anything of its size is allocated: a header can claim 2**96 bytes.
    on_disk = path.stat().st_size
    possible = on_disk * DEFLATE_RATIO if path.suffix == ".gz" else on_disk - len(header)
    values = file.read(size + 1) if size <= possible else b""
    if len(values) != size:
        held = "more" if len(values) > size else "fewer"
        raise InputError(f"{path} promises {promised} bytes in its header and holds {held}: fetch the file again")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)
