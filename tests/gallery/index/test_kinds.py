import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.index import kinds as room
from facever.gallery.index.kinds import build, checked_kind, resolved


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("flat", "flat"),
        ("Flat", "flat"),
        (" auto ", "auto"),
        ("auto:latency_ms=20,memory_gb=8", "auto:latency_ms=20,memory_gb=8"),
        ("IVF256,SQ8:nprobe=8", "IVF256,SQ8:nprobe=8"),
        ("HNSW32:efSearch=64", "HNSW32:efSearch=64"),
        ("OPQ8,IVF64,PQ8", "OPQ8,IVF64,PQ8"),
    ],
)
def test_kinds_that_there_are(given: str, kept: str) -> None:
    assert checked_kind(given, 32) == kept == checked_kind(kept, 32)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "nonsense",
            "no index 'nonsense' for vectors of width 32 (could not parse index string "
            "nonsense): give a FAISS factory string, such as Flat, IVF256,Flat, HNSW32 or PQ64",
        ),
        (
            "IVF16,Flat:efSearch=3",
            "index 'IVF16,Flat' has no parameters 'efSearch=3': valid are, for example, "
            "nprobe=8 for IVF, "
            "efSearch=64 for HNSW",
        ),
        ("flat:nprobe=3", "index 'flat' has no parameters 'nprobe=3'"),
        *(
            (
                f"auto:{wrong}",
                f"index 'auto' has no parameters '{wrong}' (allowed: such as "
                "memory_gb=8,latency_ms=20)",
            )
            for wrong in ("disk=3", "memory_gb=x", "latency_ms=0", "memory_gb=-1", "latency_ms")
        ),
    ],
)
def test_kinds_that_there_are_not(given: str, message: str) -> None:
    with pytest.raises(GalleryError) as refusal:
        checked_kind(given, 32)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("asked", "count", "kind"),
    [
        ("HNSW32", 10, "HNSW32"),
        ("flat", 10**9, "flat"),
        ("auto", 10**6, "flat"),
        ("auto:memory_gb=0.001,latency_ms=0.001", 10**6, "flat"),
        ("auto:memory_gb=100,latency_ms=1100", 2 * 10**6, "flat"),  # 4.1 GB in 1.02 s
        # 8,192 cells for 5,657; 4.1 GB in 0.5 s is half of them, but no more than an eighth
        ("auto:memory_gb=100,latency_ms=500", 2 * 10**6, "IVF4096,Flat:nprobe=512"),
        # 0.2 GB of 4.1 in 50 ms
        ("auto:memory_gb=100,latency_ms=50", 2 * 10**6, "IVF4096,Flat:nprobe=128"),
        ("auto:memory_gb=3,latency_ms=50", 2 * 10**6, "IVF4096,SQ8:nprobe=512"),
        ("auto:memory_gb=1,latency_ms=1", 2 * 10**6, "IVF4096,PQ64:nprobe=128"),
        ("auto:memory_gb=0.001,latency_ms=0.001", 2 * 10**6, "IVF4096,PQ64:nprobe=8"),
        ("auto:memory_gb=64,latency_ms=50", 10**8, "IVF32768,SQ8:nprobe=128"),
    ],
)
def test_what_is_chosen_by_size(asked: str, count: int, kind: str) -> None:
    assert resolved(checked_kind(asked, 512), count, 512) == kind


def test_half_of_the_machines_memory_is_wanted_by_default(monkeypatch) -> None:
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2 * 10**9 // 4096}
    monkeypatch.setattr(room.os, "sysconf", pages.__getitem__)
    count = 2 * 10**6  # 1.0 GB by SQ8
    assert resolved("auto", count, 480).split(":")[0] == "IVF4096,SQ8"
    assert resolved("auto", count, 520).split(":")[0] == "IVF4096,PQ65"
    assert resolved("auto", count, 7 * 521).split(":")[0] == "IVF4096,PQ7"  # pieces divide it


