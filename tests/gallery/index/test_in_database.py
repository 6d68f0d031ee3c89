"""Searches by pgvector, against loops in float64 and against a gallery in a folder."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner

from facever.cli.gallery import app
from facever.errors import GalleryError
from facever.gallery.copies import copy_gallery
from facever.gallery.gallery import Gallery
from facever.gallery.store.postgres.search_table import SearchTable

if TYPE_CHECKING:
    from tests.postgres.server import Server

GUIDE = (Path(__file__).parents[3] / "docs" / "postgres.md").read_text()
EXACT = "pgvector"
HNSW = "pgvector:hnsw,m=8,ef_construction=32,ef_search=40"
IVF = "pgvector:ivfflat,lists=5,probes=5"
KINDS = (EXACT, HNSW, IVF)

MakeGallery = Callable[..., Gallery]


@pytest.fixture
def with_pgvector(postgres_server: "Server", postgres_emptied: str) -> str:
    """The address of a database with pgvector, in a schema of its own."""
    sql = "CREATE SCHEMA IF NOT EXISTS types; CREATE EXTENSION IF NOT EXISTS vector SCHEMA types"
    postgres_server.execute(sql, database="shared")
    return postgres_emptied


@pytest.fixture
def make_gallery(with_pgvector: str) -> Iterator[MakeGallery]:
    """Make galleries in PostgreSQL; one of a name that is there is opened once more."""
    names: set[str] = set()
    opened: list[Gallery] = []

    def make(name: str = "people", **options: object) -> Gallery:
        address = f"{with_pgvector}&gallery={name}"
        if name in names:
            gallery = Gallery.open(address)
        else:
            settings = {"fingerprint": "model-1", "dimension": 8, "index": EXACT, **options}
            gallery = Gallery.create(address, **settings)
        names.add(name)
        opened.append(gallery)
        return gallery

    yield make
    for gallery in opened:
        gallery.close()


def _found(gallery: Gallery, probes: np.ndarray, k: int = 5, **options) -> list:
    found = gallery.search(probes, k, fingerprint="model-1", **options)
    return [[(one.person, one.score) for one in answer.candidates] for answer in found]


@pytest.mark.parametrize("rule", ["max", "mean"])
@pytest.mark.parametrize("index", KINDS)
def test_a_filter_of_images_is_exact(make_gallery, faces, units, slow_search, index, rule) -> None:
    gallery = make_gallery(index=index)
    cameras = [f"c{row % 7 % 2}" for row in range(60)]
    gallery.enroll(faces, cameras=cameras)
    rows = [row for row in range(60) if cameras[row] == "c1"]
    people = [faces.identities[row] for row in rows]
    probes = units(7, seed=3)
    found = _found(gallery, probes, 20, rule=rule, where_images={"camera": "c1"})
    for answer, probe in zip(found, probes, strict=True):
        right = slow_search(faces.vectors[rows], people, probe, rule)
        assert answer == [(person, pytest.approx(score, abs=1e-6)) for person, score in right]


@pytest.mark.parametrize("rule", ["max", "mean"])
@pytest.mark.parametrize("policy", ["all", "mean", "medoids:2"])
def test_exact_search_is_that_of_a_folder_to_the_last_bit(
    make_gallery, tmp_path, faces, units, slow_search, policy, rule
) -> None:
    probes = units(7, seed=3)
    with Gallery.create(
        tmp_path / "folder", fingerprint="model-1", dimension=8, templates=policy, index="flat"
    ) as folder:
        there = make_gallery(templates=policy)
        for gallery in (folder, there):
            gallery.enroll(faces)
            for number, person in enumerate(sorted(set(faces.identities))):
                gallery.update(person, {"site": "AB"[number % 2]})
        for k in (1, 5, 50):
            for where in (None, {"site": "A"}, {"site": "C"}):
                options = {"rule": rule, "where": where}
                assert _found(there, probes, k, **options) == _found(folder, probes, k, **options)
    if policy == "all":
        for answer, probe in zip(_found(there, probes, rule=rule), probes, strict=True):
            ranked = slow_search(faces.vectors, list(faces.identities), probe, rule)[:5]
            assert [person for person, _ in answer] == [person for person, _ in ranked]
            assert [score for _, score in answer] == pytest.approx([s for _, s in ranked], abs=1e-6)


def test_people_with_equal_scores_are_in_the_order_of_their_enrolment(make_gallery, units) -> None:
    gallery = make_gallery()
    one = units(1)
    gallery.enroll(np.repeat(one, 200, axis=0), [f"{n:03}" for n in range(200)][::-1],
                   fingerprint="model-1", duplicates="keep")  # fmt: skip
    assert [person for person, _ in _found(gallery, one, 3)[0]] == ["000", "001", "002"]


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_scores_are_those_of_the_stored_vectors(make_gallery, faces, units, storage) -> None:
    gallery = make_gallery(storage=storage)
    gallery.enroll(faces)
    ids, vectors = gallery.entries()
    probe = units(1, seed=9)
    best = max(zip((vectors.astype(float) @ probe[0]).tolist(), ids, strict=True))
    assert _found(gallery, probe, 1) == [[(best[1], pytest.approx(best[0], abs=1e-7))]]


@pytest.mark.parametrize("kind", KINDS)
def test_every_change_is_in_the_next_answer_of_every_node(make_gallery, faces, units, kind) -> None:
    first, second = make_gallery(index=kind), make_gallery()
    assert _found(second, faces.vectors[:1]) == [[]]
    first.enroll(faces)
    own = _found(second, faces.vectors, 1)
    assert [answer[0][0] for answer in own] == list(faces.identities)
    first.remove("a")
    for gallery in (first, second):
        assert "a" not in {
            person for answer in _found(gallery, faces.vectors, 50) for person, _ in answer
        }
    first.merge("b", "c")
    own = _found(second, faces.vectors[faces.identities == "b"], 1)
    assert {answer[0][0] for answer in own} == {"c"}
    first.split("c", [str(first.images("c")[0].source)], "d2")
    first.update("d", new_id="d3")
    everyone = {person for answer in _found(second, faces.vectors, 50) for person, _ in answer}
    assert {"d2", "d3"} <= everyone
    assert "d" not in everyone
    first.set_templates("mean")
    first.set_storage("int8")
    assert second.check() == []
    assert second.info().index == kind
    assert len(_found(second, units(1), 50)[0]) == second.info().people


def test_a_gallery_changes_its_kind_and_leaves_nothing(
    make_gallery, faces, postgres_server, postgres_shared
) -> None:
    def tables() -> list[str]:
        sql = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'search%'"
        return [name for (name,) in postgres_server.execute(sql, database="shared")]

    gallery, node = make_gallery(index="flat"), make_gallery()
    gallery.enroll(faces)
    expected = _found(node, faces.vectors)
    assert tables() == []
    for kind in KINDS:
        gallery.rebuild(kind)
        assert len(tables()) == 1
        assert gallery.info().index == kind
        assert _found(node, faces.vectors) == expected == _found(gallery, faces.vectors)
        gallery.rebuild()
        gallery.purge()
        assert _found(node, faces.vectors) == expected
        assert len(tables()) == 1
    gallery.rebuild("flat")
    assert tables() == []
    assert _found(node, faces.vectors) == expected


def test_a_damaged_vector_is_in_no_answer(make_gallery, faces, postgres_server, capsys) -> None:
    gallery = make_gallery()
    gallery.enroll(faces)
    postgres_server.execute(
        "UPDATE facever_people.images SET vector = decode(repeat('00', 32), 'hex') WHERE source = "
        "(SELECT max(source) FROM facever_people.images WHERE source LIKE '%59.jpg')",
        database="shared",
    )
    assert "single" not in {person for person, _ in _found(gallery, faces.vectors[-1:], 50)[0]}
    assert "damaged" in capsys.readouterr().err
    assert any("damaged" in one.problem for one in gallery.check())


def test_what_the_table_lacks_or_has_too_much_is_found_and_made_anew(
    make_gallery, faces, postgres_server
) -> None:
    gallery = make_gallery()
    gallery.enroll(faces)
    (table,) = postgres_server.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'search%'",
        database="shared",
    )[0]
    run = lambda sql: postgres_server.execute(sql, database="shared")  # noqa: E731
    run(f"UPDATE facever_people.{table} SET vector = '[1,0,0,0,0,0,0,0]' WHERE entry = 3")
    run(f"UPDATE facever_people.{table} SET person = 2 WHERE entry = 1")
    said = [one.problem for one in gallery.check()]
    assert len(said) == 2
    assert all("facever gallery rebuild" in problem for problem in said)
    gallery.rebuild()
    assert gallery.check() == []
    expected = _found(gallery, faces.vectors)
    (table,) = run("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'search%'")[0]
    run(f"DROP TABLE facever_people.{table}")
    assert [one.part for one in gallery.check()] == ["index"]
    assert _found(gallery, faces.vectors) == expected
    assert gallery.check() == []
    (table,) = run("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'search%'")[0]
    run(f"DROP TABLE facever_people.{table}")
    gallery.update("b", {"site": "A"})  # the next change makes it anew, too
    assert gallery.check() == []


def test_a_copy_searches_in_the_database_or_in_its_folder(
    make_gallery, with_pgvector, tmp_path, faces, units
) -> None:
    gallery = make_gallery()
    gallery.enroll(faces)
    wanted = _found(gallery, units(5, seed=3))
    here, there = f"{with_pgvector}&gallery=people", f"{with_pgvector}&gallery=copied"
    for place, kind in ((there, EXACT), (tmp_path / "folder", "auto")):
        copy_gallery(here, place)
        with Gallery.open(place) as copy:
            assert (copy.info().index == EXACT) == (kind == EXACT)
            assert _found(copy, units(5, seed=3)) == wanted
            copy.remove(wanted[0][0][0])
            assert wanted[0][0][0] not in dict(_found(copy, units(5, seed=3))[0])


def test_near_duplicates_and_conflicts_are_found(make_gallery, faces, make_point) -> None:
    gallery = make_gallery()
    gallery.enroll(faces)
    gallery.add_operating_point("door", make_point("1:N", threshold=0.9))
    again = gallery.enroll(faces.vectors[-1:], "other", fingerprint="model-1", near=0.99)
    assert [one.known_as for one in again.duplicates] == ["single"]
    with pytest.raises(GalleryError, match="single"):
        gallery.enroll(faces.vectors[-1:], "other", fingerprint="model-1", conflicts="refuse")


def test_a_migration_takes_the_table_along(make_gallery, faces, units) -> None:
    from facever.gallery.records import Binding

    gallery, node = make_gallery(index=HNSW), make_gallery()
    gallery.enroll(faces)
    gallery.begin_migration(Binding("model-2", 12))
    images = [one.image for one in gallery.pending_images()]
    vectors = units(len(images), 5, 12)
    gallery.add_migrated(images, vectors, [None] * len(images), fingerprint="model-2")
    gallery.finish_migration("model-2")
    own = node.search(vectors, 1, fingerprint="model-2")
    ids = gallery.entries()[0]
    assert [answer.candidates[0].person for answer in own] == ids


@pytest.mark.parametrize("path", ["folder"])
def test_a_gallery_in_a_folder_has_no_pgvector(tmp_path: Path, path: str) -> None:
    for kind in KINDS:
        with pytest.raises(GalleryError, match=r"index 'pgvector' is for galleries in PostgreSQL"):
            Gallery.create(tmp_path / path, fingerprint="m", dimension=8, index=kind)
    with Gallery.create(tmp_path / path, fingerprint="m", dimension=8) as gallery:
        with pytest.raises(GalleryError, match="postgresql://"):
            gallery.rebuild("pgvector")
        assert gallery.info().index == "auto"


def test_a_database_without_pgvector_is_named_with_the_remedy(postgres_database, faces) -> None:
    with pytest.raises(GalleryError, match="CREATE EXTENSION vector"):
        Gallery.create(postgres_database, fingerprint="model-1", dimension=8, index=EXACT)
    with Gallery.create(postgres_database, fingerprint="model-1", dimension=8) as gallery:
        gallery.enroll(faces)
        with pytest.raises(GalleryError, match="CREATE EXTENSION vector"):
            gallery.rebuild(EXACT)
        assert gallery.info().index == "auto"
        assert _found(gallery, faces.vectors[-1:], 1)[0][0][0] == "single"


def test_tune_chooses_the_effort_for_a_recall(make_gallery, units) -> None:
    from facever.studies.index_tuning import tune

    gallery = make_gallery(dimension=16)
    people = np.repeat(units(300, 1, 16), 2, axis=0) + 0.05 * units(600, 2, 16)
    people /= np.linalg.norm(people, axis=1, keepdims=True)
    gallery.enroll(people, [f"{n // 2:03}" for n in range(600)], fingerprint="model-1")
    change = gallery.change
    found = tune(
        gallery, recall=0.9, k=5, fpir=0.1, kinds=["pgvector", "pgvector:ivfflat,lists=30"]
    )
    flat, exact, approximate = found.rows
    assert exact.kind == EXACT
    assert exact.recall == 1.0
    assert exact.points == flat.points
    assert 0.9 <= approximate.recall < 1
    chosen = int(approximate.kind.removeprefix("pgvector:ivfflat,lists=30,probes="))
    assert 1 < chosen < 30
    fewer = f"pgvector:ivfflat,lists=30,probes={max(1, chosen // 2)}"
    assert tune(gallery, k=5, fpir=0.1, kinds=[fewer]).rows[1].recall < 0.9
    assert gallery.change == change
    with pytest.raises(GalleryError, match="recall chooses"):
        tune(gallery, recall=0.9, kinds=["flat"])
    with pytest.raises(GalleryError, match="above 0 and at most 1"):
        tune(gallery, recall=1.5)
    gallery.rebuild(approximate.kind)
    assert gallery.info().index == approximate.kind


def test_an_approximate_index_is_used_and_misses(make_gallery, units) -> None:
    """With one of thirty cells most neighbours are missed; filters miss none."""
    gallery = make_gallery(index="pgvector:ivfflat,lists=30,probes=1")
    vectors, probes = units(600), units(30, seed=4)
    gallery.enroll(vectors, [f"{n:03}" for n in range(600)], fingerprint="model-1")
    gallery.rebuild()  # cells of these vectors
    exact = [int((vectors.astype(float) @ probe).argmax()) for probe in probes]
    found = [int(answer[0][0]) for answer in _found(gallery, probes, 1)]
    assert 0 < sum(one != other for one, other in zip(found, exact, strict=True)) < 30
    for answer, probe in zip(_found(gallery, probes, 1), probes, strict=True):
        person, score = answer[0]
        assert score == pytest.approx(float(vectors[int(person)].astype(float) @ probe), abs=1e-6)
    for number in range(600):
        gallery.update(f"{number:03}", {"site": "A"})
    found = [int(answer[0][0]) for answer in _found(gallery, probes, 1, where={"site": "A"})]
    assert found == exact
    gallery.rebuild("pgvector:ivfflat,lists=30,probes=30")
    node = make_gallery()  # pgvector is not loaded yet in its connection
    assert [int(answer[0][0]) for answer in _found(node, probes, 1)] == exact


def test_the_commands_of_the_guide_run(make_gallery, with_pgvector, units) -> None:
    block = re.search(r"## Two ways to search.*?```bash\n(.*?)```", GUIDE, re.DOTALL)
    create, *others = [shlex.split(line, comments=True) for line in block[1].splitlines()]
    assert create[:3] == ["facever", "gallery", "create"]
    gallery = make_gallery(index=create[create.index("--index") + 1])
    people = np.repeat(units(60, 1), 2, axis=0) + 0.05 * units(120, 2)
    people /= np.linalg.norm(people, axis=1, keepdims=True)
    gallery.enroll(people, [f"{n // 2}" for n in range(120)], fingerprint="model-1")
    for words in others:
        given = [word.replace("$GALLERY", f"{with_pgvector}&gallery=people") for word in words[2:]]
        # few strangers are held out of so small a gallery
        given += ["--share", "0.4", "--fpir", "0.1"] if "tune" in words else []
        done = CliRunner().invoke(app, given)
        assert done.exit_code == 0, done.output
        if "--index" in words:
            assert gallery.info().index.startswith(words[words.index("--index") + 1].split(",")[0])


def test_nodes_search_while_an_approximate_index_is_built(
    make_gallery, faces, units, monkeypatch
) -> None:
    """It is built in the transaction of the change: others write later, and search meanwhile."""
    first, second = make_gallery(index="auto"), make_gallery()
    first.enroll(faces)
    build, answers = SearchTable.build_index, []

    def built(table: SearchTable, db: object) -> None:
        build(table, db)
        answers.append(_found(second, faces.vectors, 1))

    monkeypatch.setattr(SearchTable, "build_index", built)
    for kind in (HNSW, IVF):  # the second replaces the table of the first
        first.rebuild(kind)
    wanted = [[(person, pytest.approx(1, abs=1e-6))] for person in faces.identities]
    assert answers == [wanted, wanted]
    assert _found(second, faces.vectors, 1) == wanted


def test_roles_have_the_rights_that_they_had(
    make_gallery, with_pgvector, postgres_server, faces
) -> None:
    with make_gallery() as gallery:
        gallery.enroll(faces)
    run = lambda sql: postgres_server.execute(sql, database="shared")  # noqa: E731
    run(
        "CREATE ROLE some_reader LOGIN;"
        "GRANT USAGE ON SCHEMA facever, facever_people, types TO some_reader"
    )
    try:
        run("GRANT SELECT ON facever.galleries TO some_reader")
        run("GRANT SELECT ON ALL TABLES IN SCHEMA facever_people TO some_reader")
        with make_gallery() as gallery:
            gallery.rebuild()  # a new table
        address = f"{with_pgvector}&gallery=people&user=some_reader"
        with Gallery.open(address) as gallery:
            assert gallery.info().read_only
            assert [a[0][0] for a in _found(gallery, faces.vectors, 1)] == list(faces.identities)
            (table,) = run(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'search%'"
            )[0]
            run(f"DROP TABLE facever_people.{table}")
            with pytest.raises(GalleryError, match="as the owner"):
                _found(gallery, faces.vectors, 1)
    finally:
        run("DROP OWNED BY some_reader; DROP ROLE some_reader")
