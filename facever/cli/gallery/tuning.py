"""`facever gallery tune`: which kind of index a gallery should have."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from facever.cli.evaluate.shared import Metric, show
from facever.cli.gallery.shared import point_of
from facever.cli.options import AsJson
from facever.cli.several import is_kind, is_number, several

MANY_KINDS = several("--index", is_kind, several("--rank", is_number, several("--fpir", is_number)))


def tune(
    gallery: Annotated[
        Path, typer.Argument(metavar="DIR", help="A gallery, or a folder made by facever embed.")
    ],
    probes: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PROBES]",
            help="Embeddings of its people, by other images, and of strangers. [default: held out "
            "of the gallery]",
        ),
    ] = None,
    index: Annotated[
        list[str] | None,
        typer.Option(
            help="Kinds to try: flat IVF1024,Flat:nprobe=64 HNSW32 and so on. [default: some that "
            "fit its size]"
        ),
    ] = None,
    operating_point: Annotated[
        str | None,
        typer.Option(
            help="Take the threshold of this file, or of the gallery's own of this name. "
            "[default: its only 1:N one, without --fpir and --rule]"
        ),
    ] = None,
    fpir: Annotated[
        list[float] | None,
        typer.Option(
            help="The FPIR that exact search is set for, one or several, in place of the "
            "gallery's operating point. [default where there is none: 0.01]"
        ),
    ] = None,
    rank: Annotated[
        list[int] | None,
        typer.Option(help="Ranks at which FNIR is counted, one or several. [default: 1]"),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="A person's score, max or mean, in place of the gallery's operating point's. "
            "[default where there is none: max]"
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many people a search lists.")] = 10,
    similarity: Metric = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            help="Of embeddings: how many images an index is asked for. [default: k times the "
            "most images of a person]"
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(help="Without PROBES: the share of people held out. [default: 0.1]"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Without PROBES: of what is held out. [default: 0]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare kinds of index: recall, FNIR, FPIR, memory, latency. Nothing of the gallery changes.

    Choose one by facever gallery rebuild DIR --index KIND.
    """
    from facever.embeddings.embedding_set import META, EmbeddingSet
    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery
    from facever.studies import index_tuning

    if probes is not None and (share is not None or seed is not None):
        raise ConfigError("--share and --seed are of probes held out: omit them or PROBES")
    wanted: dict[str, Any] = {"fpir": fpir, "rule": rule, "share": share, "seed": seed}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if operating_point is not None and {"fpir", "rule"} & set(wanted):
        raise ConfigError("an operating point has its own FPIR and rule: omit --fpir and --rule")
    with ExitStack() as stack:
        if (gallery / META).is_file():
            people: Gallery | EmbeddingSet = EmbeddingSet.load(gallery)
        else:
            people = stack.enter_context(Gallery.open(gallery))
        result = index_tuning.tune(
            people,
            EmbeddingSet.load(probes) if probes is not None else None,
            index,
            operating_point=point_of(operating_point),
            ranks=rank or [1],
            similarity=similarity,
            k=k,
            candidates=candidates,
            **wanted,
        )
    show(result, as_json)
