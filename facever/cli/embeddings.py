"""`facever embeddings`: import embeddings that other tools computed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facever.cli.options import AsJson

if TYPE_CHECKING:
    from facever.embeddings.embedding_set import EmbeddingSet

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Import embeddings that other tools computed.",
)


@app.callback()
def _group() -> None:
    pass


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="Vectors: .npy, .npz, .h5, .mat, .parquet, a pickle (.pkl) or a file of "
            "torch.save (.pt)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The output folder for the embedding set.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Labels in a file of their own: .txt with one identity per line, a .csv or "
            ".parquet table with identity and other columns, or .npy."
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            help="Name of the model and its options. A gallery takes only vectors of its own "
            "space, and none without."
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Name of the data set. [default: the name of FILE]")
    ] = None,
    vectors: Annotated[
        str | None,
        typer.Option(help="Name of the array of vectors. [default: found by name]"),
    ] = None,
    identities: Annotated[
        str | None,
        typer.Option(
            help="Name of the array, or of the column of --labels, with the identities. "
            "[default: found by name]"
        ),
    ] = None,
    vectors_in: Annotated[
        str | None,
        typer.Option(
            help="rows: vectors are [N, D]; columns: [D, N]. [default: rows; of .mat files what "
            "the number of labels says]"
        ),
    ] = None,
    failures: Annotated[
        str,
        typer.Option(
            help="How FILE marks images without a vector: nan or zero for rows of only these "
            "values; refuse accepts no such row."
        ),
    ] = "refuse",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing embedding set at --out.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the vectors of a file as an embedding set, which evaluate and gallery take."""
    import json

    from facever.core.console import warn
    from facever.embedding_files.importing import IMPORTED, import_embeddings
    from facever.errors import ConfigError
    from facever.evaluation.failures import FailureRate

    if space is not None and not space.strip():
        raise ConfigError("--space is empty: give a name, or omit it")
    made = import_embeddings(
        file,
        out,
        labels=labels,
        space=space,
        dataset=dataset,
        vectors=vectors,
        identities=identities,
        vectors_in=vectors_in,
        failures=failures,
        overwrite=overwrite,
    )
    read = made.meta.options[IMPORTED]
    failed = FailureRate(made.failures, len(made))
    people = made.rows["identity"].nunique()
    unnamed = len(made) - int(made.named.sum())
    if unnamed:
        warn(f"{unnamed:,} of {len(made):,} vectors have no identity{_remedy(read)}")
    if as_json:
        print(
            json.dumps(
                {
                    "embeddings": str(out),
                    "layout": read["layout"],
                    "images": len(made),
                    "failed": made.failures,
                    "failure_to_acquire": failed.to_dict(),
                    "identities": people,
                    "without_identity": unnamed,
                    "dimension": made.meta.dimension,
                    "fingerprint": made.meta.fingerprint,
                    "dataset": made.meta.dataset,
                    "vectors": read["vectors"],
                    "columns": read["columns"],
                    "unused": read["unused"],
                }
            )
        )
        return
    print(f"embeddings: {out}")
    print(f"vectors:    {', '.join(read['vectors'])}")
    print(f"images:     {len(made):,} of {people:,} identities")
    print(f"columns:    {_columns(made)}")
    if read["unused"]:
        print(f"not used:   {', '.join(read['unused'])}")
    if made.failures:
        print(f"failed:     {failed.told('FTA')}")
    print(f"space:      {made.meta.fingerprint}")
    ask = "gallery search GALLERY --embeddings" if unnamed else "evaluate verification"
    print(f"next:       facever {ask} {out}")


def _columns(made: "EmbeddingSet") -> str:
    """Return the columns of the rows, with their names in the file."""
    names = made.meta.options["imported"]["columns"]
    said = [
        name if names.get(name, name) == name else f"{name} ({names[name]})"
        for name in map(str, made.rows)
        if name not in ("norm", "error")
    ]
    return ", ".join(said)


def _remedy(read: dict[str, object]) -> str:
    if read["labels"] is not None or "identity" in dict(read["columns"]):  # type: ignore[call-overload]
        return ""
    return ": give --labels, or --identities NAME"
