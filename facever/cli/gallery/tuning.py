"""`facever gallery tune`: compare kinds of index for a gallery."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from facever.cli.evaluate.shared import Metric, show
from facever.cli.gallery.shared import point_of
from facever.cli.gallery_address import checked
from facever.cli.options import AsJson
from facever.cli.several import is_kind, is_number, several

MANY_KINDS = several("--index", is_kind, several("--rank", is_number, several("--fpir", is_number)))


def tune(
    gallery: Annotated[
        str,
        typer.Argument(
            metavar="GALLERY",
            callback=checked,
            help="A gallery (a folder, or postgresql://HOST/DATABASE?gallery=NAME), or a folder "
            "made by facever embed.",
        ),
    ],
    probes: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PROBES]",
            help="Probes: embeddings of other images of the enrolled people, and of people not "
            "enrolled. [default: people and images held out of the gallery]",
        ),
    ] = None,
    index: Annotated[
        list[str] | None,
        typer.Option(
            help="Kinds of index to compare, such as flat IVF1024,Flat:nprobe=64 HNSW32. "
            "[default: a choice by the gallery's size]"
        ),
    ] = None,
    operating_point: Annotated[
        str | None,
        typer.Option(
            help="Operating point whose threshold is used: a file, or the name of one stored in "
            "the gallery. [default: the gallery's only 1:N one, unless --fpir or --rule is given]"
        ),
    ] = None,
    fpir: Annotated[
        list[float] | None,
        typer.Option(
            help="FPIR of exact search that sets the threshold, one or several, instead of the "
            "gallery's operating point. [default if there is none: 0.01]"
        ),
    ] = None,
    rank: Annotated[
        list[int] | None,
        typer.Option(help="Ranks at which FNIR is measured, one or several. [default: 1]"),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="A person's score over their templates, max or mean, instead of the rule of "
            "the gallery's operating point. [default if there is none: max]"
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of candidates per search.")] = 10,
    similarity: Metric = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            help="For embeddings: number of images requested from the index. [default: k times "
            "the largest number of images of a person]"
        ),
    ] = None,
    recall: Annotated[
        float | None,
        typer.Option(
            help="Recall for which ef_search or probes of pgvector:hnsw and pgvector:ivfflat are "
            "chosen, such as 0.99. [default index: both]"
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(help="Without PROBES: the share of people held out. [default: 0.1]"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Without PROBES: seed of the choice of people held out. [default: 0]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare kinds of index by recall, FNIR, FPIR, memory and latency. Does not change the
    gallery.

    To use one: facever gallery rebuild DIR --index KIND.
    """
    from facever.embeddings.embedding_set import META, EmbeddingSet
    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery
    from facever.studies import index_tuning

    if probes is not None and (share is not None or seed is not None):
        raise ConfigError("--share and --seed apply to held-out probes: omit them, or omit PROBES")
    wanted: dict[str, Any] = {
        "fpir": fpir,
        "rule": rule,
        "recall": recall,
        "share": share,
        "seed": seed,
    }
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if operating_point is not None and {"fpir", "rule"} & set(wanted):
        raise ConfigError("an operating point includes its FPIR and rule: omit --fpir and --rule")
    with ExitStack() as stack:
        if (Path(gallery) / META).is_file():
            people: Gallery | EmbeddingSet = EmbeddingSet.load(Path(gallery))
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
