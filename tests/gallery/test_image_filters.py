"""Searches among the images of some cameras and times, against loops over those images."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import GalleryError
from facever.gallery.gallery import Gallery
from facever.gallery.image_filters import ImageFilter, camera_of, checked_images, time_of

BEGIN = datetime(2026, 11, 1, 8, tzinfo=UTC)
FILTERS = [
    {"camera": "c1"},
    {"camera": ["c0", "2"]},
    {"camera": 2},
    {"taken": {"from": "2026-11-01T08:20:00Z"}},
    {"taken": {"to": "2026-11-01T09:10:00+00:30"}},
    {"taken": {"from": BEGIN + timedelta(minutes=5), "to": BEGIN + timedelta(minutes=31)}},
    {"camera": ["c1", "c0"], "taken": {"from": "2026-11-01T08:07:00Z"}},
]


def camera(row: int) -> object:
    return ("c0", "c1", 2.0, None)[row * 7 % 4]


def time(row: int) -> datetime | None:
    return None if row % 11 == 5 else BEGIN + timedelta(minutes=row)


def fits(row: int, where: dict) -> bool:
    """Return whether a row matches, by rules of its own."""
    if "camera" in where:
        asked = where["camera"] if isinstance(where["camera"], list) else [where["camera"]]
        named = None if camera(row) is None else str(camera(row)).removesuffix(".0")
        if named not in map(str, asked):
            return False
    for end, sign in (("from", 1), ("to", -1)):
        limit = where.get("taken", {}).get(end)
        if limit is None:
            continue
        limit = limit if isinstance(limit, datetime) else datetime.fromisoformat(limit)
        if time(row) is None or sign * (time(row) - limit).total_seconds() < 0:
            return False
    return True


@pytest.fixture
def seen(empty: Gallery, units: Callable, faces: EmbeddingSet) -> Gallery:
    """The made-up people, each image with its camera and time, if it has one."""
    empty.enroll(
        faces,
        cameras=[camera(row) for row in range(60)],  # type: ignore[arg-type]
        taken=[time(row) for row in range(60)],
    )
    return empty


def expected(slow_search: Callable, faces: EmbeddingSet, probe, rows: list[int], rule: str):
    vectors = faces.vectors[rows]
    return slow_search(vectors, [faces.identities[row] for row in rows], probe, rule)


@pytest.mark.parametrize("rule", ["max", "mean"])
@pytest.mark.parametrize("where", FILTERS)
def test_only_these_images_are_compared(
    seen, faces, units, slow_search, assert_answer, where, rule
) -> None:
    rows = [row for row in range(60) if fits(row, where)]
    assert 0 < len(rows) < 60
    probes = units(6, seed=3)
    found = seen.search(probes, 20, fingerprint="model-1", rule=rule, where_images=where)
    assert found.searched == len({faces.identities[row] for row in rows})
    for answer, probe in zip(found, probes, strict=True):
        assert_answer(answer, expected(slow_search, faces, probe, rows, rule))


def test_both_filters_count(seen, faces, units, slow_search, assert_answer) -> None:
    seen.update("b", {"site": "A"})
    seen.update("c", {"site": "A"})
    where = {"camera": "c1"}
    rows = [r for r in range(60) if fits(r, where) and faces.identities[r] in ("b", "c")]
    assert rows
    probe = units(1, seed=3)[0]
    found = seen.search(probe, 5, fingerprint="model-1", where={"site": "A"}, where_images=where)
    assert_answer(found[0], expected(slow_search, faces, probe, rows, "max"))


def test_changes_are_in_the_next_answer(seen, units) -> None:
    """A merge, a split and a removal move images, and their camera and time with them."""
    where = {"camera": "hall"}
    seen.enroll(
        units(3, seed=8),
        ["x", "x", "y"],
        fingerprint="model-1",
        cameras=["hall", "yard", "hall"],
        taken="2026-11-05T00:00:00Z",
    )

    def found() -> list[str]:
        answer = seen.search(units(1, 8), 5, fingerprint="model-1", where_images=where)[0]
        return sorted(one.person for one in answer.candidates)

    assert found() == ["x", "y"]
    seen.merge("y", "single")
    assert found() == ["single", "x"]
    hall = next(one for one in seen.images("x") if one.camera == "hall")
    seen.split("x", [hall.image], "z")
    assert found() == ["single", "z"]
    assert [one.camera for one in seen.images("x")] == ["yard"]
    assert {one.taken for one in seen.images("z")} == {"2026-11-05T00:00:00+00:00"}
    seen.remove("z")
    assert found() == ["single"]
    where["camera"] = "yard"
    assert found() == ["x"]


def test_nobody_matches(seen, units, make_point) -> None:
    point = make_point("1:N", threshold=-1.0)
    found = seen.search(
        units(2), fingerprint="model-1", where_images={"camera": "none"}, operating_point=point
    )
    assert found.searched == 0
    assert all(one.candidates == [] and one.known is False for one in found)


def test_the_columns_of_an_embedding_set_are_stored(empty, units) -> None:
    faces = EmbeddingSet.from_arrays(
        units(4),
        list("aabb"),
        fingerprint="model-1",
        camera=[3, 3.0, "3", None],
        taken=["2026-11-01T09:30:00+01:00", None, "20261101T083000.25Z", None],
    )
    empty.enroll(faces)
    stored = [(one.camera, one.taken) for who in "ab" for one in empty.images(who)]
    assert stored == [
        ("3", "2026-11-01T08:30:00+00:00"),
        ("3", None),
        ("3", "2026-11-01T08:30:00.250000+00:00"),
        (None, None),
    ]
    empty.enroll(faces, cameras="other", duplicates="keep")
    assert [one.camera for one in empty.images("a")] == ["3", "3", "other", "other"]


def test_templates_of_several_images_have_no_camera(seen, units) -> None:
    seen.set_templates("mean")
    with pytest.raises(GalleryError, match=r"templates 'mean'.*use templates 'all'"):
        seen.search(units(1), fingerprint="model-1", where_images={"camera": "c1"})


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({}, "must be keys with values"),
        ("camera", "must be keys with values"),
        ({"cam": 1}, r"unknown key of a filter of images 'cam'.*\(allowed: camera, taken\)"),
        ({"camera": True}, "a camera must be a text or a number, not True"),
        ({"camera": None}, "a camera must be a text or a number"),
        ({"camera": ""}, "a camera must be a string of at least one character"),
        ({"taken": "2026-11-01T08:00:00Z"}, 'taken must be {"from": TIME, "to": TIME}'),
        ({"taken": {"since": "2026"}}, "taken must be"),
        ({"taken": {}}, "taken must be"),
        ({"taken": {"from": None}}, 'must have "from" or "to"'),
        ({"taken": {"from": "2026-11-01T08:00:00"}}, "ISO 8601 with an offset from UTC"),
        ({"taken": {"to": "yesterday"}}, "the time 'yesterday' is not ISO 8601"),
        ({"taken": {"to": 17}}, "the time 17 is not ISO 8601"),
    ],
)
def test_a_wrong_filter_is_refused(seen, units, where, said) -> None:
    with pytest.raises(GalleryError, match=said):
        seen.search(units(1), fingerprint="model-1", where_images=where)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"cameras": ["a"]}, "1 values of camera for 2 vectors"),
        ({"cameras": ["a", True]}, "image 1: a camera must be a text or a number"),
        ({"cameras": ["\ud800", "a"]}, "image 0: a camera cannot be encoded in UTF-8"),
        ({"taken": ["2026-11-01", None]}, "image 0: the time '2026-11-01' is not ISO 8601"),
        ({"taken": [None, 451]}, "image 1: the time 451 is not"),
        ({"taken": "0001-01-01T00:00:00+05:00"}, "image 0: .*outside the years 1 to 9999"),
    ],
)
def test_a_wrong_column_is_refused_and_nothing_is_enrolled(empty, units, columns, said) -> None:
    with pytest.raises(GalleryError, match=said):
        empty.enroll(units(2), ["a", "b"], fingerprint="model-1", **columns)
    assert empty.info().images == 0


def test_stored_times_are_in_the_order_of_time() -> None:
    zones = [timezone(timedelta(hours=hours)) for hours in (-9, 0, 5)]
    steps = (0, 1, 999_999, 1_000_000, 59_999_999, 3_600_000_000, 10**11)
    times = [BEGIN + timedelta(microseconds=step) for step in steps]
    stored = [time_of(one.astimezone(zone)) for one in times for zone in zones]
    assert stored == sorted(stored)
    assert len(set(stored)) == len(times)
    assert checked_images({"camera": 1.0}, "all") == ImageFilter(("1",))
    assert camera_of(np.int64(7)) == "7"


def test_a_large_gallery_is_searched_by_its_codes(tmp_path, units, slow_search) -> None:
    """Many images match: the screen proposes, of the matching ones only."""
    count, screened = 12_000, 0
    vectors = units(count, seed=5, dimension=32)
    people = [f"p{row % 3000}" for row in range(count)]
    cameras = [f"c{row % 5 % 2}" for row in range(count)]
    rows = [row for row in range(count) if cameras[row] == "c0"]
    owners = [people[row] for row in rows]
    with Gallery.create(tmp_path / "large", fingerprint="model-1", dimension=32) as gallery:
        gallery.enroll(vectors, people, fingerprint="model-1", cameras=cameras)
        gallery.rebuild()
        for rule in ("max", "mean"):
            for probe in units(3, seed=6, dimension=32):
                found = gallery.search(
                    probe, 3, fingerprint="model-1", rule=rule, where_images={"camera": "c0"}
                )
                right = slow_search(vectors[rows], owners, probe, rule)[:3]
                answer = [(one.person, one.score) for one in found[0].candidates]
                assert answer == [(who, pytest.approx(score, abs=1e-6)) for who, score in right]
            searched = gallery.info().screen["searched"]
            assert searched > screened if rule == "max" else searched == screened
            screened = searched


@pytest.fixture
def exported(seen: Gallery, tmp_path) -> Iterator[Gallery]:
    seen.export(tmp_path / "export")
    with Gallery.create(tmp_path / "copy", fingerprint="model-1", dimension=8) as other:
        other.import_(tmp_path / "export")
        yield other


def test_an_export_has_them(seen, exported) -> None:
    def known(gallery: Gallery) -> list:
        return [
            (one.person, image.source, image.camera, image.taken)
            for one in gallery.people()
            for image in gallery.images(one.person)
        ]

    assert any(camera for *_, camera, _ in known(seen))
    assert sorted(known(exported), key=str) == sorted(known(seen), key=str)
