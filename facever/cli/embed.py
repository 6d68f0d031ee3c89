"""`facever embed`: images in, a folder of embeddings out."""

from pathlib import Path
from typing import Annotated, Optional

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def embed(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A run folder or a .safetensors file.")
    ],
    images: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="A folder, a .csv or .parquet manifest, or a data set's name."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder of the embedding set.")],
    layout: Annotated[str, typer.Option(help="How the data is laid out.")] = "auto",
    subset: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation
        typer.Option(help="Only rows of this subset; may be given several times."),
    ] = None,
    flip: Annotated[
        bool, typer.Option("--flip", help="Average with the mirror image's embedding.")
    ] = False,
    precision: Annotated[str, typer.Option(help="fp32, or bf16: faster, other vectors.")] = "fp32",
    batch_size: Annotated[int, typer.Option(help="Images that go through together.")] = 64,
    workers: Annotated[str, typer.Option(help="Processes that load images.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first unreadable image or folder.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an embedding set that stands at --out.")
    ] = False,
    data: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Where named data sets are (default: $FACEVER_DATA, ./data)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Turn images into a folder of embeddings; interrupted, the same command goes on."""
    import json
    import time
    from typing import cast

    from facever.core.console import warn
    from facever.core.processes import is_main, started
    from facever.data.sources import load
    from facever.errors import ConfigError
    from facever.models.extraction import Precision
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
            precision=cast(Precision, precision),
            batch_size=batch_size,
        )
        begun = time.monotonic()
        made = extractor.extract(
            manifest,
            out,
            workers="auto" if workers == "auto" else int(workers),
            on_error="raise" if strict else "skip",
            overwrite=overwrite,
        )
        seconds = time.monotonic() - begun
        if not is_main():
            return
        if made.failures:
            first = made.rows["error"].dropna().iloc[0]
            warn(f"{made.failures} of {len(made)} images failed (see rows.parquet), first: {first}")
        if as_json:
            print(
                json.dumps(
                    {
                        "embeddings": str(out),
                        "images": len(made),
                        "failed": made.failures,
                        "identities": len(manifest.identities),
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
        print(f"images:     {len(made)} of {len(manifest.identities)} identities")
        print(f"failed:     {made.failures}")
        print(f"dimension:  {made.meta.dimension}, compared by {made.meta.metric}")
        print(f"next:       facever evaluate verification {out}")
