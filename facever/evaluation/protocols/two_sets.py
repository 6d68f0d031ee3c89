"""Two embedding sets against each other: whether they may be compared, and what they share."""

from collections.abc import Sequence

from facever.errors import EvaluationError
from facever.evaluation.columns import text_column
from facever.evaluation.protocols.lookup import kind_of
from facever.vectors.embedding_set import EmbeddingSet


def check_comparable(probes: EmbeddingSet, gallery: EmbeddingSet) -> None:
    """Refuse two sets whose vectors are not of one kind.

    Raises:
        EvaluationError: Two models, or images against templates.
    """
    names = [embeddings.meta.fingerprint[:12] for embeddings in (probes, gallery)]
    if probes.meta.fingerprint != gallery.meta.fingerprint:
        raise EvaluationError(
            f"the two embedding sets are of two models ({names[0]}, {names[1]}): embed both with "
            "one"
        )
    if kind_of(probes) != kind_of(gallery):
        raise EvaluationError(
            "one of the embedding sets holds templates and the other images: pool both or neither"
        )


def images_in_both(
    probes: EmbeddingSet, gallery: EmbeddingSet, exclude: Sequence[str] | None = None
) -> str | None:
    """Return a warning of images that would be compared with themselves, or None.

    Images are the same where root and path are; pairs that agree in a column of `exclude` are not
    compared. None: there is no way to exclude any.
    """
    if "path" in (exclude or ()) or any("path" not in side.rows for side in (probes, gallery)):
        return None
    if probes.root != gallery.root:
        return None
    paths = [text_column(side.rows["path"][side.acquired]) for side in (probes, gallery)]
    shared = sorted(set(paths[0]) & set(paths[1]))
    if not shared:
        return None
    mend = "leave them out of one" if exclude is None else "--exclude path leaves such pairs out"
    return (
        f"{len(shared)} images stand in both sets, first {shared[0]}: each is compared with "
        f"itself and flatters; {mend}"
    )


def joint_name(probes: EmbeddingSet, gallery: EmbeddingSet) -> str:
    """Return the data sets' names as one."""
    names = list(dict.fromkeys(side.meta.dataset for side in (probes, gallery)))
    return " x ".join(name for name in names if name)
