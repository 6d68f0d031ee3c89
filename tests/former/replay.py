"""Ask `facever` in this process, and compare what it says with what former code said.

A question is the words of a command, typed in a folder with the files that the former code wrote.
Its record holds the words, the exit status, what was printed as JSON (or as lines of text), and the
JSON files that were written.
"""

import io
import json
import math
import platform
import re
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

from facever.__main__ import main

HERE = Path(__file__).parent
FOLDER = "FOLDER"
"""What stands in a record for the folder in which a question was asked."""

PASSING = {"created", "started", "seconds", "build_seconds", "probe_seconds", "latency_seconds"}
PASSING |= {"threads"}
"""Keys whose values differ from time to time, or with the environment."""

REWORDED: dict[str, str] = {
    "6 people are searched and the operating point was measured with 16: it is on the safe "
    "side, fewer strangers pass": "6 people are searched, fewer than the 16 of the operating "
    "point's measurement: the FPIR is lower than stated",
    "8 people are searched and the operating point was measured with 16: it is on the safe "
    "side, fewer strangers pass": "8 people are searched, fewer than the 16 of the operating "
    "point's measurement: the FPIR is lower than stated",
    "index 'IVF4,Flat' was trained on 64 vectors; FAISS advises 39 for each of its 4 centroids, "
    "156": "index 'IVF4,Flat' was trained on 64 vectors; FAISS recommends 39 for each of its 4 "
    "centroids, 156",
    "scores only: there is no 1:1 operating point to decide by": "scores only: the gallery has "
    "no 1:1 operating point",
    "scores only: there is no 1:N operating point to decide by": "scores only: the gallery has "
    "no 1:N operating point",
}
"""Texts that were changed on purpose since: what former code said, and what is said instead."""

PHRASES = (
    ("genuine trials without exception, taken as", "genuine trials with equal outcome, counted as"),
    ("trials without exception, taken as", "trials with equal outcome, counted as"),
    (r"^(\d+) without exception, taken as", r"\1 trials with equal outcome, counted as"),
    (r"(counted as \d+ independent) ones", r"\1 trials"),
    ("trials, one a person", "trials, one per person"),
    ("trials, one for two people", "trials, one per two people"),
    (r"(rule of three: \S+; \S+) were all", r"\1 if all were"),
    (
        "^too narrow where trials share identities: it takes them for independent$",
        "too narrow if trials share identities: it assumes independent trials",
    ),
    (
        "^too narrow where images of one person fail together: it takes them for independent$",
        "too narrow if images of one person fail together: it assumes independent images",
    ),
    (
        "intervals take trials for independent and are too narrow where they share",
        "intervals assume independent trials and are too narrow if trials share",
    ),
    (
        "rates on the people by whom a threshold was chosen flatter",
        "rates on the people that a threshold was chosen on are too optimistic",
    ),
    (r"; choices were made on (\d+) of them", r"; \1 of them were used for selection"),
)
"""Phrases in texts that were changed on purpose since: patterns, and what is said instead."""

SAFELY: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""How archives are unpacked; Python before 3.11.4 has no filter."""

RELATIVE, ABSOLUTE = 1e-6, 1e-9
"""How far floating-point numbers may be from those of former code."""


def unpack(archive: str, folder: Path) -> Path:
    """Unpack an archive of this folder; galleries in it are their owner's only."""
    with tarfile.open(HERE / archive) as packed:
        packed.extractall(folder, **SAFELY)
    for path in folder.rglob("gallery.db"):
        path.parent.chmod(0o700)
    for path in with_paths(folder):
        path.write_text(path.read_text().replace(FOLDER, str(folder)))
    return folder


def with_paths(folder: Path) -> Iterator[Path]:
    """Yield the files that name the folder they were written in."""
    for pattern in ("runs/*/config.yaml", "embeddings*/meta.json"):
        yield from folder.glob(pattern)


def same_machine(archive: str) -> bool:
    """Return whether an archive was written by this kind of processor, and this torch.

    Archives that name no family and model of their processor never were.
    """
    import torch

    made = json.loads((HERE / "made.json").read_text())[archive]
    return bool(made["processor"] == processor() and made["versions"]["torch"] == torch.__version__)


