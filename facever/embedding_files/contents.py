"""What a file of embeddings holds, for `facever data inspect`."""

from dataclasses import dataclass
from pathlib import Path

from facever.core.text import canonical_column
from facever.data.tables import shortened
from facever.embedding_files.arrays import told, whole
from facever.embedding_files.choice import choose, names_of, unused_in
from facever.embedding_files.formats import open_file
from facever.embedding_files.labels import as_column
from facever.render.blocks import Cell, Facts, Section
from facever.render.numbers import count
from facever.render.result import Result


@dataclass(frozen=True)
class EmbeddingContents(Result):
    """Contents of a file of embeddings.

    Args:
        path: The file.
        layout: Its format, such as "embeddings-npz".
        images: The number of vectors.
        identities: The number of different identities.
        unnamed: The number of vectors without identity.
        dimension: D.
        vectors: Name, type and shape of each array of vectors.
        columns: Name in the file of each column of the rows.
        unused: Arrays that are not imported.
    """

    path: str
    layout: str
    images: int
    identities: int
    unnamed: int
    dimension: int
    vectors: list[str]
    columns: dict[str, str]
    unused: list[str]

    def describe(self) -> list[Section]:
        """Return the contents of the file."""
        facts: list[tuple[str, Cell]] = [
            ("layout", self.layout),
            ("vectors", ", ".join(self.vectors)),
            ("images", count(self.images)),
            ("identities", count(self.identities)),
            ("images without identity", count(self.unnamed)),
            ("columns", shortened(_said(k, v) for k, v in self.columns.items()) or "none"),
            *([("not imported", shortened(self.unused))] if self.unused else []),
        ]
        return [Section("file", self.path, [Facts(facts)])]


def contents_of(path: Path) -> EmbeddingContents:
    """Return the contents of a file of embeddings.

    Raises:
        DataError: As `import_embeddings`; the vectors themselves are not read.
    """
    with open_file(path) as file:
        tables = choose(file)
        people: set[str] = set()
        named = 0
        for one in tables:
            if "identity" in one.columns:
                column = canonical_column(as_column(whole(one.columns["identity"], path)))
                known = column[column.notna() & (column != "")]
                people |= set(known)
                named += len(known)
        images = sum(one.vectors.shape[0] for one in tables)
        return EmbeddingContents(
            path=str(path),
            layout=file.layout,
            images=images,
            identities=len(people),
            unnamed=images - named,
            dimension=tables[0].vectors.shape[1],
            vectors=[f"{one.vectors_name} {told(one.vectors)}" for one in tables],
            columns=names_of(tables),
            unused=unused_in(tables),
        )


def _said(column: str, name: str) -> str:
    return column if column == name else f"{column} ({name})"
