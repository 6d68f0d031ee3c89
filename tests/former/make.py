"""Write files by the code that is installed, and what it says of them, into archives.

    git checkout COMMIT  # whose files are wanted
    OMP_NUM_THREADS=1 python -m tests.former.make [evaluation|models|galleries|runs]

The tests beside this file read them with the code of today. Persons, images and vectors are made
up. `made.json` says by what each archive was written.
"""

import argparse
import io
import json
import os
import platform
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.former import evaluation, galleries, models, runs
from tests.former.replay import HERE, processor

Write = Callable[[Path], dict[str, Any]]
"""Fill a folder, and return what `answers.json` is to hold."""

PARTS: dict[str, Write] = {
    "evaluation": evaluation.write,
    "models": models.write,
    "galleries": galleries.write,
    "runs": runs.write,
}


def made_by() -> dict[str, Any]:
    """Return the commit, the versions and the processor."""
    import cv2
    import faiss
    import numpy
    import scipy
    import timm
    import torch

    import facever

    commit = subprocess.run(
        ["git", "log", "-1", "--format=%H", "--", ":/facever"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=True,
    )
    packages = (cv2, faiss, numpy, scipy, timm, torch)
    return {
        "commit": commit.stdout.strip(),
        "versions": {
            "facever": facever.__version__,
            "python": platform.python_version(),
            **{package.__name__: package.__version__ for package in packages},
        },
        "processor": processor(),
    }


def pack(name: str, write: Write) -> None:
    archive = HERE / f"{name}.tar.xz"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        answers = json.dumps(write(folder), indent=1).encode()
        with tarfile.open(archive, "w:xz") as packed:
            for path in sorted(folder.iterdir()):
                packed.add(path, path.name)
            about = tarfile.TarInfo("answers.json")
            about.size = len(answers)
            packed.addfile(about, io.BytesIO(answers))
    known = HERE / "made.json"
    made = json.loads(known.read_text()) if known.exists() else {}
    made[archive.name] = made_by()
    known.write_text(json.dumps(made, indent=2) + "\n")
    print(f"{archive}: {archive.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", nargs="*", choices=[*PARTS, []])
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in parser.parse_args().part or PARTS:
        pack(name, PARTS[name])


if __name__ == "__main__":
    main()
