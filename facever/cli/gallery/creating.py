"""`facever gallery create`: an empty gallery, bound to a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from facever.cli.gallery.shared import Folder, IndexKind, print_info
from facever.cli.options import AsJson

if TYPE_CHECKING:
    from facever.models.extraction import LoadedModel, Precision


def create(
    gallery: Folder,
    model: Annotated[
        Path | None,
        typer.Option(help="Bind it to this model: a run folder or a .safetensors file."),
    ] = None,
    from_embeddings: Annotated[
        Path | None,
        typer.Option(help="Bind it to what made this embedding set."),
    ] = None,
    flip: Annotated[
        bool, typer.Option("--flip", help="With --model: average with the mirror image's.")
    ] = False,
    precision: Annotated[
        str, typer.Option(help="With --model: fp32, or bf16: faster, other vectors.")
    ] = "fp32",
    templates: Annotated[
        str,
        typer.Option(
            help="Compare people by: all of their images, mean, quality_mean or medoids:K."
        ),
    ] = "all",
    storage: Annotated[
        str, typer.Option(help="Write vectors as float32, float16 or int8.")
    ] = "float32",
    index: IndexKind = None,
    as_json: AsJson = False,
) -> None:
    """Make an empty gallery, bound to a model.

    How people are compared, stored and indexed can be changed later: facever gallery rebuild.
    """
    from facever.embeddings.embedding_set import EmbeddingSet
    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery

    if (model is None) == (from_embeddings is None):
        raise ConfigError("bind the gallery to a model: either --model or --from-embeddings")
    if from_embeddings is not None and (flip or precision != "fp32"):
        raise ConfigError("--flip and --precision are decided already: leave them away")
    made_by: LoadedModel | EmbeddingSet
    if model is not None:
        from facever.models.loading import load_model

        made_by = load_model(model, flip=flip, precision=cast("Precision", precision))
    else:
        assert from_embeddings is not None
        made_by = EmbeddingSet.load(from_embeddings)
    with Gallery.create(
        gallery, made_by, templates=templates, storage=storage, index=index or "auto"
    ) as made:
        print_info(made, as_json)
