"""Structure of a run's prototypes: clustered similarities, and agreement with another matrix."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from facever.config import load
from facever.core.text import canonical, canonical_column
from facever.data.tables import check_table, read_table, to_numbers
from facever.errors import DataError, EvaluationError, ModelError
from facever.evaluation.statistics.mantel import MantelResult, mantel
from facever.heads.registry import build_head
from facever.render.blocks import Block, Cell, Drawing, Figure, Note, Section, Table
from facever.render.numbers import rate
from facever.render.result import Result
from facever.render.svg import printable
from facever.training.config import TrainConfig
from facever.training.run import Run
from facever.training.saving.checkpoint import load_checkpoint
from facever.training.saving.pieces import load_pieces

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LISTED = 10


@dataclass(frozen=True)
class RunPrototypes:
    """The prototypes of a run's last checkpoint.

    Attributes:
        head: The head.
        metric: Its similarity.
        weight: float32 [C, D].
        identities: The name of each row.
        images: Number of training images of each.
    """

    head: str
    metric: str
    weight: NDArray[np.float32]
    identities: list[str]
    images: NDArray[np.int64]


@dataclass(frozen=True)
class PrototypeStructure(Result):
    """Similarities of prototypes in the order of their clustering.

    Attributes:
        head: The head.
        score: Kind of similarity.
        identities: In the order of the matrix.
        similarities: float64 [C, C].
        of: Number of identities in the run.
        agreement: Agreement with another matrix, if one was given.
    """

    head: str
    score: str
    identities: list[str]
    similarities: NDArray[np.float64]
    of: int
    agreement: MantelResult | None = None

    def closest(self, count: int = _LISTED) -> list[tuple[str, str, float]]:
        """Return the most similar pairs."""
        i, j = np.triu_indices(len(self.identities), 1)
        best = np.argsort(-self.similarities[i, j], kind="stable")[:count]
        return [
            (self.identities[i[k]], self.identities[j[k]], float(self.similarities[i[k], j[k]]))
            for k in best
        ]

    json_keys = (
        "head similarity=score identities identities_in_run=of matrix=similarities "
        "closest=_closest agreement"
    )

    def describe(self) -> list[Section]:
        """Return the matrix, its most similar pairs, and the agreement with another matrix."""
        figure = similarity_matrix(
            "prototypes",
            f"{len(self.identities)} prototypes of {self.head}",
            self.similarities,
            self.identities,
            score=self.score,
            caption="Similar identities are next to each other (average linkage, optimal leaf "
            "order); bright blocks are groups of similar identities.",
        )
        rows: list[list[Cell]] = [[a, b, rate(value)] for a, b, value in self.closest()]
        blocks: list[Block] = [figure, Table("", ["most similar", "", self.score], rows)]
        if self.agreement is not None:
            blocks.append(Note(f"agreement with the given matrix: {self.agreement}"))
        lead = f"{len(self.identities)} of {self.of} prototypes of the head {self.head}"
        return [Section("figures", "Figures", blocks, lead)]

    @property
    def _closest(self) -> list[dict[str, Any]]:
        return [{"a": a, "b": b, "similarity": value} for a, b, value in self.closest()]


def read_prototypes(run: str | Path) -> RunPrototypes | None:
    """Return the prototypes of the first head of a run with prototypes; None without one.

    Raises:
        DataError, TrainingError: `run` is not a run folder with a checkpoint and a list of
            identities.
    """
    opened = Run.open(Path(run))
    config = load(TrainConfig, opened.config)
    checkpoint = load_checkpoint(opened.last)
    if checkpoint.get("pieces"):  # of a sharded training
        load_pieces(opened.checkpoints, checkpoint["pieces"], checkpoint["step"])
    state = checkpoint["step"]["heads"]
    # of two heads with the same name, the first keeps the plain name
    keys = {head.name: f"parts.{head.name}.prototypes.weight" for head in config.heads}
    head = next((head for head in config.heads if keys[head.name] in state), None)
    if head is None:
        return None
    if not opened.identities.is_file():
        raise DataError(f"{run} has no list of training identities ({opened.identities.name})")
    people = read_table(opened.identities)
    people = check_table(people, ["identity", "use", "images"], str(opened.identities))
    people = people[people["use"] == "train"].sort_values("identity")
    weight = state[keys[head.name]].float().numpy()
    if len(people) != len(weight):
        raise DataError(
            f"{run} has {len(weight)} prototypes, but its list has {len(people)} identities"
        )
    return RunPrototypes(
        head=head.name,
        metric=build_head(head, weight.shape[1], len(weight)).metric,
        weight=weight,
        identities=[canonical(name) for name in people["identity"]],
        images=people["images"].to_numpy(np.int64),
    )


def prototype_structure(
    run: str | Path,
    *,
    identities: int = 100,
    matrix: str | Path | None = None,
    permutations: int = 9999,
    seed: int = 0,
) -> PrototypeStructure:
    """Return the similarities of a run's prototypes, clustered.

    Args:
        run: The run folder.
        identities: Maximum number; those with the most images are used, or those in the matrix if
            one is given.
        matrix: A CSV table of similarities with names in the first row and column, symmetric.
        permutations: Number of permutations of the Mantel test.
        seed: Seed of the permutations.

    Raises:
        ModelError: The run's heads have no prototypes.
        DataError: The matrix cannot be read.
        EvaluationError: There are fewer than two identities, or the matrix cannot be compared.
    """
    own = read_prototypes(run)
    if own is None:
        raise ModelError(f"the heads of {run} have no prototypes")
    given = None if matrix is None else read_matrix(matrix)
    if given is None:
        rows = np.argsort(-own.images, kind="stable")[:identities]
    else:
        rows = np.flatnonzero([name in given.index for name in own.identities])
    if len(rows) < 2:
        what = (
            f"{matrix} names {len(rows)} identities of {run}"
            if given is not None
            else (f"--identities {identities}")
        )
        raise EvaluationError(f"{what}: at least two are needed")
    values, score = similarities(own.weight[rows], own.metric)
    names = [own.identities[row] for row in rows]
    order = cluster_order(values)
    found = PrototypeStructure(
        head=own.head,
        score=score,
        identities=[names[k] for k in order],
        similarities=values[np.ix_(order, order)],
        of=len(own.identities),
    )
    if given is None:
        return found
    other = given.loc[found.identities, found.identities].to_numpy(np.float64)
    return replace(found, agreement=mantel(found.similarities, other, permutations, seed))


def similarities(weight: NDArray[np.float32], metric: str) -> tuple[NDArray[np.float64], str]:
    """Return the similarities of prototypes, [C, C], and their kind.

    They are cosines if the head compares by cosine or dot product (lengths then reflect the
    frequency of an identity, not its similarity), else negated distances.
    """
    rows = weight.astype(np.float64)
    if metric == "euclidean":
        squares = np.square(rows).sum(1)
        products = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
        distance = np.sqrt(np.clip(products, 0, None))
        np.fill_diagonal(distance, 0.0)
        return -distance, "minus distance"
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows @ rows.T, "cosine"


def similarity_matrix(
    name: str, title: str, values: ArrayLike, identities: Sequence[str], *, score: str, caption: str
) -> Figure:
    """Draw a matrix [C, C] of similarities in the given order."""
    matrix = np.asarray(values, np.float64)
    size = len(matrix)

    def paint(axes: "Axes") -> None:
        off = matrix[~np.eye(size, dtype=bool)]
        image = axes.imshow(
            matrix, cmap="viridis", vmin=float(off.min()), vmax=float(off.max()),
            interpolation="nearest",
        )  # fmt: skip
        axes.grid(False)
        if size <= 40:
            ticks = [printable(identity)[:18] for identity in identities]
            small = 8 if size <= 20 else 5
            axes.set_xticks(range(size), ticks, rotation=90, fontsize=small)
            axes.set_yticks(range(size), ticks, fontsize=small)
        else:
            axes.set_xlabel(f"{size} identities, similar ones adjacent")
        assert axes.figure is not None
        axes.figure.colorbar(image, ax=axes, label=printable(score), shrink=0.8)

    drawing = Drawing(name, f"{title}: {size} x {size} similarities.", paint)
    return Figure(title, drawing, caption)


def cluster_order(values: NDArray[np.float64]) -> list[int]:
    """Return an order of the rows with similar rows adjacent (average linkage)."""
    if len(values) < 3:
        return list(range(len(values)))
    distance = values.max() - values
    distance = (distance + distance.T) / 2
    np.fill_diagonal(distance, 0.0)
    flat = squareform(distance, checks=False)
    return [int(k) for k in leaves_list(optimal_leaf_ordering(linkage(flat, "average"), flat))]


def read_matrix(path: str | Path) -> pd.DataFrame:
    """Read a symmetric table of similarities with names in its first row and column.

    Raises:
        DataError: The file does not exist, values are not numbers, names are repeated, or names of
            rows and columns differ.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"no similarity matrix at {path}")
    table = read_table(path)
    names = table.columns[0]
    frame = pd.DataFrame(
        {canonical(name): to_numbers(table[name], str(path)) for name in table.columns[1:]}
    )
    frame.index = pd.Index(canonical_column(table[names]))
    twice = [name for name in frame.index if (frame.index == name).sum() > 1]
    if twice:
        raise DataError(f"{path} has the name {twice[0]} twice")
    if set(frame.index) != set(frame.columns):
        differ = sorted(set(frame.index) ^ set(frame.columns))
        raise DataError(f"{path}: {differ[0]} is the name of a row or of a column, not of both")
    return frame
