import sqlite3
from contextlib import closing

import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.records import Settings


def test_templates_change_and_change_back(open_store, some, entries) -> None:
    store, reader = open_store(), open_store()
    store.enroll(some("abab"), {}, "keep")
    before, generation = entries(store), store.generation()
    assert reader.entry_count() == 4
    store.set_templates("mean")
    assert (reader.entry_count(), reader.settings.templates) == (2, "mean")
    assert reader.generation() not in (generation, "")
    assert reader.counts() == (2, 4)
    second = reader.generation()
    store.set_templates("all")
    assert entries(reader) == before
    assert reader.generation() not in (generation, second)
    with store.reading() as db:
        assert db.execute("SELECT count(*) FROM templates").fetchone() == (0,)


def test_the_same_again_is_no_change(open_store, some) -> None:
    store = open_store(templates="mean", storage="int8", index="flat")
    store.enroll(some("ab"), {}, "keep")
    before = store.change(), store.generation()
    store.set_templates("mean")
    store.set_storage("int8")
    store.set_index("flat")
    assert (store.change(), store.generation()) == before


@pytest.mark.parametrize("policy", ["all", "mean"])
def test_storage(open_store, some, policy: str) -> None:
    store, reader = open_store(templates=policy), open_store()
    images = some("ababa")
    store.enroll(images, {}, "keep")
    exact = reader.vectors_of("a")
    generation, sizes = reader.generation(), []
    for kind, error in (("float16", 1e-3), ("int8", 1e-2), ("float32", 1e-2)):
        store.set_storage(kind)
        assert reader.settings.storage == kind
        assert np.abs(reader.vectors_of("a") - exact).max() < error
        assert reader.generation() != generation
        generation = reader.generation()
        with store.reading() as db:
            sizes.append(db.execute("SELECT sum(length(vector)) FROM images").fetchone()[0])
        assert list(reader.check()) == []
    assert sizes == [5 * 6 * 2, 5 * 6, 5 * 6 * 4]
    assert not np.array_equal(reader.vectors_of("a"), exact)  # what was rounded stays so


def test_more_vectors_than_are_converted_at_once(open_store, some) -> None:
    store = open_store()
    images = some("a" * 5000)
    store.enroll(images, {}, "keep")
    store.set_storage("float16")
    found = store.vectors_of("a")
    assert np.abs(found - images.vectors).max() < 1e-3


def test_a_failed_change_of_templates_changes_nothing(open_store, some, entries) -> None:
    store = open_store()
    store.enroll(some("ab", norms=[None, None]), {}, "keep")
    before = store.change(), store.generation(), store.settings, entries(store)
    with pytest.raises(GalleryError, match=r"^no templates by 'quality_mean': the norm of image 0"):
        store.set_templates("quality_mean")
    for wrong in ("median", "medoids:0", "medoids:x"):
        with pytest.raises(GalleryError, match="unknown template policy"):
            store.set_templates(wrong)
    with pytest.raises(GalleryError, match="storage is 'float64'"):
        store.set_storage("float64")
    assert (store.change(), store.generation(), store.settings, entries(store)) == before


def test_the_index_that_is_wanted(open_store) -> None:
    store, reader = open_store(), open_store()
    generation = reader.generation()
    assert reader.settings == Settings()
    store.set_index("HNSW32")
    assert reader.settings.index == "HNSW32"
    assert reader.generation() == generation  # the entries are the same


def test_settings_that_are_missing(open_store) -> None:
    store = open_store()
    with closing(sqlite3.connect(store.path)) as db:
        db.execute("DELETE FROM meta WHERE key IN ('storage', 'generation')")
        db.commit()
    with pytest.raises(GalleryError, match="is damaged: it does not say its 'generation'"):
        open_store()
