"""Retrieval of tracks: the images of a track pooled into one template, against plain loops."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from facever.cli.evaluate import app
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluate import SideTemplates, retrieval

PEOPLE, TRACKS, IMAGES = 9, 4, 3


@pytest.fixture
def faces():
    """Tracks 0 of each person are queries; a track is of one camera; some images have no track."""
    draw = np.random.default_rng(5)
    size = PEOPLE * TRACKS * IMAGES
    who, track = np.arange(size) // (TRACKS * IMAGES), np.arange(size) // IMAGES
    vectors = draw.standard_normal((PEOPLE, 6))[who] + 1.2 * draw.standard_normal((size, 6))
    names = [None if i % 17 == 5 else f"t{t:03d}" for i, t in enumerate(track)]
    order = draw.permutation(size)  # the images of a track are not neighbours
    made = EmbeddingSet.from_arrays(
        vectors,
        [f"p{p}" for p in who],
        fingerprint="f",
        subset=np.where(track % TRACKS == 0, "query", "gallery"),
        camera=(track % TRACKS) % 3,
        track=names,
        weight=draw.uniform(0.1, 2, size),
    )
    return made.select(order)


def templates_by_loop(rows, quality=False):
    """Return (vectors, people, cameras, first rows) of the tracks of rows, in their order."""
    tracks = {}
    for row, track in rows["track"].items():
        if isinstance(track, str):
            tracks.setdefault(track, []).append(row)
    made = []
    for track in sorted(tracks):
        total = np.zeros(rows.attrs["vectors"].shape[1])
        for row in tracks[track]:
            factor = rows["weight"][row] if quality else 1.0
            total += factor * rows.attrs["vectors"][row].astype(float)
        first = tracks[track][0]
        made.append(
            (
                total / np.sqrt((total**2).sum()),
                rows["identity"][first],
                rows["camera"][first],
                first,
            )
        )
    return [np.array(column) for column in zip(*made, strict=True)]


def by_rows(faces, subset):
    rows = faces.rows[faces.rows["subset"] == subset].copy()
    rows.attrs["vectors"] = faces.vectors
    return rows


@pytest.mark.parametrize("quality", [None, "weight"])
@pytest.mark.parametrize("camera", [None, "camera"])
def test_tracks_are_ranked_as_by_the_loop(faces, by_loop, camera, quality):
    found = retrieval(faces, templates=SideTemplates("track", quality=quality), camera=camera)
    one, two = (templates_by_loop(by_rows(faces, side), quality) for side in ("query", "gallery"))
    cameras = (one[2], two[2]) if camera else ()
    cmc, plain, trapezoid, minp, without = by_loop(one[0] @ two[0].T, one[1], two[1], *cameras)
    assert found.cmc == pytest.approx(cmc)
    assert found.map_plain == pytest.approx(plain)
    assert found.map_trapezoid == pytest.approx(trapezoid)
    assert found.minp == pytest.approx(minp)
    assert (found.queries, found.gallery, found.without_match) == (
        len(one[0]) - without,
        len(two[0]),
        without,
    )
    assert set(found.each.rows) <= set(one[3])
    assert found.first_wrong
    for wrong in found.first_wrong:
        assert wrong.query in one[3]
        assert {wrong.candidate, wrong.right} <= set(two[3])
        people = faces.identities[[wrong.query, wrong.right, wrong.candidate]]
        assert people[0] == people[1] != people[2]


def test_images_are_ranked_against_tracks(faces, by_loop):
    found = retrieval(faces, templates=SideTemplates("track", sides="gallery"))
    rows = np.flatnonzero((faces.rows["subset"] == "query").to_numpy())
    tracks, people, _, _ = templates_by_loop(by_rows(faces, "gallery"))
    cmc, plain, *_ = by_loop(faces.vectors[rows] @ tracks.T, faces.identities[rows], people)
    assert found.cmc == pytest.approx(cmc)
    assert found.map_plain == pytest.approx(plain)
    assert found.template_counts.queries is None
    counted = found.template_counts.gallery
    with_track = int(faces.rows["track"][faces.rows["subset"] == "gallery"].notna().sum())
    assert (counted.images, counted.templates) == (with_track, len(tracks))
    assert counted.without == int((faces.rows["subset"] == "gallery").sum()) - with_track > 0


def test_a_track_on_both_sides_is_two_templates():
    """The query's image is in no candidate: with it, the right candidate would be first."""
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0, 0.8, 0.6], [-0.1, 0, 1]])
    faces = EmbeddingSet.from_arrays(
        vectors,
        ["a", "a", "b", "a"],
        fingerprint="f",
        subset=["query", "gallery", "gallery", "gallery"],
        track=["1", "1", "2", "1"],
    )
    found = retrieval(faces, templates="track")
    assert (found.queries, found.gallery) == (1, 2)
    pooled = vectors[1] + vectors[3] / np.linalg.norm(vectors[3])
    (wrong,) = found.first_wrong
    assert (wrong.query, wrong.candidate, wrong.right) == (0, 2, 1)
    assert wrong.right_score == pytest.approx(pooled[0] / np.linalg.norm(pooled), abs=1e-6)


