"""`facever gallery create`: create an empty gallery, bound to a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from facever.cli.gallery.shared import IndexKind, print_info
from facever.cli.gallery_address import Place
from facever.cli.options import AsJson, Engine, Precision

if TYPE_CHECKING:
    from facever.models.extraction import LoadedModel
    from facever.models.extraction import Precision as PrecisionName
    from facever.models.loading import Engine as EngineName


def create(
    gallery: Place,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Bind the gallery to this model: a run folder, a .safetensors or .onnx file, "
            "or a public model's name."
        ),
    ] = None,
    from_embeddings: Annotated[
        Path | None,
        typer.Option(help="Bind the gallery to the model of this embedding set."),
    ] = None,
    flip: Annotated[
        bool,
        typer.Option(
            "--flip",
            help="With --model: average each embedding with that of the mirrored image. Takes "
            "twice the time.",
        ),
    ] = False,
    engine: Engine = "auto",
    precision: Precision = None,
    templates: Annotated[
        str,
        typer.Option(
            help="Templates of a person: all (each image), mean, quality_mean or medoids:K."
        ),
    ] = "all",
    storage: Annotated[
        str, typer.Option(help="Number format of stored vectors: float32, float16 or int8.")
    ] = "float32",
    index: IndexKind = None,
    keep_crops: Annotated[
        bool,
        typer.Option(
            "--keep-crops",
            help="Keep of each enrolled image the crop that the model saw (PNG); the photo is not "
            "kept.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create an empty gallery, bound to a model.

    To change --templates, --storage and --index later, use facever gallery rebuild; for
    --keep-crops, facever gallery crops.
    """
    from facever.embeddings.embedding_set import EmbeddingSet
    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery

    if (model is None) == (from_embeddings is None):
        raise ConfigError(
            "a gallery is bound to one model: give either --model or --from-embeddings"
        )
    if from_embeddings is not None and (flip, precision, engine) != (False, None, "auto"):
        raise ConfigError(
            "--flip, --precision and --engine are set by the embedding set: omit them"
        )
    made_by: LoadedModel | EmbeddingSet
    if model is not None:
        from facever.models.loading import load_model

        made_by = load_model(
            model,
            flip=flip,
            precision=cast("PrecisionName | None", precision),
            engine=cast("EngineName", engine),
        )
    else:
        assert from_embeddings is not None
        made_by = EmbeddingSet.load(from_embeddings)
    with Gallery.create(
        gallery,
        made_by,
        templates=templates,
        storage=storage,
        index=index or "auto",
        keep_crops=keep_crops,
    ) as made:
        print_info(made, as_json)
