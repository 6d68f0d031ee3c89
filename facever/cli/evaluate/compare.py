"""`facever evaluate compare`: two models on the same images."""

from pathlib import Path
from typing import Annotated

import typer

from facever.cli.evaluate.shared import AsJson, Fars, show


def compare(
    first: Annotated[Path, typer.Argument(help="Embeddings by one model.")],
    second: Annotated[Path, typer.Argument(help="Embeddings of the same images by another.")],
    far: Fars = None,
    as_json: AsJson = False,
) -> None:
    """Compare two models on the same trials: which difference is resolved."""
    from facever.evaluation.one_to_one.verification import DEFAULT_FARS
    from facever.evaluation.protocols.comparison import evaluate_comparison
    from facever.vectors.embedding_set import EmbeddingSet

    fars = list(far or DEFAULT_FARS)
    result = evaluate_comparison(EmbeddingSet.load(first), EmbeddingSet.load(second), far=fars)
    show(result, as_json)
