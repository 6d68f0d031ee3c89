"""What a folder of aligned crops says of itself: its `alignment.json`."""

from pathlib import Path
from typing import Any

from facever.core.json_files import read_json
from facever.errors import DataError

ALIGNMENT = "alignment.json"
FORMAT = 1


def alignment_in(folder: Path) -> dict[str, Any] | None:
    """Return what `facever data align` wrote of a folder; None where it wrote nothing.

    Raises:
        DataError: The file is damaged, or of a later facever.
    """
    path = folder / ALIGNMENT
    if not path.is_file():
        return None
    again = "restore it, or align the photos again (facever data align)"
    try:
        said = read_json(path)
    except (OSError, ValueError, DataError) as error:
        raise DataError(f"{path} is damaged: {again}") from error
    if not isinstance(said, dict) or "facever" not in said:
        return None  # a file of that name by someone else
    if said.get("format") != FORMAT:
        raise DataError(
            f"{path} has format {said.get('format')!r}, and this facever reads {FORMAT}: "
            "update facever, or align the photos again (facever data align)"
        )
    if not isinstance(said.get("alignment"), str):
        raise DataError(f"{path} is damaged (no text 'alignment'): {again}")
    return said
