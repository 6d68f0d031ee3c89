"""Photos become a folder of aligned crops."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from facever.data.acquisition import landmarks_of
from facever.data.decode import decode
from facever.data.manifest import Manifest
from facever.data.readers import read
from facever.errors import ConfigError, DataError
from facever.faces import Face, FaceCropper, align
from facever.faces.aligned_folder import align_photos

from .conftest import Placed, face_at

RANDOM = np.random.default_rng(0)


def photo(path: Path, blank: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = RANDOM.integers(0, 256, (200, 240, 3), np.uint8)
    cv2.imwrite(str(path), np.zeros_like(noise) if blank else cv2.GaussianBlur(noise, (0, 0), 2))
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name in ("ada/1.png", "ada/2.png", "bob/1.png", "bob/1.bmp", "bob/deep/3.png"):
        photo(root / name)
    return root


class Seeing(Placed):
    """Sees a face in every photo that is not black, and counts what it is shown."""

    def __init__(self, *faces: Face) -> None:
        super().__init__(*(faces or (face_at(40, 30),)))
        self.shown = 0

    def detect(self, photo: NDArray[np.uint8]) -> list[Face]:
        self.shown += 1
        return self.found if photo.any() else []


def cropper(*faces: Face, **options: object) -> FaceCropper:
    return FaceCropper(Seeing(*faces), min_quality=0, **options)  # type: ignore[arg-type]


def test_crops_keep_the_folders_and_say_what_was_found(photos: Path, tmp_path: Path) -> None:
    made = align_photos(read(photos), tmp_path / "faces", cropper(), format="png")
    assert (made.photos, made.crops, made.failures) == (5, 5, {})
    faces = read(tmp_path / "faces")
    assert faces.alignment == "arcface-112"
    assert faces.identities == ["ada", "bob"]
    assert sorted(faces.frame["path"]) == [
        "ada/1.png", "ada/2.png", "bob/1.png", "bob/1_2.png", "bob/deep/3.png",
    ]  # fmt: skip
    for row, values in faces.frame.iterrows():
        whole = decode(values["photo"])
        expected = align(whole, landmarks_of(values["landmarks"]))
        difference = np.abs(decode(faces.locate(int(str(row)))).astype(int) - expected)
        assert difference.max() <= 1  # landmarks are written with two decimals
    said = json.loads((tmp_path / "faces" / "alignment.json").read_text())
    assert said["detector"] == "placed"
    assert (said["alignment"], said["size"], said["face"]) == ("arcface-112", [112, 112], "largest")


def test_failures_are_listed_and_all_columns_ride_along(photos: Path, tmp_path: Path) -> None:
    photo(photos / "ada" / "blank.png", blank=True)
    (photos / "bob" / "junk.png").write_bytes(b"nothing")
    manifest = read(photos).assign(camera=[f"c{i}" for i in range(7)])
    made = align_photos(manifest, tmp_path / "faces", cropper())
    failed = pd.read_csv(tmp_path / "faces" / "failures.csv")
    assert len(made.failures) == 2
    assert {Path(path).name for path in failed["path"]} == {"blank.png", "junk.png"}
    assert "no face found" in failed["reason"].tolist()
    faces = read(tmp_path / "faces").frame.set_index("photo")["camera"]
    for row in range(7):
        if row not in made.failures:
            assert faces[manifest.locate(row)] == f"c{row}"
    sheet = cv2.imread(str(tmp_path / "faces" / "contact_sheet.jpg"))
    assert sheet is not None
    assert sheet.std() > 5


def test_every_face_has_a_crop_of_its_own(photos: Path, tmp_path: Path) -> None:
    two = cropper(face_at(0, 0, 60), face_at(100, 50, 90), which="all")
    made = align_photos(read(photos), tmp_path / "faces", two, size=56)
    faces = read(tmp_path / "faces")
    assert made.crops == len(faces) == 10
    assert {"ada/1-1.jpg", "ada/1-2.jpg"} <= set(faces.frame["path"])
    assert decode(faces.locate(0)).shape == (56, 56, 3)


def test_files_are_the_owners_only(photos: Path, tmp_path: Path) -> None:
    align_photos(read(photos), tmp_path / "faces", cropper())
    for path in [tmp_path / "faces", *(tmp_path / "faces").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_jpeg_loses_little(photos: Path, tmp_path: Path) -> None:
    align_photos(read(photos), tmp_path / "png", cropper(), format="png")
    align_photos(read(photos), tmp_path / "jpg", cropper(), format="jpg")
    for path in (tmp_path / "png").rglob("*.png"):
        other = tmp_path / "jpg" / path.relative_to(tmp_path / "png").with_suffix(".jpg")
        assert np.abs(decode(path).astype(int) - decode(other)).mean() < 2


def test_an_interrupted_call_goes_on(photos: Path, tmp_path: Path) -> None:
    """What was done is not done again, but for a photo that changed and a crop that is gone."""

    class Ended(Seeing):
        def detect(self, photo: NDArray[np.uint8]) -> list[Face]:
            if self.shown == 3:
                raise KeyboardInterrupt
            return super().detect(photo)

    out = tmp_path / "faces"
    with pytest.raises(KeyboardInterrupt):
        align_photos(read(photos), out, FaceCropper(Ended(), min_quality=0), workers=1)
    assert not out.exists()
    partial = tmp_path / "faces.partial"
    journal = (partial / "journal.jsonl").read_bytes()
    done = [json.loads(line) for line in journal.splitlines()[1:]]
    assert len(done) >= 1
    (partial / "journal.jsonl").write_bytes(journal + b"[4, [1")  # the line of a kill
    again = cropper()
    align_photos(read(photos), out, again, workers=1)
    assert again.detector.shown == 5 - len(done)  # type: ignore[attr-defined]
    assert not partial.exists()
    once = align_photos(read(photos), tmp_path / "once", cropper())
    assert once.crops == 5
    for path in sorted((tmp_path / "once").rglob("*")):
        other = out / path.relative_to(tmp_path / "once")
        if path.is_file():
            assert path.read_bytes() == other.read_bytes(), path


def test_a_changed_photo_is_done_again(photos: Path, tmp_path: Path) -> None:
    class Ended(Seeing):
        def detect(self, photo: NDArray[np.uint8]) -> list[Face]:
            if self.shown == 4:
                raise KeyboardInterrupt
            return super().detect(photo)

    out = tmp_path / "faces"
    with pytest.raises(KeyboardInterrupt):
        align_photos(read(photos), out, FaceCropper(Ended(), min_quality=0), workers=1)
    lines = (tmp_path / "faces.partial" / "journal.jsonl").read_bytes().splitlines()
    changed = Path(json.loads(lines[1])[0])
    photo(changed)
    os.utime(changed, ns=(1, 1))
    again = cropper()
    align_photos(read(photos), out, again, format="jpg", workers=1)
    assert again.detector.shown == 5 - (len(lines) - 1) + 1  # type: ignore[attr-defined]


@pytest.mark.real
@pytest.mark.slow
def test_a_killed_command_goes_on(tmp_path: Path, real_data: Path, yunet: object) -> None:
    root = real_data / "lfw" / "raw_sample"
    words = [sys.executable, "-m", "facever", "data", "align", str(root)]
    words += ["--out", str(tmp_path / "faces"), "--workers", "1"]
    running = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    journal = tmp_path / "faces.partial" / "journal.jsonl"
    for _ in range(2000):
        if journal.is_file() and journal.read_bytes().count(b"\n") > 20:
            break
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "faces").exists()
    done = subprocess.run([*words, "--json"], capture_output=True, text=True, check=True)
    assert "resuming with" in done.stderr
    assert json.loads(done.stdout)["crops"] == len(read(tmp_path / "faces")) == 150


def test_places_that_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is inside the photos' folder"):
        align_photos(read(photos), photos / "faces", cropper())
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match=r"taken already exists"):
        align_photos(read(photos), tmp_path / "taken", cropper(), overwrite=True)
    align_photos(read(photos), tmp_path / "faces", cropper())
    with pytest.raises(DataError, match=r"faces already contains aligned crops"):
        align_photos(read(photos), tmp_path / "faces", cropper())
    small = align_photos(read(photos), tmp_path / "faces", cropper(), size=20, overwrite=True)
    assert small.crops == 5
    assert decode(read(tmp_path / "faces").locate(0)).shape == (20, 20, 3)


def test_photos_without_any_face_make_no_folder(tmp_path: Path) -> None:
    photo(tmp_path / "photos" / "ada" / "1.png", blank=True)
    with pytest.raises(DataError, match=r"none of 1 photos gave a crop.*1\.png: no face found"):
        align_photos(read(tmp_path / "photos"), tmp_path / "faces", cropper())
    assert not (tmp_path / "faces").exists()
    assert not (tmp_path / "faces.partial").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size is 0 "),
        ({"format": "gif"}, "'gif'.*jpg, png"),
        ({"workers": 0}, "workers"),
    ],
)
def test_settings_that_cannot_be(
    photos: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        align_photos(read(photos), tmp_path / "faces", cropper(), **options)  # type: ignore[arg-type]


def test_photos_named_by_a_table_elsewhere(photos: Path, tmp_path: Path) -> None:
    frame = read(photos).frame.assign(path=[str(photos / p) for p in read(photos).frame["path"]])
    (tmp_path / "tables").mkdir()
    Manifest(frame, tmp_path / "tables", "listed").save(tmp_path / "tables" / "listed.csv")
    listed = read(tmp_path / "tables" / "listed.csv")
    align_photos(listed, tmp_path / "faces", cropper())
    faces = read(tmp_path / "faces")
    assert len(set(faces.frame["path"])) == 5
    assert faces.dataset == "listed"
    assert "ada/1.jpg" in set(faces.frame["path"])


def test_alignments_that_are_mixed(photos: Path) -> None:
    mixed = read(photos).assign(alignment=["arcface-112", *["other"] * 4])
    with pytest.raises(DataError, match=r"arcface-112, other.*facever data align"):
        _ = mixed.alignment
    assert read(photos).alignment == "none"
