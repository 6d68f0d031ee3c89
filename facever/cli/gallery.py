"""`facever gallery`: create, fill and ask a gallery of people."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, cast

import typer

if TYPE_CHECKING:
    from facever.embedding.extractor import Precision
    from facever.evaluation.operating_point import OperatingPoint, ScoreRule
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import Duplicates

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Create, fill and ask a gallery of people.",
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The gallery's folder.")]
Model = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads the annotation
    typer.Option(help="The gallery's model: a run folder or a .safetensors file."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Point = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Decide by this file, or by the gallery's own of this name."),
]
Data = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Where named data sets are (default: $FACEVER_DATA, ./data)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def create(
    gallery: Folder,
    model: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Bind it to this model: a run folder or a .safetensors file."),
    ] = None,
    from_embeddings: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Bind it to what made this embedding set."),
    ] = None,
    flip: Annotated[
        bool, typer.Option("--flip", help="With --model: average with the mirror image's.")
    ] = False,
    precision: Annotated[
        str, typer.Option(help="With --model: fp32, or bf16: faster, other vectors.")
    ] = "fp32",
    as_json: Json = False,
) -> None:
    """Make an empty gallery, bound to a model."""
    from facever.embedding.extractor import load_model
    from facever.errors import ConfigError
    from facever.vectors.embedding_set import EmbeddingSet
    from facever.workflows.enrollment import create_gallery

    if (model is None) == (from_embeddings is None):
        raise ConfigError("bind the gallery to a model: either --model or --from-embeddings")
    if from_embeddings is not None and (flip or precision != "fp32"):
        raise ConfigError("--flip and --precision are decided already: leave them away")
    if model is not None:
        made = create_gallery(
            gallery, load_model(model, flip=flip, precision=cast("Precision", precision))
        )
    else:
        assert from_embeddings is not None
        made = create_gallery(gallery, EmbeddingSet.load(from_embeddings))
    with made:
        _print_info(made, as_json)


@app.command()
def enroll(
    gallery: Folder,
    given: Annotated[
        list[str],
        typer.Argument(
            metavar="EMBEDDINGS|IMAGES...",
            help="An embedding set; or with --model a folder per person, a table, a data set's "
            "name, or with --person images and folders of one person.",
        ),
    ],
    model: Model = None,
    person: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Whom all of the images show."),
    ] = None,
    metadata: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="With --person: KEY=VALUE to keep of the person. Repeatable."),
    ] = None,
    duplicates: Annotated[
        str, typer.Option(help="Images that are there already: skip, keep or refuse.")
    ] = "skip",
    data: Data = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Add images of people: all of them, or on any error none."""
    import json

    from facever.console import say, warn
    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown
    from facever.workflows import enrollment

    about = {person: _pairs(metadata)} if person is not None and metadata else None
    if metadata and person is None:
        raise ConfigError("--metadata is about one person: name them with --person")
    policy = cast("Duplicates", duplicates)
    with Gallery.open(gallery) as opened:
        if model is None:
            done = opened.enroll(
                enrollment.embeddings_of(given), person, metadata=about, duplicates=policy
            )
        else:
            manifest = enrollment.manifest_of(given, person, data)
            extractor = enrollment.gallerys_extractor(opened, model, device)
            done = enrollment.enroll_images(
                opened, extractor, manifest, metadata=about, duplicates=policy
            )
        info = opened.info()
    for source, reason in done.failed:
        warn(f"not enrolled: {reason if source in reason else f'{source}: {reason}'}")
    for duplicate in done.duplicates:
        tell = say if duplicate.known_as == duplicate.person else warn
        tell(f"there already: {duplicate.what()}, as {shown(duplicate.known_as)}")
    if as_json:
        print(json.dumps({**done.to_dict(), "gallery": str(gallery), "total": _totals(info)}))
        return
    print(f"enrolled: {done.images} images, {done.new_people} new people")
    print(f"gallery:  {info.images} images of {info.people} people in {gallery}")


