"""`facever gallery search` and `verify`: who is it, and is it them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facever.cli.gallery.shared import (
    Calibration,
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
from facever.cli.options import AsJson, Device
from facever.cli.photo_options import (
    Detector,
    Face,
    MinQuality,
    Photos,
    Rotations,
    asked_of_photos,
    photos_of,
)

if TYPE_CHECKING:
    from facever.embeddings.embedding_set import EmbeddingSet
    from facever.gallery.answers import SearchResult, Verification

Images = Annotated[
    list[str] | None,
    typer.Argument(metavar="[IMAGE]...", help="Images, with --model."),
]
Embeddings = Annotated[
    Path | None,
    typer.Option(help="Ask about the rows of this embedding set instead."),
]
Rule = Annotated[
    str | None,
    typer.Option(help="A person's score: max or mean over their images. [default: max]"),
]


def search(
    gallery: Folder,
    images: Images = None,
    model: Model = None,
    embeddings: Embeddings = None,
    k: Annotated[int, typer.Option("-k", help="How many people to show.")] = 5,
    operating_point: Point = None,
    rule: Rule = None,
    calibration: Calibration = None,
    where: Where = None,
    decide: Annotated[
        bool,
        typer.Option("--decide", help="End with status 2 where no operating point decides."),
    ] = False,
    photos: Photos = None,
    face: Face = None,
    min_quality: MinQuality = None,
    rotations: Rotations = False,
    detector: Detector = None,
    device: Device = "auto",
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a row for each candidate, as CSV.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find the people who are nearest to each image (1:N).

    Exit status: 0 answered, with or without a decision; 2 an error, and with --decide also where
    nothing decides: a line says why.
    """
    from facever.core.console import say
    from facever.embeddings.embedding_set import EmbeddingSet
    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery

    how = photos, face, min_quality, rotations, detector
    _check("search for", images, model, embeddings, device, how)
    if as_csv and as_json:
        raise ConfigError("either --csv or --json")
    asked: dict[str, Any] = {
        "operating_point": point_of(operating_point),
        "rule": rule,
        "where": where_of(where),
        "calibration": calibration_of(calibration),
        "decide": decide,
    }
    with Gallery.open(gallery) as opened:
        if embeddings is not None:
            probes = EmbeddingSet.load(embeddings)
            names = _names_in(probes)
            found = opened.search(probes, k, **asked)
        else:
            from facever.recognizer import Recognizer

            assert images
            assert model is not None
            recognizer = Recognizer.load(model, opened, device=device)
            recognizer.photos = photos_of(recognizer.model, *how)
            found = recognizer.search(list(images), k, **asked)
            names = _owners_of(images, [answer.face for answer in found])
    if found.note:
        say(found.note)
    if as_json:
        result = found.to_dict()
        for name, answer in zip(names, result["answers"], strict=True):
            answer["probe"] = name
        print_json(result)
        return
    names = _names_of(names, [answer.face for answer in found])
    if as_csv:
        _print_csv(names, found)
    else:
        _print_answers(names, found, where is not None)


def _check(
    verb: str,
    images: list[str] | None,
    model: Path | None,
    embeddings: Path | None,
    device: str,
    how: tuple[object, ...],
) -> None:
    """Refuse anything but images with a model, or embeddings."""
    from facever.errors import ConfigError

    if (embeddings is None) == (not images) or (embeddings is None) != (model is not None):
        raise ConfigError(f"{verb} images with --model, or {verb} --embeddings")
    if embeddings is not None and device != "auto":
        raise ConfigError("--device is for images: --embeddings need none")
    if embeddings is not None and asked_of_photos(how):
        raise ConfigError("--photos and what belongs to it are for images: --embeddings need none")


def _names_in(probes: "EmbeddingSet") -> list[str]:
    column = "path" if "path" in probes.rows else "identity"
    return [str(name) for name in probes.rows[column]]


def _owners_of(images: list[str], faces: Sequence[dict[str, Any] | None]) -> list[str]:
    """Return the image of each probe: several are of one where every face of it is asked for."""
    return [
        images[face["image"] if face is not None and "image" in face else row]
        for row, face in enumerate(faces)
    ]


