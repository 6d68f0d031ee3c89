"""The formats of embedding files, recognised by their first bytes, and by the suffix where needed.

A reader opens one format; `open_file` is the one way in.
"""

import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path

from facever.embedding_files.arrays import EmbeddingFile, damaged
from facever.errors import DataError

Reader = Callable[[Path, ExitStack], EmbeddingFile]

_READERS = {
    "npy": "numpy_files:open_npy",
    "npz": "numpy_files:open_npz",
    "hdf5": "hdf5:open_hdf5",
    "matlab": "matlab:open_matlab",
    "parquet": "parquet_file:open_parquet",
    "torch": "torch_file:open_torch",
    "pickle": "pickled:open_pickle",
}
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_PLACES = (0, 512, 1024, 2048)  # after a block of the user's: MATLAB's has 512 bytes
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_PICKLE_SUFFIXES = (".pkl", ".pickle", ".p")
_PICKLE_PROTOCOLS = range(2, 6)
_ACCEPTED = (
    ".npy, .npz, .h5, .hdf5, .mat, .parquet (with a column of lists), .pkl, .pickle, .pt or .pth"
)


def format_of(path: Path) -> str | None:
    """Return the format of a file of embeddings, such as "npz"; None for other files.

    A pickle called `.bin` is a verification set of insightface, and a Parquet file without vectors
    is a table of images: both are None.

    Raises:
        OSError: The file cannot be opened.
    """
    with path.open("rb") as file:
        start = file.read(4096)
    suffix = path.suffix.lower()
    if any(start[place:].startswith(_HDF5) for place in _HDF5_PLACES):
        return "hdf5"
    if start.startswith(b"MATLAB 5.0 MAT-file") or suffix == ".mat":
        return "matlab"
    if start.startswith(b"\x93NUMPY"):
        return "npy"
    if start.startswith(b"PK") and (inside := _in_archive(path, suffix)) is not None:
        return inside
    if start.startswith(b"PAR1") or suffix == ".parquet":
        from facever.embedding_files.parquet_file import has_vectors

        return "parquet" if has_vectors(path) else None
    if start.startswith(_OLD_TORCH) or suffix in (".pt", ".pth"):
        return "torch"
    known = start[:1] == b"\x80" and len(start) > 1 and start[1] in _PICKLE_PROTOCOLS
    if suffix in _PICKLE_SUFFIXES or (known and suffix != ".bin"):
        return "pickle"
    return {".npy": "npy", ".npz": "npz", ".h5": "hdf5", ".hdf5": "hdf5"}.get(suffix)


def is_embedding_file(path: Path) -> bool:
    """Return whether a path is a file of embeddings, and not one of images."""
    return path.is_file() and path.stat().st_size > 0 and format_of(path) is not None


def _in_archive(path: Path, suffix: str) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return {".npz": "npz", ".pt": "torch", ".pth": "torch"}.get(suffix)
    if any(name.endswith("/data.pkl") for name in names):
        return "torch"
    return "npz" if suffix == ".npz" or any(name.endswith(".npy") for name in names) else None


@contextmanager
def open_file(path: Path) -> Iterator[EmbeddingFile]:
    """Open a file of embeddings; its arrays can be read inside the `with` statement.

    Raises:
        DataError: It does not exist, cannot be read, is damaged, or has another format.
    """
    with ExitStack() as held:
        try:
            _check_regular(path)
            kind = format_of(path)
            if kind is None:
                raise DataError(f"{path} is not a file of embeddings (read: {_ACCEPTED})")
            module, _, name = _READERS[kind].partition(":")
            reader: Reader = getattr(import_module(f"facever.embedding_files.{module}"), name)
            opened = reader(path, held)
        except DataError:
            raise
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
        except Exception as error:  # the readers' errors for damaged bytes are undocumented
            raise damaged(path, error) from error
        yield opened


def _check_regular(path: Path) -> None:
    if not path.exists():
        raise DataError(f"no such file: {path}")
    if not stat.S_ISREG(path.stat().st_mode):
        raise DataError(f"{path} is not a file of embeddings (read: {_ACCEPTED})")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty")
