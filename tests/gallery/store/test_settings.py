"""Settings: what changes with another template policy, storage or index."""

import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.records import Settings


def test_templates_change_and_change_back(make_store, some, entries) -> None:
    store, reader = make_store(), make_store()
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
    assert list(store.check()) == []  # no templates are left


def test_the_same_again_is_no_change(make_store, some) -> None:
    store = make_store(templates="mean", storage="int8", index="flat")
    store.enroll(some("ab"), {}, "keep")
    before = store.change(), store.generation()
    store.set_templates("mean")
    store.set_storage("int8")
    store.set_index("flat")
    assert (store.change(), store.generation()) == before


@pytest.mark.parametrize("policy", ["all", "mean"])
def test_storage(make_store, some, policy: str) -> None:
    store, reader = make_store(templates=policy), make_store()
    images = some("ababa")
    store.enroll(images, {}, "keep")
    exact = reader.vectors_of("a")
    generation = reader.generation()
    for kind, error in (("float16", 1e-3), ("int8", 1e-2), ("float32", 1e-2)):
        store.set_storage(kind)
        assert reader.settings.storage == kind
        assert np.abs(reader.vectors_of("a") - exact).max() < error
        assert reader.generation() != generation
        generation = reader.generation()
        assert list(reader.check()) == []
    assert not np.array_equal(reader.vectors_of("a"), exact)  # what was rounded stays so


def test_more_vectors_than_are_converted_at_once(make_store, some) -> None:
    store = make_store()
    images = some("a" * 5000)
    store.enroll(images, {}, "keep")
    store.set_storage("float16")
    found = store.vectors_of("a")
    assert np.abs(found - images.vectors).max() < 1e-3


def test_a_failed_change_of_templates_changes_nothing(make_store, some, entries) -> None:
    store = make_store()
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


def test_the_index_that_is_wanted(make_store) -> None:
    store, reader = make_store(), make_store()
    generation = reader.generation()
    assert reader.settings == Settings()
    store.set_index("HNSW32")
    assert reader.settings.index == "HNSW32"
    assert reader.generation() == generation  # the entries are the same
