"""IJB-B and IJB-C as insightface distributes them: `loose_crop/1.jpg` and the lists in `meta/`.

The lists of IJB-C are `ijbc_face_tid_mid.txt`, `ijbc_name_5pts_score.txt`, and for 1:N
`ijbc_1N_gallery_G1.csv`, `_G2.csv` and `ijbc_1N_probe_mixed.csv`; those of IJB-B begin with `ijbb_`
and its galleries are `S1` and `S2`. The pair list is read by `facever.data.template_pairs`.

Reference:
    Whitelam et al.: IARPA Janus Benchmark-B face dataset, CVPR Workshops 2017. Maze et al.: IARPA
    Janus Benchmark-C: face dataset and protocol, ICB 2018. The lists: insightface, evaluation/IJB.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from facever.core.files import read_regular
from facever.core.text import canonical
from facever.data.acquisition import POINTS, OnError
from facever.data.manifest import Manifest
from facever.data.tables import check_table, read_table, shortened
from facever.errors import DataError

GALLERIES = ("G1", "G2", "S1", "S2")
"""Values of `subset` for the templates of the 1:N galleries; IJB-B calls them S1 and S2."""

PROBES = "probe"
"""Value of `subset` for the templates of the 1:N probes."""

_IMAGES, _LISTS = "loose_crop", "meta"
_SETS = {"ijbb": "IJB-B", "ijbc": "IJB-C"}
_TEMPLATES, _POINTS = "face_tid_mid.txt", "name_5pts_score.txt"
_SUBSETS = {f"1N_gallery_{name}.csv": name for name in GALLERIES} | {"1N_probe_mixed.csv": PROBES}
_TEMPLATE, _SUBJECT = "TEMPLATE_ID", "SUBJECT_ID"


def detect(root: Path) -> bool:
    """Return whether `root` has the list of templates of IJB-B or IJB-C in `meta`."""
    return bool(_found(root))


def read(root: Path, on_error: OnError = "skip") -> Manifest:  # noqa: ARG001
    """Return a row for each line of `face_tid_mid.txt`, in its order.

    Columns: `template`, `media`, `landmarks` and `detection_score` (of the detector that found
    them). If there are 1:N lists, `subset` ("G1" and "G2", for IJB-B "S1" and "S2", or "probe") and
    `identity` (the subject) of the templates that they name; other templates have neither.

    Raises:
        DataError: A list is missing or has an invalid line, an image or its landmarks are missing,
            an image is twice in a template, or a 1:N list names a template without images, a
            template of two subjects, or one that is also in another 1:N list.
    """
    found = _found(root)
    if len(found) != 1:
        wanted = " or ".join(f"{_LISTS}/{name}_{_TEMPLATES}" for name in found or _SETS)
        problem = "has the lists of both, IJB-B and IJB-C" if found else "has no list of templates"
        raise DataError(f"IJB: {root} {problem} ({wanted}): give a folder with one of them")
    lists = {name: root / _LISTS / f"{found[0]}_{name}" for name in (_TEMPLATES, _POINTS)}
    for path in lists.values():
        if not path.is_file():
            raise DataError(f"IJB: no list {path}: copy it from the data set's meta folder")
    frame = _templates(lists[_TEMPLATES])
    _check_images(root / _IMAGES, frame["image"], lists[_TEMPLATES])
    points = _landmarks(lists[_POINTS])
    lost = frame["image"][~frame["image"].isin(points.index)]
    if len(lost):
        raise DataError(
            f"IJB: {lists[_POINTS]} has no landmarks of {lost.nunique():,} images of "
            f"{lists[_TEMPLATES].name}, first {lost.iloc[0]}: copy the complete list"
        )
    frame = frame.join(points, on="image")
    subjects = _subjects(root, found[0], set(frame["template"]))
    if len(subjects):
        frame = frame.join(subjects, on="template")
    frame.insert(0, "path", _IMAGES + "/" + frame.pop("image"))
    return Manifest(frame, root, found[0])


def _found(root: Path) -> list[str]:
    return [name for name in _SETS if (root / _LISTS / f"{name}_{_TEMPLATES}").is_file()]


def _lines(path: Path, fields: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the fields of each line that is not empty.

    Raises:
        DataError: A line does not have as many fields as `fields`, or there is none.
    """
    count, number = len(fields.split(", ")), 0
    for number, line in enumerate(read_regular(path).decode(errors="replace").split("\n"), 1):
        words = line.split()
        if words and len(words) != count:
            raise DataError(
                f"IJB: {path}, line {number}: {len(words)} fields, expected {count} ({fields}); "
                "copy the complete list"
            )
        if words:
            yield number, words


