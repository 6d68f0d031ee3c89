"""Recipes: the configurations that come with the package, `configs/` of the project."""

from dataclasses import dataclass
from pathlib import Path

from facever.core.files import read_regular
from facever.errors import ConfigError, nearest

FOLDER = Path(__file__).parents[1] / "recipes"
"""In a wheel a folder, in a checkout a link to `configs/`."""


@dataclass(frozen=True)
class Recipe:
    """A configuration of a training.

    Attributes:
        name: What `facever train` takes.
        summary: What it trains, one line.
        path: Its file.
    """

    name: str
    summary: str
    path: Path

    def to_dict(self) -> dict[str, str]:
        """Return JSON values."""
        return {"name": self.name, "summary": self.summary, "path": str(self.path)}


def recipes() -> list[Recipe]:
    """Return the recipes by name. The first line of a file, a comment, is its summary."""
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        first = read_regular(path).decode().partition("\n")[0]
        found.append(Recipe(path.stem, first.lstrip("# ").strip(), path))
    return found


def recipe_path(recipe: str | Path) -> Path:
    """Return the file of a configuration that is given as a file or as the name of a recipe.

    Raises:
        ConfigError: Neither a file nor a recipe; names the nearest ones.
    """
    path = Path(recipe)
    if path.is_file():
        return path
    names = [one.stem for one in FOLDER.glob("*.yaml")]
    if str(recipe) in names:
        return FOLDER / f"{recipe}.yaml"
    raise ConfigError(
        f"no configuration file and no recipe '{recipe}'{nearest(path.stem, names)} "
        f"(recipes: {', '.join(sorted(names))})"
    )
