"""`facever gallery search` and `verify`: identification (1:N) and verification (1:1)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from facever.cli.gallery.shared import (
    Calibration,
    Camera,
    Model,
    OwnEngine,
    Point,
    TakenFrom,
    TakenTo,
    Where,
    calibration_of,
    counted,
    of_tracks,
    point_of,
    print_json,
    where_images_of,
    where_of,
)
from facever.cli.gallery_address import Place
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
    from facever.models.loading import Engine

Images = Annotated[
    list[str] | None,
    typer.Argument(metavar="[IMAGE]...", help="Images, with --model."),
]
Embeddings = Annotated[
    Path | None,
    typer.Option(help="Use the rows of this embedding set as probes instead of images."),
]
Rule = Annotated[
    str | None,
    typer.Option(help="A person's score: max or mean over their templates. [default: max]"),
]


def search(
    gallery: Place,
    images: Images = None,
    model: Model = None,
    embeddings: Embeddings = None,
    templates: Annotated[
        str | None,
        typer.Option(
            help="With --embeddings: pool the images of a track into one probe; the column with "
            "the track's name."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of candidates to show.")] = 5,
    operating_point: Point = None,
    rule: Rule = None,
    calibration: Calibration = None,
    where: Where = None,
    camera: Camera = None,
    taken_from: TakenFrom = None,
    taken_to: TakenTo = None,
    decide: Annotated[
        bool,
        typer.Option("--decide", help="Exit with status 2 if no operating point can decide."),
    ] = False,
    photos: Photos = None,
    face: Face = None,
    min_quality: MinQuality = None,
    rotations: Rotations = False,
    detector: Detector = None,
    device: Device = "auto",
    engine: OwnEngine = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a row for each candidate, as CSV.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find the most similar people for each image (1:N).

    Exit status: 0 with or without a decision, 2 an error. With --decide, also 2 if there is no
    decision; one line states the reason.
    """
    from facever.core.console import say
    from facever.embeddings.embedding_set import EmbeddingSet
    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery

    how = photos, face, min_quality, rotations, detector
    _check("search", images, model, embeddings, (device, engine), how)
    if templates is not None and embeddings is None:
        raise ConfigError("--templates applies to embeddings: give --embeddings, or omit it")
    if as_csv and as_json:
        raise ConfigError("give either --csv or --json, not both")
    asked: dict[str, Any] = {
        "operating_point": point_of(operating_point),
        "rule": rule,
        "where": where_of(where),
        "where_images": where_images_of(camera, taken_from, taken_to),
        "calibration": calibration_of(calibration),
        "decide": decide,
    }
    with Gallery.open(gallery) as opened:
        if embeddings is not None:
            probes = of_tracks(EmbeddingSet.load(embeddings), templates)
            names = _names_in(probes)
            found = opened.search(probes, k, **asked)
        else:
            from facever.recognizer import Recognizer

            assert images
            assert model is not None
            chosen = cast("Engine | None", engine)
            recognizer = Recognizer.load(model, opened, device=device, engine=chosen)
            recognizer.photos = photos_of(recognizer.model, *how)
            found = recognizer.search(list(images), k, **asked)
            names = _owners_of(images, [answer.face for answer in found])
    if found.note:
        say(found.note)
    if templates is not None:
        say(
            "each probe is the mean of a track's images: an operating point that was measured on "
            "single images has other rates for it"
        )
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
        filtered = asked["where"] is not None or asked["where_images"] is not None
        _print_answers(names, found, filtered)


def _check(
    verb: str,
    images: list[str] | None,
    model: Path | None,
    embeddings: Path | None,
    computed: tuple[str, str | None],
    how: tuple[object, ...],
) -> None:
    """Check that either images with a model or embeddings are given."""
    from facever.errors import ConfigError

    if (embeddings is None) == (not images) or (embeddings is None) != (model is not None):
        raise ConfigError(f"give images with --model MODEL to {verb}, or --embeddings SET")
    if embeddings is not None and computed != ("auto", None):
        raise ConfigError("--device and --engine apply to images: omit them with --embeddings")
    if embeddings is not None and asked_of_photos(how):
        raise ConfigError("--photos and its options apply to images: omit them with --embeddings")


def _names_in(probes: "EmbeddingSet") -> list[str]:
    column = "path" if "path" in probes.rows else "identity"
    return [str(name) for name in probes.rows[column]]


def _owners_of(images: list[str], faces: Sequence[dict[str, Any] | None]) -> list[str]:
    """Return the image of each probe; with --face all, several probes can have the same image."""
    return [
        images[face["image"] if face is not None and "image" in face else row]
        for row, face in enumerate(faces)
    ]


def _names_of(owners: list[str], faces: Sequence[dict[str, Any] | None]) -> list[str]:
    """Return the label of each probe: its image and, with --face all, the face's box."""
    return [
        f"{owner}, face {face['face']} at {face.get('box', 'an unknown position')}"
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
            print(
                "  no person or image matches the filter" if filtered else "  the gallery is empty"
            )
        else:
            rows = [(f"{c.score:.4f}", shown(c.person)) for c in answer.candidates]
            print("  " + table(["score", "person"], rows).replace("\n", "\n  "))
            likely = answer.candidates[0].probability
            if likely is not None:
                print(f"  probability that the first is correct: {likely:.4f}")


def _print_csv(names: list[str], found: "SearchResult") -> None:
    """Print one CSV row per candidate; a probe without candidates has one row without a person."""
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
    gallery: Place,
    person: Annotated[str, typer.Argument(help="Id of the claimed person.")],
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
    engine: OwnEngine = None,
    as_json: AsJson = False,
) -> None:
    """Decide whether images show a given person of the gallery (1:1).

    Exit status: 0 the same person, 1 different (at least one image), 2 no decision or an error.
    """
    from facever.core.console import say
    from facever.embeddings.embedding_set import EmbeddingSet
    from facever.gallery.gallery import Gallery

    how = photos, face, min_quality, rotations, detector
    _check("verify", images, model, embeddings, (device, engine), how)
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
            chosen = cast("Engine | None", engine)
            recognizer = Recognizer.load(model, opened, device=device, engine=chosen)
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
    """Print the score and decision of each probe, with its name if there are several."""
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