def records(archive: str) -> dict[str, dict[str, Any]]:
    """Return what former code said, by the names of the questions."""
    with tarfile.open(HERE / archive) as packed:
        file = packed.extractfile("answers.json")
        assert file is not None
        return dict(json.load(file))


def ask(words: Sequence[str], folder: Path, writes: Sequence[str] = ()) -> dict[str, Any]:
    """Run a command of facever in a folder, and return its record."""
    out = io.StringIO()
    status: Any = None
    with chdir(folder), redirect_stdout(out), patch.object(sys, "argv", ["facever", *words]):
        try:
            main()
        except SystemExit as end:
            status = end.code
    text = out.getvalue()
    said = json.loads(text) if text.startswith(("{", "[")) else text.splitlines()
    wrote = {name: json.loads((folder / name).read_text()) for name in writes}
    record = {"words": list(words), "status": status or 0, "said": said, "wrote": wrote}
    return json.loads(json.dumps(record).replace(str(folder.resolve()), FOLDER))


def again(record: dict[str, Any], folder: Path) -> list[str]:
    """Ask a recorded question again; return where the answer differs."""
    return list(differences(record, ask(record["words"], folder, list(record["wrote"]))))


ADDED = {
    "acquisition",
    "alignment",
    "box",
    "camera",
    "crop",
    "crops",
    "duplicates_unnamed",
    "face",
    "faces",
    "attempts",
    "failed",
    "failure_rates",
    "interval",
    "keep_crops",
    "rate",
    "failure_to_acquire",
    "failure_to_enroll",
    "images",
    "photos",
    "equivalents",
    "screen",
    "failure_to_compare",
    "cmc_intervals",
    "distances",
    "miss_interval",
    "miss_rate",
    "template_counts",
    "templates",
    "frozen_epochs",
    "pairing",
    "probe",
    "probes",
    "taken",
    "unnamed",
    "without_identity",
}
"""Keys that came later: of photos, int8 copies, equivalent models, images without identity, failed
comparisons, settings of models, miss rates of operating points, pooled tracks, cameras and times of
images, kept crops."""


def differences(
    before: Any, now: Any, where: str = "", relative: float = RELATIVE
) -> Iterator[str]:
    """Yield where two values of JSON differ: floats by more than `relative`, all else at all.

    Keys of objects must have the same order too; only those of `ADDED` may be new.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        kept = [key for key in now if key in before or key not in ADDED]
        if list(before) != kept:
            yield f"{where}: keys {list(before)}, now {kept}"
        for key in before:
            if key in now and key not in PASSING:
                yield from differences(before[key], now[key], f"{where}.{key}", relative)
    elif isinstance(before, list) and isinstance(now, list):
        if len(before) != len(now):
            yield f"{where}: {len(before)} values, now {len(now)}"
        for place, pair in enumerate(zip(before, now, strict=False)):
            yield from differences(*pair, f"{where}[{place}]", relative)
    elif isinstance(before, float) and isinstance(now, float):
        if not math.isclose(before, now, rel_tol=relative, abs_tol=ABSOLUTE):
            yield f"{where}: {before!r}, now {now!r}"
    elif isinstance(before, str) and isinstance(now, str):
        if reworded(before) != now:
            yield f"{where}: {before!r}, now {now!r}"
    elif type(before) is not type(now) or before != now:
        yield f"{where}: {before!r}, now {now!r}"


def reworded(text: str) -> str:
    """Return what is said now in place of a text of former code."""
    text = REWORDED.get(text, text)
    for pattern, phrase in PHRASES:
        text = re.sub(pattern, phrase, text)
    return text


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute by one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def processor() -> str:
    """Return the processor's name, family and model, which the last bits of results depend on.

    The name alone does not do: "AMD EPYC" is what virtual machines of several generations say.
    """
    lines = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    told = {key.strip(): value.strip() for key, _, value in lines}
    if "model name" not in told:
        return platform.machine()
    return f"{told['model name']}, family {told.get('cpu family')}, model {told.get('model')}"