def _names_of(owners: list[str], faces: Sequence[dict[str, Any] | None]) -> list[str]:
    """Return what to call each probe: its image, and where its face is if there may be several."""
    return [
        f"{owner}, face {face['face']} at {face.get('box', 'an unknown place')}"
        if face is not None and "face" in face
        else owner
        for owner, face in zip(owners, faces, strict=True)
    ]


def _print_answers(names: list[str], found: "SearchResult", filtered: bool) -> None:
    from facever.core.console import printable
    from facever.gallery.records import shown
    from facever.render.text import table

    for name, answer in zip(names, found, strict=True):
        who = answer.person
        decided = "unknown" if who is None else shown(who)
        print(f"{shown(name)}" + ("" if answer.known is None else f": {decided}"))
        if answer.error is not None:
            print(f"  no vector: {printable(answer.error)}")
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

    from facever.data.csv_files import cell_for_people
    from facever.errors import plain

    def cell(text: str) -> str:
        return cell_for_people(plain(text))

    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(["probe", "rank", "person", "score", "probability", "known", "error"])
    for name, answer in zip(names, found, strict=True):
        known = "" if answer.known is None else str(answer.known).lower()
        for rank, one in enumerate(answer.candidates, 1):
            probability = "" if one.probability is None else one.probability
            first = known if rank == 1 else ""
            rows.writerow([cell(name), rank, cell(one.person), one.score, probability, first, ""])
        if not answer.candidates:
            rows.writerow([cell(name), "", "", "", "", known, cell(answer.error or "")])


def verify(
    gallery: Folder,
    person: Annotated[str, typer.Argument(help="Who it is claimed to be.")],
    images: Images = None,
    model: Model = None,
    embeddings: Embeddings = None,
    operating_point: Point = None,
    rule: Rule = None,
    calibration: Calibration = None,
    photos: Photos = None,
    face: Face = None,
    min_quality: MinQuality = None,
    rotations: Rotations = False,
    detector: Detector = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Say whether images show a person of the gallery (1:1).

    Exit status: 0 the same, 1 different (one of them at least), 2 no decision or an error.
    """
    from facever.core.console import say
    from facever.embeddings.embedding_set import EmbeddingSet
    from facever.gallery.gallery import Gallery

    how = photos, face, min_quality, rotations, detector
    _check("verify", images, model, embeddings, device, how)
    asked: dict[str, Any] = {
        "operating_point": point_of(operating_point),
        "rule": rule or "max",
        "calibration": calibration_of(calibration),
    }
    with Gallery.open(gallery) as opened:
        if embeddings is not None:
            probes = EmbeddingSet.load(embeddings)
            names = _names_in(probes)
            result = opened.verify(probes, person, **asked)
        else:
            from facever.recognizer import Recognizer

            assert images
            assert model is not None
            recognizer = Recognizer.load(model, opened, device=device)
            recognizer.photos = photos_of(recognizer.model, *how)
            result = recognizer.verify_person(list(images), person, **asked)
            names = _owners_of(images, result.faces)
    if as_json:
        print_json({**result.to_dict(), "probes": names})
    else:
        _print_verified(_names_of(names, result.faces), result)
    if result.note:
        say(result.note)
    same = result.same or [None]
    raise typer.Exit(2 if None in same else int(False in same))


def _print_verified(names: list[str], result: "Verification") -> None:
    """Print the score of each probe and what was decided; their names where they are several."""
    from facever.core.console import printable
    from facever.gallery.records import shown

    what = "image" if result.templates == "all" else "template"
    best = "best" if result.rule == "max" else "mean"
    for row, (name, score) in enumerate(zip(names, result.scores, strict=True)):
        if len(names) > 1:
            print(shown(name))
        if score is None:
            print(f"no vector:   {printable(str(result.errors[row]))}")
            continue
        print(f"score:       {score:.4f} ({best} of {counted(result.images, what)})")
        if result.probabilities is not None:
            print(f"probability: {result.probabilities[row]:.4f}")
        if result.same is not None:
            print(f"decision:    {'' if result.same[row] else 'not '}{shown(result.person)}")
    if result.operating_point is not None:
        print(f"by:          {result.operating_point.summary}")
