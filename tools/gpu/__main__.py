"""Prove on a machine with a GPU what this repository can only say of it: tools/gpu.sh

Every check compares the device with the CPU, or measures, or is skipped by name; the findings
replace the last section of docs/gpu.md. A check that raises is a failed one, and the others go on.
"""

import argparse
import platform
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import torch

from facever import __version__
from facever.core.files import atomic_path
from tools.gpu import classes, programs, scoring, trainings
from tools.gpu.context import Check, Context, Finding

DOCUMENT = Path(__file__).parents[2] / "docs" / "gpu.md"
HEADING = "## Results\n"
CHECKS: dict[str, Check] = {
    "tests": programs.device_tests,
    "precisions": trainings.precisions,
    "resume": trainings.resume,
    "htg": trainings.htg,
    "prefetching": trainings.prefetching,
    "values": classes.values,
    "scale": classes.scale,
    "pairs": scoring.all_pairs,
    "reranking": scoring.reranking,
    "faiss": scoring.faiss_indexes,
    "nccl": programs.two_gpus,
    "throughput": programs.throughput,
}
PACKAGES = ("torch", "torchvision", "timm", "numpy", "faiss-gpu", "faiss-cpu", "albumentations")


def findings(names: Sequence[str], device: str) -> list[Finding]:
    """Run checks, one after the other, each in a folder of its own."""
    found: list[Finding] = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            try:
                made = CHECKS[name](Context(device, Path(folder)))
            except Exception as error:  # whatever a machine provokes: the other checks go on
                said = (str(error).strip().splitlines() or [""])[0]
                made = [Finding(name, "failed", f"{type(error).__name__}: {said}")]
        for one in made:
            print(f"{one.status:9} {one.name}: {one.said}", flush=True)
        found += made
    return found


def section(found: Sequence[Finding], device: str) -> str:
    """Return the findings as Markdown, with the card and the versions."""
    card = torch.cuda.get_device_name() if device == "cuda" else "no GPU: a trial on the CPU"
    cards = f"{torch.cuda.device_count()} x {card}" if device == "cuda" else card
    versions = ", ".join(f"{name} {version}" for name in PACKAGES if (version := _version(name)))
    lines = [
        HEADING,
        f"`tools/gpu.sh` on {datetime.now(UTC):%Y-%m-%d}: {cards}; CUDA {torch.version.cuda}, "
        f"Python {platform.python_version()}, facever {__version__}, {versions}.",
        "",
        "| check | outcome | seen |",
        "|---|---|---|",
        *(f"| {one.name} | {one.status} | {one.said.replace('|', '/')} |" for one in found),
    ]
    return "\n".join(lines) + "\n"


def write(document: Path, text: str) -> None:
    """Replace the last section of a document."""
    before, heading, _ = document.read_text(encoding="utf-8").partition(HEADING)
    if not heading:
        raise SystemExit(f"{document} has no section '{HEADING.strip()}'")
    with atomic_path(document) as temporary:
        temporary.write_text(before + text, encoding="utf-8")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: a trial")
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=list(CHECKS))
    parser.add_argument("--out", type=Path, default=DOCUMENT, help="the document that is changed")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("error: CUDA is not available: give --device cpu for a trial", file=sys.stderr)
        return 2
    if options.device == "cpu" and options.out == DOCUMENT:
        print(
            "error: --device cpu is a trial: give --out FILE, a copy of the document",
            file=sys.stderr,
        )
        return 2
    found = findings(options.only, options.device)
    write(options.out, section(found, options.device))
    return int(any(one.status == "failed" for one in found))


if __name__ == "__main__":
    sys.exit(main())