def _templates(path: Path) -> pd.DataFrame:
    """Return image, template and media of each line."""
    rows = []
    for number, (image, template, media) in _lines(path, "image, template, media"):
        if not (_is_number(template) and _is_number(media)):
            raise DataError(
                f"IJB: {path}, line {number}: template {template!r} and media {media!r} must be "
                "whole numbers"
            )
        rows.append((image, str(int(template)), str(int(media))))
    if not rows:
        raise DataError(f"IJB: {path} is empty: copy the complete list")
    frame = pd.DataFrame(rows, columns=["image", "template", "media"])
    twice = frame.duplicated(["image", "template"])
    if twice.any():
        first = frame[twice].iloc[0]
        raise DataError(
            f"IJB: {path}: image {first['image']} is twice in template {first['template']} "
            f"({int(twice.sum()):,} such lines): remove the repeated lines"
        )
    return frame


def _check_images(folder: Path, images: "pd.Series[str]", path: Path) -> None:
    """Raise DataError if listed images are not files of the folder."""
    if not folder.is_dir():
        raise DataError(f"IJB: no folder {folder} with the images: copy it beside {_LISTS}")
    with os.scandir(folder) as entries:
        there = {entry.name for entry in entries}
    lost = [name for name in images.unique() if name not in there]
    if lost:
        raise DataError(
            f"IJB: {path} names {len(lost):,} images that are not in {folder}: "
            f"{shortened(lost, most=3)}; copy all images"
        )


def _landmarks(path: Path) -> pd.DataFrame:
    """Return landmarks ("x y" of five points) and detection_score by image."""
    fields = ", ".join(["image", *[f"x{k}, y{k}" for k in range(1, POINTS + 1)], "score"])
    images, cells, numbers, lines = [], [], [], []
    for number, words in _lines(path, fields):
        images.append(words[0])
        cells.append(" ".join(words[1:-1]))
        numbers.append(words[1:])
        lines.append(number)
    values = _finite(numbers, lines, path)
    made = pd.DataFrame({"landmarks": cells, "detection_score": values[:, -1]}, index=images)
    twice = made.index.duplicated()
    if twice.any():
        raise DataError(
            f"IJB: {path} has two lines of {made.index[twice][0]} ({int(twice.sum()):,} repeated "
            "lines): remove one of them"
        )
    return made


def _finite(rows: list[list[str]], lines: list[int], path: Path) -> npt.NDArray[np.float64]:
    """Return the numbers of the lines, float64 [N, 11]."""
    try:
        values = np.array(rows, np.float64).reshape(len(rows), 2 * POINTS + 1)
    except ValueError:
        values = np.array([[_number(word) for word in words] for words in rows])
    wrong = ~np.isfinite(values).all(axis=1)
    if wrong.any():
        at = int(wrong.argmax())
        raise DataError(
            f"IJB: {path}, line {lines[at]}: landmarks and score must be numbers, found "
            f"'{' '.join(rows[at])}'"
        )
    return values


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")


def _subjects(root: Path, name: str, templates: set[str]) -> pd.DataFrame:
    """Return identity and subset by template, from the 1:N lists that exist."""
    parts = [
        _one_subject(path, templates).assign(subset=subset)
        for file, subset in _SUBSETS.items()
        if (path := root / _LISTS / f"{name}_{file}").is_file()
    ]
    if not parts:
        return pd.DataFrame()
    every = pd.concat(parts)
    twice = every.index.duplicated()
    if twice.any():
        template = every.index[twice][0]
        places = " and ".join(every["subset"][[template]])
        raise DataError(
            f"IJB: template {template} is in the 1:N lists {places} of {root / _LISTS} "
            f"({int(twice.sum()):,} such templates): it would be searched for in itself"
        )
    return every


def _one_subject(path: Path, templates: set[str]) -> pd.DataFrame:
    """Return the subject of each template of a 1:N list, as identity by template."""
    table = check_table(read_table(path), [_TEMPLATE, _SUBJECT], str(path))
    wrong = ~table[_TEMPLATE].map(_is_number)
    if wrong.any():
        raise DataError(
            f"IJB: {path}, row {int(wrong.argmax()) + 1}: {_TEMPLATE} is "
            f"'{table[_TEMPLATE][wrong].iloc[0]}', not a whole number"
        )
    named = pd.DataFrame(
        {
            "template": table[_TEMPLATE].map(lambda word: str(int(word))),
            "identity": table[_SUBJECT].map(canonical),
        }
    ).drop_duplicates()
    twice = named["template"].duplicated()
    if twice.any():
        template = named["template"][twice].iloc[0]
        people = " and ".join(named["identity"][named["template"] == template])
        raise DataError(f"IJB: {path}: template {template} has two subjects, {people}")
    lost = [name for name in named["template"] if name not in templates]
    if lost:
        raise DataError(
            f"IJB: {path} names {len(lost):,} templates that have no image in {_TEMPLATES}: "
            f"{shortened(lost, most=3)}"
        )
    return named.set_index("template")


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal()
