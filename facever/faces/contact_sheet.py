"""A contact sheet: crops with their photos, and photos without a crop."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facever.core.files import atomic_path
from facever.data.acquisition import box_of, face_columns, landmarks_of
from facever.data.decode import ImageError, decode
from facever.faces.detection import Detector

_SIDE, _MARGIN, _LINE = 150, 8, 14  # pixels
_COLUMNS, _MOST_CUT, _MOST_FAILED = 10, 60, 30
_GREEN, _RED, _INK, _PAPER = (40, 170, 60), (210, 40, 40), (40, 40, 40), (250, 250, 250)

Picture = NDArray[np.uint8]


def write_sheet(
    path: Path,
    cut: Sequence[tuple[str, Path, dict[str, Any]]],
    failed: Sequence[tuple[str, str]],
    detector: Detector,
) -> None:
    """Write a contact sheet of an alignment, as a JPEG picture.

    A sample of all photos, evenly spaced: first photos with the box and the landmarks of the face,
    next to the crop; then photos without a crop, with detected faces and the reason.

    Args:
        path: The output file.
        cut: For each crop: the photo, the crop's file and columns.
        failed: For each photo without a crop: the photo and the reason.
        detector: Detector for the photos without a crop.
    """
    tiles = [_cut(*cut[i]) for i in _spaced(len(cut), _MOST_CUT)]
    rows = [
        _title(f"crops: {len(cut):,} faces, {len(tiles)} shown"),
        *_rows(tiles, _COLUMNS // 2),
    ]
    if failed:
        tiles = [_failed(*failed[i], detector) for i in _spaced(len(failed), _MOST_FAILED)]
        rows += [
            _title(f"no crop: {len(failed):,} photos, {len(tiles)} shown"),
            *_rows(tiles, _COLUMNS),
        ]
    width = max(row.shape[1] for row in rows)
    sheet = np.vstack(
        [
            np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=_PAPER[0])
            for row in rows
        ]
    )
    with atomic_path(path, private=True) as temporary:
        cv2.imwrite(str(temporary), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def drawn(photo: Picture, columns: dict[str, Any], color: tuple[int, int, int] = _GREEN) -> Picture:
    """Return a copy of a photo with the box and the landmarks of a row drawn in.

    Args:
        photo: uint8 [H, W, 3], RGB.
        columns: `box` and `landmarks`, as from `facever.data.acquisition.face_columns`.
        color: RGB.
    """
    copy = photo.copy()
    thick = max(1, round(max(photo.shape[:2]) / 110))
    left, top, width, height = box_of(columns["box"])
    corners = (round(left), round(top)), (round(left + width), round(top + height))
    cv2.rectangle(copy, *corners, color, thick)
    for x, y in landmarks_of(columns["landmarks"]).tolist():
        cv2.circle(copy, (round(x), round(y)), thick, color, -1)
    return copy


def _cut(path: str, crop: Path, columns: dict[str, Any]) -> Picture:
    quality = columns.get("quality")
    said = "" if quality is None else f"quality {quality:.0f}"
    pictures = [_photo(path, [columns], _GREEN), _fitted(decode(crop))]
    return _labelled(np.hstack([*_with_gap(pictures)]), f"{Path(path).name} {said}")


def _failed(path: str, reason: str, detector: Detector) -> Picture:
    return _labelled(_photo(path, None, _RED, detector), Path(path).name, reason)


def _photo(
    path: str,
    faces: Sequence[dict[str, Any]] | None,
    color: tuple[int, int, int],
    detector: Detector | None = None,
) -> Picture:
    try:
        photo = decode(path, unended=[], reduce=True)
    except ImageError:
        return np.full((_SIDE, _SIDE, 3), 225, np.uint8)
    if faces is None:
        seen = detector.detect(photo) if detector is not None else []
        faces = [face_columns(face.box, face.landmarks, face.score, 0) for face in seen]
    for columns in faces:
        photo = drawn(photo, columns, color)
    return _fitted(photo)


def _fitted(picture: Picture) -> Picture:
    """Return an image centred in a square."""
    height, width = picture.shape[:2]
    scale = _SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(picture, size, interpolation=method)
    square: Picture = np.full((_SIDE, _SIDE, 3), _PAPER[0], np.uint8)
    top, left = (_SIDE - size[1]) // 2, (_SIDE - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return square


def _labelled(picture: Picture, name: str, reason: str = "") -> Picture:
    """Return an image with its name below in one line, and a reason in at most two."""
    length = picture.shape[1] // 6
    lines = [name if len(name) <= length else f"...{name[3 - length :]}"]
    lines += textwrap.wrap(reason, length, max_lines=2, placeholder=" ...")
    label = np.full((3 * _LINE + _MARGIN, picture.shape[1], 3), _PAPER[0], np.uint8)
    for i, line in enumerate(lines):
        _write(label, line, (0, _LINE * (i + 1) - 3), 0.33)
    return np.vstack([picture, label])


def _title(text: str) -> Picture:
    row: Picture = np.full((34, 600, 3), _PAPER[0], np.uint8)
    _write(row, text, (_MARGIN, 23), 0.55)
    return row


def _write(picture: Picture, text: str, where: tuple[int, int], size: float) -> None:
    plain = text.encode("ascii", "replace").decode()  # characters available in OpenCV's font
    cv2.putText(picture, plain, where, cv2.FONT_HERSHEY_SIMPLEX, size, _INK, 1, cv2.LINE_AA)


def _rows(tiles: Sequence[Picture], columns: int) -> list[Picture]:
    rows = []
    for first in range(0, len(tiles), columns):
        some = list(tiles[first : first + columns])
        row = np.hstack([*_with_gap([np.empty((some[0].shape[0], 0, 3), np.uint8), *some])])
        rows.append(row)
    return rows


def _with_gap(pictures: Sequence[Picture]) -> list[Picture]:
    gap = np.full((pictures[0].shape[0], _MARGIN, 3), _PAPER[0], np.uint8)
    spaced = [part for picture in pictures for part in (picture, gap)]
    return spaced[:-1]


def _spaced(count: int, most: int) -> list[int]:
    places = np.linspace(0, count - 1, min(count, most)).round().astype(int)
    return [int(place) for place in np.unique(places)]
