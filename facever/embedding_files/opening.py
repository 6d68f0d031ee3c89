"""Embedding sets from what a user has: a folder of facever, or a file of another tool."""

import shlex
from pathlib import Path
from tempfile import TemporaryDirectory

from facever.embedding_files.formats import is_embedding_file
from facever.embedding_files.importing import import_embeddings
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import DataError


def open_embeddings(path: Path) -> EmbeddingSet:
    """Open the folder of an embedding set, or a file of embeddings that has identities in it.

    A file is imported into a temporary folder. Its set is "undeclared", see `import_embeddings`.

    Raises:
        DataError: The folder or file cannot be read, or the file has no identities.
    """
    if not is_embedding_file(path):
        return EmbeddingSet.load(path)
    with TemporaryDirectory(prefix="facever-") as folder:
        made = import_embeddings(path, Path(folder) / "embeddings", dataset=path.stem)
    if made.named.any():
        return made
    raise DataError(
        f"{path} has vectors without identities: give them with 'facever embeddings import "
        f"{shlex.quote(str(path))} --labels FILE --out EMBEDDINGS' (or --identities NAME), and "
        "evaluate that folder"
    )
