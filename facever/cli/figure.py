"""`facever figure`: draw embeddings, prototypes and heads."""

from pathlib import Path
from typing import Annotated, Any

import typer

from facever.cli.options import DataFolder, Device, HeadsConfig, Overrides, Picture
from facever.cli.several import is_head, is_number, several

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Draw features, prototypes and heads: a .html page, or a .png, .svg or .pdf picture.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")]


@app.callback()
def _root() -> None:
    """Draw features, prototypes and heads."""


@app.command(cls=several("--heads", is_head))
def features(
    config: HeadsConfig,
    overrides: Overrides = None,
    heads: Annotated[
        list[str] | None,
        typer.Option(help="Heads as for facever bakeoff: softmax rbf:gamma=2 softmax+center ..."),
    ] = None,
    identities: Annotated[
        int, typer.Option(help="Number of identities to draw: those with the most images.")
    ] = 10,
    out: Picture = Path("features.html"),
    runs: Annotated[
        Path | None,
        typer.Option(help="The folder for the trainings (default: runs/NAME-OF-CONFIG-features)."),
    ] = None,
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """Train a two-dimensional embedding with each head; draw held-out images side by side."""
    from facever.render.blocks import Section, Table
    from facever.render.text import sections_text
    from facever.studies.bakeoff.contenders import read_configs
    from facever.studies.figures.features import learn_features
    from facever.studies.figures.figure_file import check_suffix, write_figures
    from facever.training.recipes import recipe_path

    check_suffix(out)
    path = recipe_path(config)
    contenders = read_configs(path, overrides or [], heads or [])
    folder = runs or Path("runs") / f"{path.stem}-features"
    found = learn_features(contenders, folder, identities=identities, data=data)
    headers = ["head", "metric", "images", "nearest to their own prototype"]
    rows = [
        [
            one.label,
            one.metric,
            f"{len(one.points):,}",
            "no prototypes" if one.accuracy is None else f"{one.accuracy:.2%}",
        ]
        for one in found
    ]
    described = [
        Section("figures", "Figures", [*(one.figure() for one in found), Table("", headers, rows)])
    ]
    write_figures(
        out,
        described,
        title="Two-dimensional features",
        verdict=f"{len(found)} heads, {len(found[0].identities)} identities, two dimensions per "
        "image",
        meaning="Each point is a held-out image, each colour an identity.",
    )
    values = [
        {
            "head": one.label,
            "metric": one.metric,
            "run": str(one.run),
            "images": len(one.points),
            "identities": one.identities,
            "accuracy": one.accuracy,
        }
        for one in found
    ]
    _print({"figure": str(out), "heads": values}, sections_text(described), as_json)


@app.command()
def prototypes(
    run: Annotated[Path, typer.Argument(help="A run folder made by facever train.")],
    identities: Annotated[
        int, typer.Option(help="Maximum number of identities to draw: those with the most images.")
    ] = 100,
    matrix: Annotated[
        Path | None,
        typer.Option(
            help="A CSV of similarities to compare with, names in the first row and column."
        ),
    ] = None,
    permutations: Annotated[
        int, typer.Option(help="Number of permutations of the Mantel test.")
    ] = 9999,
    seed: Annotated[int, typer.Option(help="Seed of the permutations.")] = 0,
    out: Picture = Path("prototypes.html"),
    as_json: AsJson = False,
) -> None:
    """Draw the similarity matrix of a run's prototypes, clustered. Compare it with another
    matrix.
    """
    from facever.studies.figures.figure_file import check_suffix, write_figures
    from facever.studies.figures.prototypes import prototype_structure

    check_suffix(out)
    found = prototype_structure(
        run, identities=identities, matrix=matrix, permutations=permutations, seed=seed
    )
    agreement = str(found.agreement or "no other matrix given")
    write_figures(
        out,
        found.describe(),
        title=f"Prototypes of {run}",
        verdict=f"{len(found.identities)} of {found.of} prototypes of head {found.head}",
        meaning=f"Similarity is {found.score}. Agreement: {agreement}.",
    )
    _print({"figure": str(out), **found.to_dict()}, found.to_text(), as_json)


@app.command(cls=several("--gamma", is_number, several("--scale", is_number)))
def rbf(
    gamma: Annotated[
        list[float] | None,
        typer.Option(help="Kernel widths gamma, one or several. [default: 1 2 4 8]"),
    ] = None,
    scale: Annotated[
        list[float] | None,
        typer.Option(help="Scales s of the kernel K, one or several. [default: 2 4 8 14]"),
    ] = None,
    identities: Annotated[int, typer.Option(help="Number of identities (C).")] = 10,
    out: Picture = Path("rbf.html"),
    as_json: AsJson = False,
) -> None:
    """Draw the RBF head's kernel K and probability as functions of the distance."""
    from facever.studies.figures.figure_file import check_suffix, write_figures
    from facever.studies.figures.kernel import rbf_curves

    check_suffix(out)
    found = rbf_curves(gamma or [1.0, 2.0, 4.0, 8.0], scale or [2.0, 4.0, 8.0, 14.0], identities)
    write_figures(
        out,
        found.describe(),
        title="RBF softmax",
        verdict="kernel K and probability of the true identity as functions of the distance",
        meaning=f"{identities} identities; the last column is the lowest possible loss.",
    )
    _print({"figure": str(out), **found.to_dict()}, found.to_text(), as_json)


@app.command()
def keypoints(
    model: Annotated[Path, typer.Argument(help="A run folder or a .safetensors file.")],
    images: Annotated[list[str], typer.Argument(help="Images, or one folder, table or data set.")],
    count: Annotated[int, typer.Option(help="Maximum number of images.")] = 6,
    out: Picture = Path("keypoints.png"),
    data: DataFolder = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Draw the attention of each keypoint of a model trained with model.local."""
    from facever.studies.figures.figure_file import check_suffix, write_figures
    from facever.studies.figures.keypoints import keypoints_of

    check_suffix(out)
    found = keypoints_of(model, images, count=count, data=data, device=device)
    write_figures(
        out,
        found.describe(),
        title=f"Keypoints of {model}",
        verdict=f"{len(found.keypoints)} keypoints on {len(found.paths)} images",
        meaning="Spread is the share of the image that a keypoint covers; row and column are "
        "between 0 and 1.",
    )
    _print({"figure": str(out), **found.to_dict()}, found.to_text(), as_json)


def _print(values: dict[str, Any], text: str, as_json: bool) -> None:
    import json

    from facever.core.console import say

    print(json.dumps(values, allow_nan=False) if as_json else text)
    say(f"written: {values['figure']}")
