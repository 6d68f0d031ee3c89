"""Checks of two embedding sets: whether they can be compared, and their common images."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluation.columns import comparable_column, people_column
from facever.evaluation.inputs import kind_of


def check_comparable(probes: EmbeddingSet, gallery: EmbeddingSet) -> None:
    """Raise unless the vectors of two sets can be compared.

    Raises:
        EvaluationError: The models differ, or one set has images and the other templates.
    """
    check_one_model(probes, gallery, "the two embedding sets")
    if kind_of(probes) != kind_of(gallery):
        raise EvaluationError(
            "one embedding set holds templates, the other images: pool both or neither"
        )


def check_one_model(probes: EmbeddingSet, gallery: EmbeddingSet, what: str) -> None:
    """Raise if two sets are of different models; `what` names both.

    Raises:
        EvaluationError: The models differ; the message shows both fingerprints.
    """
    one, two = probes.meta.fingerprint, gallery.meta.fingerprint
    if one != two:
        raise EvaluationError(
            f"{what} are of different models ({one[:12]}, {two[:12]}): embed both with one model"
        )


def images_in_both(
    probes: EmbeddingSet, gallery: EmbeddingSet, exclude: Sequence[str] | None = None
) -> list[str]:
    """Return a warning if images would be compared with themselves.

    Images are equal if root and path are equal. Pairs that agree in a column of `exclude` are not
    compared. None means that exclusion is not supported.
    """
    if "path" in (exclude or ()) or any("path" not in side.rows for side in (probes, gallery)):
        return []
    if probes.root != gallery.root:
        return []
    paths = [comparable_column(side.rows["path"][side.acquired]) for side in (probes, gallery)]
    shared = sorted(set(paths[0]) & set(paths[1]))
    if not shared:
        return []
    mend = "omit them from one set" if exclude is None else "exclude such pairs with --exclude path"
    return [
        f"{len(shared)} images are in both sets, first {shared[0]}: each is compared with itself, "
        f"which makes the rates too optimistic; {mend}"
    ]


def joint_name(probes: EmbeddingSet, gallery: EmbeddingSet) -> str:
    """Return the joined name of both data sets."""
    names = list(dict.fromkeys(side.meta.dataset for side in (probes, gallery)))
    return " x ".join(name for name in names if name)


def same_images(first: EmbeddingSet, second: EmbeddingSet) -> tuple[EmbeddingSet, EmbeddingSet]:
    """Return two models' sets of the same images; failures of either model are failures in both.

    Args:
        first, second: Sets with the same rows in the same order.

    Raises:
        EvaluationError: The rows differ in number, identity, path or template.
    """
    mend = "embed the same manifest with both models"
    if len(first) != len(second):
        raise EvaluationError(
            f"the two embedding sets have {len(first)} and {len(second)} rows: {mend}"
        )
    for column in ("identity", "path", "template"):
        if column not in first.rows or column not in second.rows:
            continue
        made = people_column if column == "identity" else comparable_column
        if not made(first.rows[column]).equals(made(second.rows[column])):
            raise EvaluationError(f"the two embedding sets differ in the column {column}: {mend}")
    held = first.acquired & second.acquired
    one, two = (_only(embeddings, held) for embeddings in (first, second))
    return one, two


def _only(embeddings: EmbeddingSet, held: Any) -> EmbeddingSet:
    """Return the set with every other row marked as failed."""
    errors = embeddings.rows["error"].astype("string")
    lost = errors.isna() & ~held
    marked = errors.mask(lost, "the other model could not embed it")
    return replace(embeddings, rows=embeddings.rows.assign(error=marked))