def test_an_index_finds_rows_and_is_the_same_each_time(units) -> None:
    import faiss

    vectors = units(3000, dimension=16)
    found = []
    for _ in range(2):
        index, note = build("IVF16,PQ8x4:nprobe=16", vectors)
        assert note == ""
        found.append(index.search(vectors[:20], 5))
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one, other)
    flat, _ = build("Flat", vectors)
    assert np.array_equal(flat.search(vectors, 1)[1][:, 0], np.arange(3000))
    assert flat.metric_type == faiss.METRIC_INNER_PRODUCT
    assert build("Flat", vectors, faiss.METRIC_L2)[0].metric_type == faiss.METRIC_L2


def test_training_takes_a_sample_from_everywhere(units, monkeypatch) -> None:
    monkeypatch.setattr(room, "_MOST", 41)
    monkeypatch.setattr(room, "_MANY", 160)
    trained = []
    real = room._sample
    monkeypatch.setattr(room, "_sample", lambda *given: trained.append(real(*given)) or trained[-1])
    vectors = units(1000, dimension=8)
    index, _ = build("IVF4,Flat", vectors)
    assert index.ntotal == 1000
    assert trained[0].shape == (160, 8)
    rows = [int(np.flatnonzero((vectors == row).all(axis=1))[0]) for row in trained[0]]
    assert len(set(rows)) == 160
    assert rows[0] < 100
    assert rows[-1] > 900
    monkeypatch.setattr(room, "_MANY", 10**6)
    build("IVF4,Flat", vectors)
    assert len(trained[-1]) == 164  # as many as help
    monkeypatch.setattr(room, "_MANY", 10)
    build("IVF4,Flat", vectors)
    assert len(trained[-1]) == 156  # as many as are enough
    monkeypatch.setattr(room, "_SAMPLE", 50)
    build("SQ8", vectors)
    assert len(trained[-1]) == 50


def test_few_vectors_train_with_a_note_and_too_few_do_not(units, capfd) -> None:
    note = build("IVF16,Flat", units(100, dimension=8))[1]
    assert note == (
        "index 'IVF16,Flat' was trained on 100 vectors; FAISS recommends 39 for each of its 16 "
        "centroids, 624"
    )
    with pytest.raises(GalleryError) as refusal:
        build("IVF200,Flat", units(100, dimension=8))
    assert str(refusal.value) == (
        "index 'IVF200,Flat' needs at least 200 gallery vectors to train; there are 100"
    )
    assert "WARNING" not in capfd.readouterr().err


@pytest.mark.parametrize(("kind", "ordered"), [("PQ1x4", False), ("PQ1x4:ht=4", True)])
def test_codes_are_ordered_for_a_filter_only_where_it_is_used(units, kind, ordered) -> None:
    import faiss

    index, _ = build(kind, units(100, dimension=8), faiss.METRIC_L2)
    assert faiss.downcast_index(index).do_polysemous_training == ordered


@pytest.mark.parametrize("kind", ["HNSW8", "HNSW8,RFlat", "HNSW8_SQ8"])
def test_a_graph_is_built_with_all_cores_and_says_how_long(
    monkeypatch, units, capsys, kind
) -> None:
    threads, faiss = [], room.import_faiss()
    before = faiss.omp_get_max_threads()
    monkeypatch.setattr(room, "usable_cpus", lambda: 3)
    monkeypatch.setattr(room, "_FIRST", 50)
    monkeypatch.setattr(room, "_LONG", 0)
    monkeypatch.setattr(room, "duration", lambda _: threads.append(faiss.omp_get_max_threads()))
    index, _ = build(kind, units(200))
    assert index.ntotal == 200
    assert threads == [3]
    assert faiss.omp_get_max_threads() == before
    assert f"index '{kind}'" in capsys.readouterr().err
    threads.clear()
    build("SQ8", units(200))
    build(kind, units(50))
    assert threads == []
