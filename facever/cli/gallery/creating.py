"""`facever gallery create`: an empty gallery, bound to a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, cast

import typer

from facever.cli.gallery.shared import AsJson, Folder, print_info

if TYPE_CHECKING:
    from facever.embedding.extractor import Precision


def create(
    gallery: Folder,
    model: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads the annotation
        typer.Option(help="Bind it to this model: a run folder or a .safetensors file."),
    ] = None,
    from_embeddings: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Bind it to what made this embedding set."),
    ] = None,
    flip: Annotated[
        bool, typer.Option("--flip", help="With --model: average with the mirror image's.")
    ] = False,
    precision: Annotated[
        str, typer.Option(help="With --model: fp32, or bf16: faster, other vectors.")
    ] = "fp32",
    as_json: AsJson = False,
) -> None:
    """Make an empty gallery, bound to a model."""
    from facever.embedding.extractor import load_model
    from facever.errors import ConfigError
    from facever.vectors.embedding_set import EmbeddingSet
    from facever.workflows.enrollment import create_gallery

    if (model is None) == (from_embeddings is None):
        raise ConfigError("bind the gallery to a model: either --model or --from-embeddings")
    if from_embeddings is not None and (flip or precision != "fp32"):
        raise ConfigError("--flip and --precision are decided already: leave them away")
    if model is not None:
        made = create_gallery(
            gallery, load_model(model, flip=flip, precision=cast("Precision", precision))
        )
    else:
        assert from_embeddings is not None
        made = create_gallery(gallery, EmbeddingSet.load(from_embeddings))
    with made:
        print_info(made, as_json)
