"""The structure of a run's prototypes: similarities, clustered, and against another matrix."""

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
        head: The head that they are of.
        metric: How it compares.
        weight: float32 [C, D].
        identities: The name of each row.
        images: How many images of each were trained on.
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
        head: The head that they are of.
        score: What a similarity is.
        identities: In the order of the matrix.
        similarities: float64 [C, C].
        of: How many identities the run has.
        agreement: With another matrix, where one was given.
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
            caption="Identities that the head takes for alike stand beside each other (average "
            "linkage, optimal order of the leaves); bright blocks are groups of look-alikes.",
        )
        rows: list[list[Cell]] = [[a, b, rate(value)] for a, b, value in self.closest()]
        blocks: list[Block] = [figure, Table("", ["the most alike", "", self.score], rows)]
        if self.agreement is not None:
            blocks.append(Note(f"with the matrix given: {self.agreement}"))
        lead = f"{len(self.identities)} of {self.of} prototypes of the head {self.head}"
        return [Section("figures", "Figures", blocks, lead)]

    @property
    def _closest(self) -> list[dict[str, Any]]:
        return [{"a": a, "b": b, "similarity": value} for a, b, value in self.closest()]


def read_prototypes(run: str | Path) -> RunPrototypes | None:
    """Return the prototypes of the first head of a run that has some, None where none has.

    Raises:
        DataError, TrainingError: Not a run folder with a checkpoint and a list of identities.
    """
    opened = Run.open(Path(run))
    config = load(TrainConfig, opened.config)
    checkpoint = load_checkpoint(opened.last)
    if checkpoint.get("pieces"):  # of a training in shards
        load_pieces(opened.checkpoints, checkpoint["pieces"], checkpoint["step"])
    state = checkpoint["step"]["heads"]
    # Of two heads of one name the first keeps the plain name.
    keys = {head.name: f"parts.{head.name}.prototypes.weight" for head in config.heads}
    head = next((head for head in config.heads if keys[head.name] in state), None)
    if head is None:
        return None
    if not opened.identities.is_file():
        raise DataError(f"{run} does not say whom it was trained on (no {opened.identities.name})")
    people = read_table(opened.identities)
    people = check_table(people, ["identity", "use", "images"], str(opened.identities))
    people = people[people["use"] == "train"].sort_values("identity")
    weight = state[keys[head.name]].float().numpy()
    if len(people) != len(weight):
        raise DataError(f"{run} has {len(weight)} prototypes and lists {len(people)} identities")
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
        identities: At most so many, those with the most images; where a matrix is given, those
            that it names.
        matrix: A CSV table of similarities with names in the first row and column, symmetric.
        permutations: Of the Mantel test against it.
        seed: Of the permutations.

    Raises:
        ModelError: The run's heads have no prototypes.
        DataError: A matrix that cannot be read.
        EvaluationError: Fewer than two identities, or a matrix that cannot be compared.
    """
    own = read_prototypes(run)
    if own is None:
        raise ModelError(f"the heads of {run} have no prototypes to compare")
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
        raise EvaluationError(f"{what}: two prototypes or more can be compared")
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
    """Return how alike prototypes are, [C, C], and what it is.

    Cosines, where the head compares by cosine or dot product (whose own lengths say how common an
    identity is, not whom it resembles), else minus the distance.
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
    """Draw a matrix [C, C] of similarities, its rows already in the order wanted."""
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
            axes.set_xlabel(f"{size} identities, neighbours alike")
        assert axes.figure is not None
        axes.figure.colorbar(image, ax=axes, label=printable(score), shrink=0.8)

    drawing = Drawing(name, f"{title}: {size} x {size} similarities.", paint)
    return Figure(title, drawing, caption)


def cluster_order(values: NDArray[np.float64]) -> list[int]:
    """Return an order of the rows in which similar ones are neighbours (average linkage)."""
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
        DataError: No such file, no numbers, names given twice, or rows and columns that differ.
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
        raise DataError(f"{path} names {twice[0]} twice")
    if set(frame.index) != set(frame.columns):
        differ = sorted(set(frame.index) ^ set(frame.columns))
        raise DataError(f"{path}: {differ[0]} names a row or a column, not both")
    return frame
