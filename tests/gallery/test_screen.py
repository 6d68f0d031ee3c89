"""The int8 copy of a gallery's vectors: written with the index, rebuilt if it is missing."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from facever.embeddings.unit import unit_rows
from facever.gallery.gallery import Gallery
from facever.gallery.index.sealed import said_by, seal
from facever.gallery.index.snapshot import FILE, MAGIC, Snapshot

PEOPLE, EACH, D = 1500, 3, 32


@pytest.fixture
def large(place: str | Path, index_folder: Path) -> Path:
    """The snapshot of a closed gallery with an int8 copy."""
    random = np.random.default_rng(0)
    centres = np.repeat(random.standard_normal((PEOPLE, D)), EACH, axis=0)
    vectors = unit_rows(centres + 0.5 * random.standard_normal(centres.shape))[0]
    with Gallery.create(place, fingerprint="model-1", dimension=D) as gallery:
        people = [f"p{row // EACH}" for row in range(len(vectors))]
        gallery.enroll(
            vectors,
            people,
            fingerprint="model-1",
            metadata={person: {"site": int(person[1:]) % 2} for person in people},
        )
    return index_folder / FILE


def answers(place: str | Path, **options: object) -> list[tuple[str, float]]:
    with Gallery.open(place) as gallery:
        found = gallery.search(gallery.entries()[1][::500], 4, fingerprint="model-1", **options)
        return [(one.person, one.score) for answer in found for one in answer.candidates]


def without_codes(file: Path) -> None:
    """Write the snapshot as an earlier version did."""
    said, content = said_by(file), file.read_bytes()
    del said["codes"]
    end = 4 * said["count"] * D + 20 * said["count"]
    file.write_bytes(content[:end])
    seal(file, MAGIC, said)


def test_info_has_its_memory_and_what_it_screened(large: Path, place) -> None:
    with Gallery.open(place) as gallery:
        size = PEOPLE * EACH * D
        assert gallery.info().screen == {"bytes": size, "searched": 0, "fallbacks": 0}
        assert "int8 copy" in gallery.info().to_text()
        gallery.search(gallery.entries()[1][:8], 4, fingerprint="model-1")
        assert gallery.info().screen == {"bytes": size, "searched": 8, "fallbacks": 0}
        json.dumps(gallery.info().to_dict())


@pytest.mark.parametrize("where", [None, {"site": 1}])
@pytest.mark.parametrize("rule", ["max", "mean"])
def test_a_missing_copy_is_rebuilt_and_answers_are_the_same(
    large: Path, place, rule: str, where: dict | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facever.gallery.index.view._MANY_FILTERED", 100)
    expected = answers(place, rule=rule, where=where)
    without_codes(large)
    assert Snapshot.read(large).codes is None
    with Gallery.open(place) as gallery:
        assert gallery.info().screen is None
    assert answers(place, rule=rule, where=where) == expected  # opening starts the rebuild
    assert Snapshot.read(large).codes is not None


def test_a_damaged_copy_is_rebuilt(large: Path, place, capsys: pytest.CaptureFixture[str]) -> None:
    expected, file = answers(place), large
    content = bytearray(file.read_bytes())
    trailer = struct.unpack("<8sII", content[-16:])[1]
    content[len(content) - 16 - trailer - PEOPLE * EACH] ^= 4
    file.write_bytes(content)
    assert answers(place) == expected
    assert "damaged" in capsys.readouterr().err
    assert Snapshot.read(file).codes is not None
    with Gallery.open(place) as gallery:
        assert gallery.check() == []
