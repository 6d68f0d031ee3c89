"""`facever embed`: write the embeddings of images to a folder."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from facever.cli.options import AsJson, DataFolder, Device, Engine, Flip, Layout, Precision
from facever.cli.photo_options import Detector, Face, MinQuality, Photos, Rotations, photos_of

if TYPE_CHECKING:
    from facever.embeddings.embedding_set import EmbeddingSet
    from facever.models.extraction import Precision as PrecisionName
    from facever.models.loading import Engine as EngineName

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def embed(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A run folder, a .safetensors or .onnx file, a public model's name, or your own "
            "model's (docs/plug-ins.md).",
        ),
    ],
    images: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="A folder, a .csv or .parquet manifest, or a data set's name."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The output folder for the embedding set.")],
    layout: Layout = "auto",
    subset: Annotated[
        list[str] | None,
        typer.Option(help="Only rows of this subset. Repeatable."),
    ] = None,
    photos: Photos = None,
    face: Face = None,
    min_quality: MinQuality = None,
    rotations: Rotations = False,
    detector: Detector = None,
    flip: Flip = False,
    engine: Engine = "auto",
    precision: Precision = None,
    batch_size: Annotated[int, typer.Option(help="Number of images per batch.")] = 64,
    workers: Annotated[
        str, typer.Option(help="Number of processes that load images: auto, or a number from 0.")
    ] = "auto",
    device: Device = "auto",
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Stop at the first image or folder that cannot be read."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing embedding set at --out.")
    ] = False,
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """Compute the embeddings of images and write them to a folder.

    A photo without a face of at least --min-quality has no vector: it is a failure to acquire.
    rows.parquet lists it with the reason. With --face all, each face has one row. After an
    interruption, the same command continues.
    """
    import json
    import time

    from facever.core.console import warn
    from facever.core.processes import is_main, started
    from facever.data.sources import load
    from facever.errors import ConfigError
    from facever.evaluation.failures import FailureRate
    from facever.models.loading import load_model

    if workers != "auto" and not workers.isdigit():
        raise ConfigError(f"--workers is '{workers}' (allowed: auto, or a number from 0)")
    with started(device):
        manifest = load(images, data, layout, "raise" if strict else "skip")
        if subset:
            manifest = manifest.where(subset=subset)
        extractor = load_model(
            model,
            device=device,
            flip=flip,
            precision=cast("PrecisionName | None", precision),
            batch_size=batch_size,
            engine=cast("EngineName", engine),
        )
        begun = time.monotonic()
        made = extractor.extract(
            manifest,
            out,
            workers="auto" if workers == "auto" else int(workers),
            on_error="raise" if strict else "skip",
            overwrite=overwrite,
            photos=photos_of(extractor, photos, face, min_quality, rotations, detector, manifest),
        )
        seconds = time.monotonic() - begun
        if not is_main():
            return
        failed = FailureRate(made.failures, len(manifest))
        reasons = _reasons(made)
        if made.failures:
            counted = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
            path, why = made.rows.loc[~made.acquired, ["path", "error"]].iloc[0]
            first = why if path in why else f"{path}: {why}"
            warn(
                f"{failed.told('FTA')} images failed (see rows.parquet): {counted}; first: {first}"
            )
        if as_json:
            print(
                json.dumps(
                    {
                        "embeddings": str(out),
                        "images": len(made),
                        "failed": made.failures,
                        "failure_to_acquire": {**failed.to_dict(), "reasons": reasons},
                        "acquisition": made.meta.acquisition,
                        "identities": len(manifest.identities),
                        "without_identity": len(made) - int(made.named.sum()),
                        "dimension": made.meta.dimension,
                        "metric": made.meta.metric,
                        "fingerprint": made.meta.fingerprint,
                        "options": made.meta.options,
                        "seconds": round(seconds, 3),
                    }
                )
            )
            return
        print(f"embeddings: {out}")
        people = len(manifest.identities)
        unnamed = len(made) - int(made.named.sum())
        known = f"{len(made)} of {people} identities"
        if unnamed:
            known = f"{len(made)} without identity"
            if people:
                known = f"{len(made)}: {people} identities, {unnamed} images without identity"
        print(f"images:     {known}")
        print(f"acquired:   {_acquired(made)}")
        print(f"failed:     {failed.told('FTA')}")
        print(f"dimension:  {made.meta.dimension}, metric {made.meta.metric}")
        ask = "gallery search GALLERY --embeddings" if unnamed else "evaluate verification"
        print(f"next:       facever {ask} {out}")


def _reasons(made: "EmbeddingSet") -> dict[str, int]:
    """Return the reasons for missing vectors with their counts, most frequent first."""
    failed = made.rows[~made.acquired]
    said = [
        error.partition(f"{path}: ")[2] or error
        for path, error in zip(failed["path"], failed["error"], strict=True)
    ]
    return dict(Counter(said).most_common())


def _acquired(made: "EmbeddingSet") -> str:
    """Describe how the crops were made."""
    said = made.meta.acquisition
    if said["images"] == "crops":
        return "crops (no alignment)"
    which = {"all": "every face", "only": "the only face"}.get(
        said.get("face", ""), f"the {said.get('face', 'chosen')} face"
    )
    return f"{which} of each photo, aligned to {said.get('template')} ({said.get('detector')})"
