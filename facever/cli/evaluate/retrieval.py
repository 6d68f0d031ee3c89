"""`facever evaluate retrieval`: queries in a gallery, ranked (ReID)."""

from typing import Annotated, Optional

import typer

from facever.cli.evaluate.shared import AsJson, Embeddings, Metric, show


def retrieval(
    embeddings: Embeddings,
    queries: Annotated[
        str, typer.Option(help="COLUMN=VALUE of the queries' rows.")
    ] = "subset=query",
    gallery: Annotated[
        str, typer.Option(help="COLUMN=VALUE of the gallery's rows.")
    ] = "subset=gallery",
    camera: Annotated[
        Optional[str],  # noqa: UP045 - typer reads the annotation
        typer.Option(help="The cross-camera rule by this column, such as camera."),
    ] = None,
    similarity: Metric = None,
    as_json: AsJson = False,
) -> None:
    """Measure retrieval (ReID): CMC, both mean average precisions, mINP."""
    from facever.evaluation.protocols.ranked import evaluate_retrieval
    from facever.vectors.embedding_set import EmbeddingSet

    result = evaluate_retrieval(
        EmbeddingSet.load(embeddings), queries, gallery, camera=camera, similarity=similarity
    )
    show(result, as_json)
