"""`facever evaluate calibration`: from scores to likelihood ratios."""

from typing import Annotated

import typer

from facever.cli.evaluate.shared import AsJson, Embeddings, Metric, show


def calibration(
    embeddings: Embeddings,
    method: Annotated[str, typer.Option(help="logistic or isotonic.")] = "logistic",
    similarity: Metric = None,
    as_json: AsJson = False,
) -> None:
    """Fit scores to likelihood ratios on half of the people, judge on the others: Cllr."""
    from facever.evaluation.protocols.calibration import evaluate_calibration
    from facever.vectors.embedding_set import EmbeddingSet

    chosen = EmbeddingSet.load(embeddings)
    show(evaluate_calibration(chosen, method=method, similarity=similarity), as_json)
