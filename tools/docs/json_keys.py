"""The page of JSON keys: what `--json` and `to_dict` give, from the classes of the results."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import facever
from facever.render.values import Record
from tools.docs.docstrings import attributes_of, text_of
from tools.docs.markdown import code, escaped, table

COMMANDS = {
    "Answer": "gallery search",
    "Audited": "gallery audit",
    "BakeoffResult": "bakeoff",
    "CalibrationResult": "evaluate calibration",
    "ComparisonResult": "evaluate compare",
    "Diagnosis": "doctor",
    "EmbeddingContents": "data inspect, of a file of embeddings",
    "Enrollment": "gallery enroll",
    "Equivalence": "gallery accept-equivalent",
    "Exported": "export",
    "Finding": "gallery check",
    "GalleriesResult": "evaluate identification --protocol ijb-1n",
    "GalleryCopy": "gallery copy",
    "GalleryInfo": "gallery info",
    "HeadCard": "heads",
    "IdentificationResult": "evaluate identification",
    "IndexTuning": "gallery tune",
    "Inspection": "data inspect",
    "Keypoints": "figure keypoints",
    "Migration": "gallery migrate",
    "PairVerification": "verify",
    "PrototypeStructure": "figure prototypes",
    "Quickstart": "quickstart",
    "RbfCurves": "figure rbf",
    "RetrievalComparison": "evaluate compare --retrieval",
    "RetrievalResult": "evaluate retrieval",
    "SearchResult": "gallery search",
    "StoredImage": "gallery images",
    "TrainingPlan": "train --dry-run",
    "TransferResult": "evaluate transfer",
    "TrialContents": "data inspect, of a file of scores or pairs",
    "Use": "gallery uses",
    "Verification": "gallery verify",
    "VerificationResult": "evaluate verification, evaluate scores",
}
"""Classes whose JSON a command prints, and that command."""

SHARED = {
    "closest": "The most similar pairs of prototypes.",
    "cmc": "Share of probes whose person is among the first r, by requested rank r.",
    "cmc_curve": "The same at more ranks.",
    "interval": "Interval of `difference`.",
    "llrs": "Log-likelihood ratios at `scores`.",
    "mean": "Mean rates of both galleries.",
    "method": "How the map was fitted: logistic or isotonic.",
    "operating_points": "Rates and counts at each requested rate that the trials support.",
    "photos": "The public model on photos, if any were found; else null.",
    "protocol": "The question: the kind of evaluation, or the protocol of the trials.",
    "scores": "Scores at which the map is given.",
    "search": "Results of the searches in the gallery.",
    "verify": "Results of the verification of pairs.",
    "with_failures": "The measures in which failed images count as errors.",
}
"""Meanings of keys that no attribute documents."""

_HEAD = """# JSON keys

Every command that prints a result accepts `--json`: one JSON value on the standard output; messages
go to the standard error. The keys are those of `.to_dict()` of the same result in Python. Arrays
are lists; NaN, infinity and a value that does not exist are `null`.

Rates are from 0 to 1, scores are those of the result's `similarity`, times are in seconds, rows are
counted from 0.
"""


def page() -> str:
    """Return the page in Markdown."""
    kinds = {kind.__name__: kind for kind in records()}
    lines = [_HEAD]
    for name in sorted(kinds):
        lines += [f"## {name}", ""]
        for paragraph in text_of(kinds[name]):
            lines += [escaped(paragraph), ""]
        if name in COMMANDS:
            lines += [f"Printed by `facever {COMMANDS[name].partition(',')[0]} --json`.", ""]
        rows = [
            (code(key), _linked(said, kinds), escaped(meaning))
            for key, said, meaning in keys_of(kinds[name])
        ]
        lines += table(("key", "type", "meaning"), rows)
    return "\n".join(lines)


def records() -> list[type[Record]]:
    """Return every class of the package whose fields are JSON."""
    folder = Path(facever.__file__).parent
    for path in folder.rglob("*.py"):
        if re.search(r"^class .*\((Record|Result)\b", path.read_text(), re.MULTILINE):
            import_module(".".join(("facever", *path.relative_to(folder).with_suffix("").parts)))
    kinds = [kind for kind in _below(Record) if is_dataclass(kind)]
    ours = [kind for kind in kinds if kind.__module__.startswith("facever.")]
    return [kind for kind in ours if not kind.__module__.endswith(".former")]


def keys_of(kind: type) -> Iterator[tuple[str, str, str]]:
    """Yield each JSON key of a class with its type and meaning."""
    words = getattr(kind, "json_keys", "").split() or [one.name for one in fields(kind)]
    for word in words:
        key, _, path = word.partition("=")
        said, meaning = _attribute(kind, (path or key).split("."))
        yield key, said, meaning or attributes_of(kind).get(key, SHARED.get(key, ""))


def _below(kind: type) -> Iterator[type]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def _attribute(kind: type, path: list[str]) -> tuple[str, str]:
    """Return the type and the meaning of an attribute, or of one of an attribute."""
    name, *rest = path
    member = getattr(kind, name, None)
    if isinstance(member, property):
        said, meaning = member.fget.__annotations__.get("return", ""), text_of(member)[0]
    else:
        declared: dict[str, Any] = {}
        for one in reversed(kind.__mro__):
            declared |= inspect.get_annotations(one)
        said, meaning = declared.get(name, ""), attributes_of(kind).get(name, "")
    inner = next((one for one in _below(Record) if one.__name__ == _text(said)), None)
    if rest and inner is not None:
        return _attribute(inner, rest)
    return ("", meaning) if rest else (_text(said), meaning)


def _text(annotation: Any) -> str:
    text = (
        annotation.__name__
        if isinstance(annotation, type) and "[" not in str(annotation)
        else str(annotation)
    )
    return re.sub(r"\b(\w+\.)+(?=\w)", "", text.replace("'", ""))


def _linked(said: str, kinds: dict[str, type]) -> str:
    """Return a type in Markdown, with links to the classes of this page."""
    names = [name for name in re.findall(r"\w+", said) if name in kinds]
    links = [f"[{name}](#{name.lower()})" for name in names]
    return ", ".join(links) if links else code(said)
