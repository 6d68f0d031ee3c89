"""`facever models add`: make an ONNX model usable by facever."""

import re
from pathlib import Path
from typing import Annotated

import typer

from facever.cli.options import AsJson

_NUMBERS = re.compile(r"[\s,x]+")


def add(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="The model.")],
    out: Annotated[
        Path | None, typer.Option(help="Output file NAME.onnx: the model with its card.")
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            help="Take omitted values from insightface, or from a public model such as sface."
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Size of the model's input in pixels: 112, or HEIGHTxWIDTH. [default: from the "
            "file]"
        ),
    ] = None,
    color: Annotated[
        str | None, typer.Option(help="Colour order of the input: rgb, bgr or grey. [default: rgb]")
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            help="Mean to subtract from pixel values (0 to 255): one number, or three in the "
            "order of --color."
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(
            help="Standard deviation to divide by, on the scale 0 to 255; one number or three, "
            "like --mean."
        ),
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="Axes of the input: NCHW or NHWC. [default: from the file]")
    ] = None,
    alignment: Annotated[
        str | None,
        typer.Option(
            help="Alignment of faces in photos: arcface-112 (five points), or none (the model "
            "takes crops). [default: none]"
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            help="Name of the output with the embedding, if the model has several outputs."
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="Metric that compares the embeddings: cosine, euclidean or dot. [default: cosine]"
        ),
    ] = None,
    interpolation: Annotated[
        str | None,
        typer.Option(
            help="Interpolation for resizing images: area, bilinear or bicubic. [default: area]"
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model in the card.")] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence stated by the model's authors.")
    ] = None,
    trained_on: Annotated[
        str | None, typer.Option(help="Data that the model was trained on.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file at --out.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the card that facever needs into an ONNX file and try the model on a few images.

    Options have priority over --like, and --like over the file's own metadata.
    """
    import json
    from dataclasses import asdict

    from facever.cli.gallery.shared import print_fields
    from facever.errors import ConfigError
    from facever.models.loading import refuse_weights
    from facever.models.onnx.adding import add_model

    refuse_weights(file)
    if out is None:
        raise ConfigError("no output file: give --out NAME.onnx")
    added = add_model(
        file,
        out,
        like=like,
        overwrite=overwrite,
        size=_sides(size),
        color=color,
        mean=_numbers("mean", mean),
        std=_numbers("std", std),
        layout=layout,
        alignment=alignment,
        output=output,
        metric=metric,
        interpolation=interpolation,
        name=name,
        licence=licence,
        trained_on=trained_on,
    )
    card = added.card
    if as_json:
        told = {
            "model": str(added.path),
            "dimension": added.dimension,
            "fingerprint": added.fingerprint,
            "images_per_second": round(added.images_per_second, 1),
            "card": asdict(card),
        }
        print(json.dumps(told))
        return
    height, width = card.size
    print_fields(
        {
            "model": added.path,
            "input": f"'{card.input}' {height} x {width} {card.color}, mean {_shown(card.mean)}, "
            f"std {_shown(card.std)}, {card.layout}",
            "alignment": card.alignment,
            "output": f"'{card.output}', {added.dimension} components, metric {card.metric}",
            "speed": f"{added.images_per_second:.1f} images per second on one core",
            "fingerprint": added.fingerprint,
            "next": f"facever embed {added.path} DATA --out EMBEDDINGS",
        }
    )


def _sides(text: str | None) -> tuple[int, int] | None:
    numbers = _numbers("size", text)
    if numbers is None:
        return None
    from facever.errors import ConfigError

    if len(numbers) > 2 or any(one != int(one) for one in numbers):
        raise ConfigError(f"--size is '{text}' (allowed: 112, or HEIGHTxWIDTH such as 256x128)")
    return int(numbers[0]), int(numbers[-1])


def _numbers(option: str, text: str | None) -> list[float] | None:
    if text is None:
        return None
    from facever.errors import ConfigError

    try:
        numbers = [float(word) for word in _NUMBERS.split(text.strip())]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2, 3) or (len(numbers) == 2 and option != "size"):
        raise ConfigError(f"--{option} is '{text}' (allowed: numbers, such as 112 or 127.5)")
    return numbers


def _shown(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in (values if len(set(values)) > 1 else values[:1]))
