"""Records of an experiment, a file for each (seed, arm), and its command, which can be repeated."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facever.core.console import say
from facever.core.files import write_text
from facever.core.json_files import read_json
from facever.errors import FaceverError, TrainingError
from facever.training.interruption import Interrupted


def record_file(folder: Path, arm: str, seed: int) -> Path:
    """Return where a record is, or will be."""
    return folder / arm / f"seed-{seed}.json"


def read_records(folder: Path, arms: Iterable[str]) -> dict[str, dict[int, dict[str, Any]]]:
    """Return the records that are there, by arm and seed.

    Raises:
        TrainingError: There is none.
    """
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for arm in arms:
        for file in sorted((folder / arm).glob("seed-*.json")):
            record = dict(read_json(file))
            found.setdefault(arm, {})[record["seed"]] = record
    if not found:
        raise TrainingError(f"no records in {folder}")
    return found


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser of what every experiment of trainings is given."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--table", action="store_true", help="tables of what is there, no training")
    return parser


@contextmanager
def resumable() -> Iterator[None]:
    """End the process after a stop or an error, with one line that says so."""
    try:
        yield
    except Interrupted as stop:
        say(f"stopped; the same command goes on ({stop})")
        sys.exit(stop.exit_status)
    except FaceverError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def publish(folder: Path, text: str) -> None:
    """Write the tables of an experiment and print them."""
    write_text(folder / "tables.md", text)
    print(text)
