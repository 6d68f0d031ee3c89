"""The file `alignment.json` of a folder of aligned crops."""

from pathlib import Path
from typing import Any

from facever.core.json_files import read_json
from facever.errors import DataError

ALIGNMENT = "alignment.json"
FORMAT = 1


def alignment_in(folder: Path) -> dict[str, Any] | None:
    """Return the contents of a folder's `alignment.json`; None if it has none.

    Raises:
        DataError: The file is damaged, or was written by a later version of facever.
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
        return None  # a file of that name from another program
    if said.get("format") != FORMAT:
        raise DataError(
            f"{path} has format {said.get('format')!r}, but this version of facever reads "
            f"{FORMAT}: "
            "update facever, or align the photos again (facever data align)"
        )
    if not isinstance(said.get("alignment"), str):
        raise DataError(f"{path} is damaged ('alignment' is missing or not text): {again}")
    return said
