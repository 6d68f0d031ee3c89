"""Quickstart on photos: detection, alignment, a public model, a gallery, a search."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from facever.catalogue import entry, found_at
from facever.core.console import say
from facever.data.readers import read
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import DataError
from facever.gallery.answers import SearchResult
from facever.gallery.gallery import Gallery
from facever.models.loading import load_model
from facever.pair_verification import PairVerification
from facever.recognizer import Recognizer
from facever.render.blocks import Picture, Section
from facever.render.numbers import score
from facever.report.examples import SearchExample, VerificationExample, examples_section
from facever.report.faces import image_of, portraits

MODEL = "sface"
_RAW = Path("lfw") / "raw_sample"  # path in a data folder
_EXAMPLES = 6


@dataclass(frozen=True)
class PhotosTried:
    """Results of a public model on photos.

    Attributes:
        photos: Folder of the photos.
        model: The public model.
        images: Number of photos.
        failed: Number of photos without an acquired face.
        people: Number of enrolled people, with one photo each.
        probes: Number of searched photos.
        right_first: Probes whose person is the first candidate.
        genuine, impostor: A genuine and an impostor pair of photos; None if there is none or the
            identities are unknown.
        two: The first two photos, if the identities are unknown.
    """

    photos: Path
    model: str
    images: int
    failed: int
    people: int
    probes: int
    right_first: int
    genuine: PairVerification | None
    impostor: PairVerification | None
    two: PairVerification | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        pairs = {"genuine": self.genuine, "impostor": self.impostor, "two": self.two}
        said = {name: value for name, value in asdict(self).items() if name not in pairs}
        verified = {
            name: None if pair is None else {"score": pair.score, "same": pair.same}
            for name, pair in pairs.items()
        }
        return {**said, "photos": str(self.photos), "verify": verified}


def photos_folder(photos: Path | None) -> Path | None:
    """Return the folder of photos: the given one, or the raw sample of $FACEVER_DATA.

    Return None, with a message, if there are no photos or no public models.

    Raises:
        DataError: The given folder does not exist.
    """
    if photos is not None and not photos.is_dir():
        raise DataError(f"--photos {photos}: no such folder")
    data = os.environ.get("FACEVER_DATA")
    folder = photos or (Path(data) / _RAW if data and (Path(data) / _RAW).is_dir() else None)
    if folder is None:
        say("no photos: to try a public model, give a folder with --photos")
        return None
    missing = [name for name in (MODEL, "yunet") if found_at(entry(name)) is None]
    if missing:
        commands = " and ".join(f"`facever models get {name}`" for name in missing)
        say(f"photos are skipped, a model is missing: run {commands}")
        return None
    return folder


def try_photos(folder: Path, out: Path) -> tuple[PhotosTried, Section]:
    """Enroll one photo of each person, search for the others, verify pairs; return pictures too.

    If the identities are unknown, each photo is a person with the name of its file, and the last
    photo is searched for.

    Args:
        folder: A folder per person, or photos of unknown people.
        out: Folder for embeddings and gallery.

    Raises:
        DataError: There are no photos, or none has a face.
    """
    say(f"photos in {folder}: detecting, aligning and embedding faces with {MODEL}")
    photos = read(folder)
    named = photos.frame["identity"].notna()
    if not named.all():
        photos = photos.assign(identity=[Path(path).stem for path in photos.frame["path"]])
    model = load_model(MODEL)
    faces = model.extract(photos, out / "photo-embeddings", photos=True)
    held = faces.select(faces.acquired)
    first = np.unique(held.identities, return_index=True)[1]
    others = np.setdiff1d(np.arange(len(held)), first)
    with Gallery.create(out / "photo-gallery", model) as gallery:
        gallery.enroll(held.select(np.sort(first)))
        probes = held.select(others if len(others) else first[-1:])
        found = gallery.search(probes, k=3)
        people = gallery.info().people
        recognizer = Recognizer(model, gallery, photos=True)
        two = None
        pairs = _pairs(recognizer, held, others) if named.all() else (None, None)
        if not named.all() and len(held) > 1:
            two = recognizer.verify(image_of(held, 0) or "", image_of(held, 1) or "")
    right = sum(
        bool(answer.candidates) and answer.candidates[0].person == person
        for answer, person in zip(found, probes.identities.tolist(), strict=True)
    )
    genuine, impostor = (pair and pair[2] for pair in pairs)
    tried = PhotosTried(
        folder,
        MODEL,
        len(faces),
        faces.failures,
        people,
        len(probes),
        right,
        genuine,
        impostor,
        two,
    )
    point = model.operating_point
    rule = (
        f"Photos in {folder}: the largest face of each, detected by YuNet, embedded by {MODEL}. "
        + ("" if point is None else f"Two photos: {point.summary}.")
    )
    portrait = portraits(held, thumbnails=True)
    enrolled = {str(held.identities[row]): row for row in first.tolist()}
    section = examples_section(
        _searches(probes, found, enrolled, portrait),
        [
            VerificationExample(portrait(a), portrait(b), pair.score, pair.same)
            for a, b, pair in filter(None, pairs)
        ],
        rule,
    )
    return tried, Section("photos", "Photos", section.blocks, section.lead)


_Pair = tuple[int, int, PairVerification]


def _pairs(
    recognizer: Recognizer, held: EmbeddingSet, others: np.ndarray
) -> tuple[_Pair | None, _Pair | None]:
    """Return a verified genuine and impostor pair of photos; None if there is none."""
    names = held.identities

    def verified(a: int, b: int) -> _Pair:
        paths = [image_of(held, row) or "" for row in (a, b)]
        return a, b, recognizer.verify(paths[0], paths[1])

    genuine = impostor = None
    if len(others):
        a = int(others[0])
        genuine = verified(a, int(np.flatnonzero(names == names[a])[0]))
    different = np.flatnonzero(names != names[0])
    if len(different):
        impostor = verified(0, int(different[0]))
    return genuine, impostor


def _searches(
    probes: EmbeddingSet,
    found: SearchResult,
    enrolled: Mapping[str, int],
    portrait: Callable[[int], Picture],
) -> list[SearchExample]:
    """Return the searches of the first probes; `enrolled` has the row of each person."""
    probe = portraits(probes, thumbnails=True)
    return [
        SearchExample(
            probe(row),
            [
                replace(portrait(enrolled[one.person]), score=score(one.score))
                for one in answer.candidates
            ],
            None,
            enrolled=str(probes.identities[row]) in enrolled,
        )
        for row, answer in enumerate(list(found)[:_EXAMPLES])
    ]