def test_failed_tracks_are_counted(faces):
    lost = (
        faces.rows["track"] == faces.rows["track"][faces.rows["subset"] == "query"].dropna().iloc[0]
    )
    rows = faces.rows.assign(error=faces.rows["error"].mask(lost, "unreadable"))
    vectors = np.where(lost.to_numpy()[:, None], 0, faces.vectors).astype(np.float32)
    some = EmbeddingSet(vectors, rows, faces.meta)
    found = retrieval(some, templates="track")
    assert (found.failed_queries, found.failed_gallery) == (1, 0)
    assert found.answerable == found.queries + 1


def test_a_track_of_two_cameras_or_people_is_refused(faces):
    turned = faces.rows["camera"].copy()
    turned.iloc[int(faces.rows["track"].notna().argmax())] = 9
    two = EmbeddingSet(faces.vectors, faces.rows.assign(camera=turned), faces.meta)
    assert retrieval(two, templates="track").queries
    with pytest.raises(EvaluationError, match=r"template t\d+ .*'camera'.* omit the camera"):
        retrieval(two, templates="track", camera="camera")
    renamed = faces.rows["identity"].copy()
    renamed.iloc[int(faces.rows["track"].notna().argmax())] = "someone"
    with pytest.raises(EvaluationError, match=r"template t\d+ shows two identities"):
        retrieval(
            EmbeddingSet(faces.vectors, faces.rows.assign(identity=renamed), faces.meta),
            templates="track",
        )


def test_refused_settings(faces):
    with pytest.raises(EvaluationError, match=r"'somewhere'.*both"):
        SideTemplates("track", sides="somewhere")
    with pytest.raises(EvaluationError, match="compare them by cosine"):
        retrieval(faces, templates="track", similarity="euclidean")
    with pytest.raises(EvaluationError, match=r"unknown column 'trak'.*track"):
        retrieval(faces, templates="trak")


def test_the_command_has_the_same_result(faces, tmp_path):
    faces.save(tmp_path / "faces")
    words = ["retrieval", str(tmp_path / "faces"), "--templates", "track"]
    told = CliRunner().invoke(
        app, [*words, "--template-sides", "gallery", "--quality", "weight", "--json"]
    )
    wanted = retrieval(faces, templates=SideTemplates("track", None, "weight", "gallery"))
    assert json.loads(told.stdout) == json.loads(json.dumps(wanted.to_dict()))
    assert json.loads(told.stdout)["templates"]["column"] == "track"
    assert "gallery by track" in CliRunner().invoke(app, words).stdout
    with pytest.raises(EvaluationError, match="--template-sides requires --templates COLUMN"):
        CliRunner().invoke(app, [*words[:2], "--template-sides", "gallery"], catch_exceptions=False)