@app.command()
def search(
    gallery: Folder,
    images: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="[IMAGE]...", help="Images, with --model."),
    ] = None,
    model: Model = None,
    embeddings: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Search for the rows of this embedding set instead."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many people to show.")] = 5,
    operating_point: Point = None,
    rule: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="A person's score: max or mean over their images. [default: max]"),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Find the people who are nearest to each image (1:N)."""
    import json

    from facever.console import say, table
    from facever.errors import ConfigError
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown
    from facever.vectors.embedding_set import EmbeddingSet
    from facever.workflows import enrollment

    if (embeddings is None) == (not images) or (embeddings is None) != (model is not None):
        raise ConfigError("search for images with --model, or for --embeddings")
    with Gallery.open(gallery) as opened:
        point = _point(operating_point)
        if embeddings is not None:
            probes = EmbeddingSet.load(embeddings)
            column = "path" if "path" in probes.rows else "identity"
            names = [str(name) for name in probes.rows[column]]
            found = opened.search(probes, k, operating_point=point, rule=cast("ScoreRule", rule))
        else:
            assert images
            assert model is not None
            names = list(images)
            extractor = enrollment.gallerys_extractor(opened, model, device)
            found = enrollment.search_images(
                opened, extractor, names, k, point, cast("ScoreRule", rule)
            )
    if found.note:
        say(found.note)
    if as_json:
        result = found.to_dict()
        for name, answer in zip(names, result["answers"], strict=True):
            answer["probe"] = name
        print(json.dumps(result, allow_nan=False))
        return
    for name, answer in zip(names, found, strict=True):
        who = answer.person
        decided = "unknown" if who is None else shown(who)
        print(f"{shown(name)}" + ("" if answer.known is None else f": {decided}"))
        if answer.error is not None:
            print(f"  no vector: {answer.error}")
        elif not answer.candidates:
            print("  nobody is enrolled")
        else:
            rows = [(f"{c.score:.4f}", shown(c.person)) for c in answer.candidates]
            print("  " + table(["score", "person"], rows).replace("\n", "\n  "))


@app.command()
def verify(
    gallery: Folder,
    person: Annotated[str, typer.Argument(help="Who it is claimed to be.")],
    image: Annotated[Path, typer.Argument(help="An image.")],
    model: Annotated[
        Path, typer.Option(help="The gallery's model: a run folder or a .safetensors file.")
    ],
    operating_point: Point = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Say whether an image shows a person of the gallery (1:1).

    Exit status: 0 the same, 1 different, 2 no decision or an error.
    """
    import json

    from facever.cli.verify import point_line
    from facever.console import say
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown
    from facever.workflows import enrollment

    with Gallery.open(gallery) as opened:
        point = _point(operating_point)
        extractor = enrollment.gallerys_extractor(opened, model, device)
        result = enrollment.verify_image(opened, extractor, person, image, point)
    if as_json:
        print(json.dumps(result.to_dict(), allow_nan=False))
    else:
        print(f"score:    {result.scores[0]:.4f} (best of {result.images} images)")
        if result.same is not None and result.operating_point is not None:
            print(f"decision: {'' if result.same[0] else 'not '}{shown(person)}")
            print(f"by:       {point_line(result.operating_point)}")
    if result.note:
        say(result.note)
    raise typer.Exit(2 if result.same is None else int(not result.same[0]))


@app.command()
def threshold(
    gallery: Folder,
    file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(help="An operating point to keep in the gallery."),
    ] = None,
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Under which name (default: the file's)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the gallery's operating points, or add one."""
    import json

    from facever.cli.verify import point_line
    from facever.evaluation.operating_point import OperatingPoint
    from facever.gallery.gallery import Gallery
    from facever.gallery.records import shown

    with Gallery.open(gallery) as opened:
        if file is not None:
            opened.add_operating_point(name or file.stem, OperatingPoint.load(file))
        points = opened.operating_points()
    if as_json:
        print(json.dumps({key: point.model_dump(mode="json") for key, point in points.items()}))
        return
    for key, point in points.items():
        print(f"{shown(key)}: {point.kind}, {point_line(point)}")
    if not points:
        print("no operating points: searching and verifying give scores only")


@app.command()
def info(gallery: Folder, as_json: Json = False) -> None:
    """Say what a gallery is bound to and holds."""
    from facever.gallery.gallery import Gallery

    with Gallery.open(gallery) as opened:
        _print_info(opened, as_json)


def _print_info(gallery: "Gallery", as_json: bool) -> None:
    import json

    from facever.gallery.records import shown

    info = gallery.info()
    if as_json:
        print(json.dumps(info.to_dict(), allow_nan=False))
        return
    names = ", ".join(shown(name) for name in info.operating_points)
    print(f"gallery:          {info.path}")
    print(f"created:          {info.created}")
    print(f"fingerprint:      {info.fingerprint}")
    print(f"vectors:          dimension {info.dimension}, compared by cosine")
    print(f"people:           {info.people}")
    print(f"images:           {info.images}")
    print(f"operating points: {names or 'none: searching and verifying give scores only'}")


def _totals(info: Any) -> dict[str, int]:
    return {"people": info.people, "images": info.images}


def _point(given: str | None) -> "OperatingPoint | str | None":
    """Return the operating point in a file of that name, else the name."""
    from facever.evaluation.operating_point import OperatingPoint

    if given is not None and Path(given).is_file():
        return OperatingPoint.load(Path(given))
    return given


def _pairs(given: list[str]) -> dict[str, str]:
    from facever.errors import ConfigError

    pairs = {}
    for word in given:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise ConfigError(f"--metadata is '{word}': write KEY=VALUE")
        pairs[key] = value
    return pairs
