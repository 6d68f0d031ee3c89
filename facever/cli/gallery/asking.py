"""`facever gallery search` and `verify`: who is it, and is it them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, cast

import typer

from facever.cli.gallery.shared import (
    AsJson,
    Calibration,
    Device,
    Folder,
    Model,
    Point,
    Where,
    calibration_of,
    counted,
    point_of,
    print_json,
    where_of,
)

if TYPE_CHECKING:
    from facever.evaluation.operating_point import ScoreRule
    from facever.gallery.answers import SearchResult

Rule = Annotated[
    Optional[str],  # noqa: UP045 - typer reads the annotation
    typer.Option(help="A person's score: max or mean over their images. [default: max]"),
]


def search(
    gallery: Folder,
    images: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation
        typer.Argument(metavar="[IMAGE]...", help="Images, with --model."),
    ] = None,
    model: Model = None,
    embeddings: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Search for the rows of this embedding set instead."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many people to show.")] = 5,
    operating_point: Point = None,
    rule: Rule = None,
    calibration: Calibration = None,
    where: Where = None,
    device: Device = "auto",
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a row for each candidate, as CSV.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find the people who are nearest to each image (1:N)."""
    from facever.console import say
    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery
    from facever.vectors.embedding_set import EmbeddingSet
    from facever.workflows.enrollment import gallerys_extractor
    from facever.workflows.recognition import search_images

    if (embeddings is None) == (not images) or (embeddings is None) != (model is not None):
        raise ConfigError("search for images with --model, or for --embeddings")
    if as_csv and as_json:
        raise ConfigError("either --csv or --json")
    asked: dict[str, Any] = {
        "operating_point": point_of(operating_point),
        "rule": rule,
        "where": where_of(where),
        "calibration": calibration_of(calibration),
    }
    with Gallery.open(gallery) as opened:
        if embeddings is not None:
            probes = EmbeddingSet.load(embeddings)
            column = "path" if "path" in probes.rows else "identity"
            names = [str(name) for name in probes.rows[column]]
            found = opened.search(probes, k, **asked)
        else:
            assert images
            assert model is not None
            names = list(images)
            extractor = gallerys_extractor(opened, model, device)
            found = search_images(opened, extractor, names, k, **asked)
    if found.note:
        say(found.note)
    if as_json:
        result = found.to_dict()
        for name, answer in zip(names, result["answers"], strict=True):
            answer["probe"] = name
        print_json(result)
    elif as_csv:
        _print_csv(names, found)
    else:
        _print_answers(names, found, where is not None)


def _print_answers(names: list[str], found: "SearchResult", filtered: bool) -> None:
    from facever.console import table
    from facever.gallery.records import shown

    for name, answer in zip(names, found, strict=True):
        who = answer.person
        decided = "unknown" if who is None else shown(who)
        print(f"{shown(name)}" + ("" if answer.known is None else f": {decided}"))
        if answer.error is not None:
            print(f"  no vector: {answer.error}")
        elif not answer.candidates:
            print("  nobody is as asked" if filtered else "  nobody is enrolled")
        else:
            rows = [(f"{c.score:.4f}", shown(c.person)) for c in answer.candidates]
            print("  " + table(["score", "person"], rows).replace("\n", "\n  "))
            likely = answer.candidates[0].probability
            if likely is not None:
                print(f"  the first is right with probability {likely:.4f}")


def _print_csv(names: list[str], found: "SearchResult") -> None:
    """Print a row for each candidate; one without a person for a probe that has none."""
    import csv
    import sys

    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(["probe", "rank", "person", "score", "probability", "known", "error"])
    for name, answer in zip(names, found, strict=True):
        known = "" if answer.known is None else str(answer.known).lower()
        for rank, one in enumerate(answer.candidates, 1):
            probability = "" if one.probability is None else one.probability
            first = known if rank == 1 else ""
            rows.writerow([name, rank, one.person, one.score, probability, first, ""])
        if not answer.candidates:
            rows.writerow([name, "", "", "", "", known, answer.error or ""])


def verify(
    gallery: Folder,
    person: Annotated[str, typer.Argument(help="Who it is claimed to be.")],
    image: Annotated[Path, typer.Argument(help="An image.")],
    model: Annotated[
        Path, typer.Option(help="The gallery's model: a run folder or a .safetensors file.")
    ],
    operating_point: Point = None,
    rule: Rule = None,
    calibration: Calibration = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Say whether an image shows a person of the gallery (1:1).

    Exit status: 0 the same, 1 different, 2 no decision or an error.
    """
    from facever.cli.verify import point_line
    from facever.console import say
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown
    from facever.workflows.enrollment import gallerys_extractor
    from facever.workflows.recognition import verify_image

    with Gallery.open(gallery) as opened:
        extractor = gallerys_extractor(opened, model, device)
        result = verify_image(
            opened,
            extractor,
            person,
            image,
            point_of(operating_point),
            cast("ScoreRule", rule or "max"),
            calibration_of(calibration),
        )
    if as_json:
        print_json(result.to_dict())
    else:
        (score,) = result.scores
        what = "image" if result.templates == "all" else "template"
        best = "best" if result.rule == "max" else "mean"
        print(f"score:       {score:.4f} ({best} of {counted(result.images, what)})")
        if result.probabilities is not None:
            print(f"probability: {result.probabilities[0]:.4f}")
        if result.same is not None and result.operating_point is not None:
            print(f"decision:    {'' if result.same[0] else 'not '}{shown(person)}")
            print(f"by:          {point_line(result.operating_point)}")
    if result.note:
        say(result.note)
    raise typer.Exit(2 if result.same is None else int(not result.same[0]))
