"""`facever data`: inspect, align, split, shard and generate data sets."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from facever.cli.options import AsJson, DataFolder, Layout
from facever.cli.photo_options import Detector, Face, MinQuality, Rotations
from facever.cli.several import several

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Inspect, align, split, shard and synthesize data sets.",
)

Root = Annotated[
    str, typer.Argument(help="A folder, a .csv or .parquet table, or the name of a data set.")
]


@app.command()
def inspect(
    root: Annotated[
        str,
        typer.Argument(
            help="A data set: a folder, a table or a name; or a file of embeddings, scores or "
            "pairs of another tool."
        ),
    ],
    layout: Annotated[
        str,
        typer.Option(
            help="auto, a layout of images as for other commands, or embeddings, scores or pairs."
        ),
    ] = "auto",
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """Report a data set's contents and problems. Decodes every image once.

    Of a file of embeddings, scores or pairs, report its format, images, identities and trials.
    """
    import json

    from facever.evaluation.inspection import inspect as contents_of
    from facever.render.text import terminal_width

    found = contents_of(root, data, layout)
    print(json.dumps(found.to_dict(), indent=2) if as_json else found.to_text(terminal_width()))


@app.command(cls=several("--shares", lambda word: "=" in word))
def split(
    root: Root,
    out: Annotated[Path, typer.Option(help="The table to write, .csv or .parquet.")],
    shares: Annotated[
        list[str] | None,
        typer.Option(
            help="The share of the identities in each subset. [default: train=0.8 test=0.2]"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
    stratify: Annotated[
        bool,
        typer.Option(
            "--stratify",
            help="Distribute identities with many and with few images evenly over the subsets.",
        ),
    ] = False,
    layout: Layout = "auto",
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """Assign every identity to one subset; write a table of all images with their subset."""
    import json

    from facever.core.console import warn
    from facever.data import sources
    from facever.data.split import parse_shares
    from facever.data.split import split as split_identities

    manifest = sources.load(root, data, layout)
    if "subset" in manifest.frame:
        warn(f"the existing subsets of {manifest.dataset} are replaced")
    parts = parse_shares(shares or ["train=0.8", "test=0.2"])
    done = split_identities(manifest, parts, seed, stratify)
    done.save(out)
    made = {name: done.where(subset=name) for name in parts}
    if as_json:
        sizes = {
            name: {"identities": len(part.identities), "images": len(part)}
            for name, part in made.items()
        }
        print(json.dumps({"table": str(out), "subsets": sizes}))
        return
    for name, part in made.items():
        print(f"{name}: {len(part.identities):,} identities, {len(part):,} images")
    print(f"table: {out}")


@app.command()
def shard(
    root: Root,
    out: Annotated[Path, typer.Option(help="The output folder for the .tar files.")],
    size: Annotated[int, typer.Option(help="Size of each .tar file in megabytes.")] = 256,
    layout: Layout = "auto",
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """Copy a data set into a few large .tar files (WebDataset). Other commands read them like a
    folder.
    """
    import json

    from facever.data import sources
    from facever.data.shards import write_shards

    made = write_shards(sources.load(root, data, layout), out, size)
    shards = len(list(out.glob("*.tar")))
    if as_json:
        print(json.dumps({"folder": str(out), "shards": shards, "images": len(made)}))
        return
    print(f"{len(made):,} images in {shards:,} shards: {out}")


@app.command()
def unpack(
    root: Root,
    out: Annotated[Path, typer.Option(help="The folder to make, with a folder per identity.")],
    layout: Layout = "auto",
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """Copy the images of .tar, .rec (insightface) and array files into a folder of image files."""
    import json

    from facever.data import sources
    from facever.data.unpacking import unpack as unpack_images

    made = unpack_images(sources.load(root, data, layout), out)
    people = len(made.identities)
    if as_json:
        print(json.dumps({"folder": str(out), "images": len(made), "identities": people}))
        return
    print(f"{len(made):,} images of {people:,} identities: {out}")


@app.command()
def align(
    root: Annotated[
        str,
        typer.Argument(
            metavar="PHOTOS",
            help="Photos: a folder, a .csv or .parquet table, or the name of a data set.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The output folder for the crops.")],
    size: Annotated[int, typer.Option(help="Height and width of the crops in pixels.")] = 112,
    face: Face = None,
    min_quality: MinQuality = None,
    rotations: Rotations = False,
    detector: Detector = None,
    format: Annotated[
        Literal["jpg", "png"], typer.Option(help="File format of the crops.")
    ] = "jpg",
    workers: Annotated[int | None, typer.Option(help="Threads.", show_default="all cores")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing crops at --out.")
    ] = False,
    layout: Layout = "auto",
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """Detect and align the faces in photos and write the crops.

    The output keeps the folder structure of the photos. Photos without a face are failures to
    acquire; failures.csv lists them with the reason. contact_sheet.jpg shows a sample of the crops.
    After an interruption, the same command continues.
    """
    import json

    from facever.cli.photo_options import cropper_of
    from facever.core.console import warn
    from facever.data import sources
    from facever.evaluation.failures import FailureRate
    from facever.faces.aligned_folder import FAILURES, SHEET, align_photos

    cropper = cropper_of(face, min_quality, rotations, detector)
    made = align_photos(
        sources.load(root, data, layout),
        out,
        cropper,
        size=size,
        format=format,
        workers=workers,
        overwrite=overwrite,
    )
    failed = FailureRate(len(made.failures), made.photos)
    if made.failures:
        first = next(iter(made.failures.values()))
        warn(f"{failed.told('FTA')} photos have no crop (see {out / FAILURES}), first: {first}")
    if as_json:
        print(
            json.dumps(
                {
                    "folder": str(out),
                    "photos": made.photos,
                    "crops": made.crops,
                    "failure_to_acquire": failed.to_dict(),
                    **made.provenance,
                }
            )
        )
        return
    cut = made.photos - len(made.failures)
    print(f"crops:  {made.crops:,} from {cut:,} of {made.photos:,} photos, in {out}")
    print(f"failed: {failed.told('FTA')}")
    print(f"look:   {out / SHEET}")


@app.command()
def synthesize(
    out: Annotated[Path, typer.Argument(help="The output folder.")],
    identities: Annotated[int, typer.Option(help="Number of identities.")] = 100,
    images: Annotated[int, typer.Option(help="Number of images per identity.")] = 10,
    size: Annotated[int, typer.Option(help="Height and width of the images in pixels.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed: the same seed gives the same images.")] = 0,
    pairs: Annotated[
        int,
        typer.Option(
            help="Number of genuine pairs in pairs.csv; the number of impostor pairs is the same."
        ),
    ] = 0,
    format: Annotated[
        Literal["jpg", "png"], typer.Option(help="File format of the images.")
    ] = "jpg",
    workers: Annotated[int, typer.Option(help="Number of worker processes.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Generate synthetic faces. The same seed gives the same images."""
    import json

    from facever.data.synthesize import synthesize as generate

    made = generate(out, identities, images, size, seed, workers, format, pairs)
    if as_json:
        done = {
            "folder": str(out),
            "identities": identities,
            "images": len(made),
            "pairs": 2 * pairs,
        }
        print(json.dumps(done))
        return
    print(f"{len(made):,} images of {identities:,} identities: {out}")
