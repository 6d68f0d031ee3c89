"""Query expansion: a query is replaced by the mean of itself and its nearest gallery rows.

Scores of expanded vectors are not scores of pairs of images: thresholds of a verification do not
apply to them.
"""

from dataclasses import dataclass

import numpy as np

from facever.embeddings.unit import unit_rows
from facever.errors import EvaluationError
from facever.evaluation.one_to_many.nearest import Nearest, nearest
from facever.evaluation.scoring.similarity import Floats, make_scorer
from facever.render.values import Record


@dataclass(frozen=True)
class Expansion(Record):
    """Parameters of query expansion.

    Args:
        neighbours: Number of nearest gallery rows that are averaged with the query, 1 or more.
        alpha: If None, all rows have equal weight (AQE). Else the weight is the cosine to the
            power of alpha, 0 for negative cosines (alpha-QE); 0 or more.
        gallery: Whether to expand the gallery's rows by their neighbours in the gallery too
            (database augmentation), before the queries are expanded.

    Raises:
        EvaluationError: A value is out of range.

    Reference:
        AQE: Chum, Philbin, Sivic, Isard, Zisserman, Total recall, ICCV 2007, section 3. alpha-QE:
        Radenovic, Tolias, Chum, Fine-tuning CNN image retrieval with no human annotation, TPAMI
        2019, section 3.4. Database augmentation: Arandjelovic and Zisserman, Three things everyone
        should know to improve object retrieval, CVPR 2012, section 4. The weight 1 of the query
        itself and the expansion of the gallery first are our choice.
    """

    neighbours: int
    alpha: float | None = None
    gallery: bool = False

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise EvaluationError(
                f"query expansion by {self.neighbours} neighbours: give 1 or more"
            )
        if self.alpha is not None and not 0 <= self.alpha < np.inf:
            raise EvaluationError(f"query expansion with alpha {self.alpha}: give 0 or more")

    def __str__(self) -> str:
        kind = "AQE" if self.alpha is None else f"alpha-QE (alpha {self.alpha:g})"
        whose = "queries and gallery" if self.gallery else "queries"
        return f"{kind} of {whose} by {self.neighbours} neighbours"


def expand_sides(
    queries: Floats, gallery: Floats, settings: Expansion, similarity: str = "cosine"
) -> tuple[Floats, Floats]:
    """Return queries [Q, D] and gallery [G, D] expanded; unit rows stay unit rows for "cosine".

    Identities are not used: rows that are junk for a query count like any other.

    Raises:
        EvaluationError: `alpha` is given and the similarity is not cosine.
    """
    if settings.alpha is not None and similarity != "cosine":
        raise EvaluationError(
            f"alpha-QE weighs neighbours by their cosine, but the scores are {similarity}: omit "
            "alpha"
        )
    if settings.gallery:
        found = nearest(make_scorer(gallery, similarity), settings.neighbours + 1, own_first=True)
        others = Nearest(found.rows[:, 1:], found.scores[:, 1:], found.lowest)
        gallery = _averaged(gallery, gallery, others, settings, similarity)
    found = nearest(make_scorer(queries, similarity, others=gallery), settings.neighbours)
    return _averaged(queries, gallery, found, settings, similarity), gallery


def _averaged(
    rows: Floats, gallery: Floats, found: Nearest, settings: Expansion, similarity: str
) -> Floats:
    """Average each row with its neighbours; for "cosine", a row with a sum of zero is unchanged."""
    total = rows.astype(np.float64)
    weight = np.ones(len(rows))
    for place in range(found.rows.shape[1]):
        share = np.ones(len(rows))
        if settings.alpha is not None:
            share = np.clip(found.scores[:, place].astype(np.float64), 0, 1) ** settings.alpha
        total += share[:, None] * gallery[found.rows[:, place]]
        weight += share
    if similarity != "cosine":
        return (total / weight[:, None]).astype(np.float32)
    units, lengths = unit_rows(total)
    return np.where(lengths[:, None] > 0, units, rows)
