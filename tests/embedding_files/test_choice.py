"""Which arrays are vectors, identities and columns: found by name and shape, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facever.embedding_files.arrays import EmbeddingFile, SlicedArray, whole
from facever.embedding_files.choice import choose, names_of, unused_in
from facever.errors import DataError

V = np.random.default_rng(0).normal(size=(6, 4))
IDS = np.array([1, 1, 2, 2, 3, 3])


def file(either_way: bool = False, **arrays: Any) -> EmbeddingFile:
    held = {name.replace("__", "/"): SlicedArray(np.asarray(one)) for name, one in arrays.items()}
    return EmbeddingFile(Path("a.npz"), "embeddings-npz", dict(held), {"x": "objects"}, either_way)


@pytest.mark.parametrize(
    ("arrays", "vectors", "names"),
    [
        ({"f": V, "pids": IDS, "camids": IDS}, "f", {"identity": "pids", "camera": "camids"}),
        ({"a": V, "labels": IDS}, "a", {"identity": "labels"}),
        ({"a": V, "pids": IDS, "labels": IDS}, "a", {"identity": "pids", "labels": "labels"}),
        ({"a": V, "label": IDS[None], "files": IDS}, "a", {"identity": "label", "path": "files"}),
        ({"Embeddings": V, "other": V, "Y": IDS}, "Embeddings", {"identity": "Y"}),
        ({"a": V, "column": IDS[:, None].astype(float)}, "a", {"column": "column"}),
        ({"data__feats": V, "data__ids": IDS}, "data/feats", {"identity": "data/ids"}),
        ({"a": V, "classes": IDS[:3], "labels": IDS}, "a", {"identity": "labels"}),
        ({"a": V, "epoch": 3, "cams": IDS[:2]}, "a", {}),
    ],
)  # fmt: skip
def test_names(arrays: dict[str, Any], vectors: str, names: dict[str, str]) -> None:
    (table,) = choose(file(**arrays))
    assert (table.vectors_name, table.names, table.subset) == (vectors, names, None)
    assert table.vectors.shape == V.shape
    assert set(table.columns) == set(names)


def test_named_arrays_and_what_is_left() -> None:
    (table,) = choose(file(u=V, v=2 * V, first=IDS, pids=IDS, w=V[:2]), "v", "first")
    np.testing.assert_array_equal(whole(table.vectors, Path("a")), 2 * V)
    assert table.names == {"identity": "first", "pids": "pids"}
    assert unused_in([table]) == ["u float64 [6, 4]", "w float64 [2, 4]", "x (objects)"]


@pytest.mark.parametrize(
    "names",
    [
        ("qf", "q_pids", "q_camids", "gf", "g_pids", "g_camids"),
        ("query_f", "query_label", "query_cam", "gallery_f", "gallery_label", "gallery_cam"),
        tuple(
            f"{side}__{one}"
            for side in ("query", "gallery")
            for one in ("features", "pids", "camids")
        ),
    ],
)
def test_queries_and_gallery(names: tuple[str, ...]) -> None:
    values = (V[:2], IDS[:2], IDS[:2], V, IDS, IDS)
    held = file(**dict(zip(names, values, strict=True)))
    query, gallery = choose(held)
    assert (query.subset, gallery.subset) == ("query", "gallery")
    assert (query.vectors.shape, gallery.vectors.shape) == ((2, 4), (6, 4))
    assert list(query.columns) == list(gallery.columns) == ["identity", "camera"]
    ids = f"{names[1]}, {names[4]}".replace("__", "/")
    assert names_of([query, gallery])["identity"] == ids
    (one,) = choose(held, names[3].replace("__", "/"))
    assert (one.subset, one.vectors.shape) == ("gallery", (6, 4))
    with pytest.raises(DataError, match="--vectors"):
        choose(held, rows=8)


def test_matlabs_axes_follow_the_labels() -> None:
    for matrix in (V, V.T):
        (table,) = choose(file(True, feat=matrix, label=IDS[:, None]))
        np.testing.assert_array_equal(whole(table.vectors, Path("a")), V)
        (table,) = choose(file(True, feat=matrix), rows=6)
        np.testing.assert_array_equal(whole(table.vectors, Path("a")), V)
    (table,) = choose(file(feat=V.T, label=IDS), axis="columns")
    np.testing.assert_array_equal(whole(table.vectors, Path("a")), V)
    (table,) = choose(file(True, feat=V[:4], label=IDS[:4]), axis="rows")
    np.testing.assert_array_equal(whole(table.vectors, Path("a")), V[:4])


@pytest.mark.parametrize(
    ("held", "options", "parts"),
    [
        (file(a=V, b=V), {}, ("a, b", "--vectors")),
        (file(a=IDS), {}, ("no matrix", "a int64 [6]", "x (objects)")),
        (file(), {}, ("no matrix", "x (objects)")),
        (file(a=V, pid=IDS, pids=IDS), {}, ("pid, pids", "--identities")),
        (file(a=V), {"vectors": "b"}, ("'b'", "allowed: a")),
        (file(a=V), {"vectors": "x"}, ("'x'", "objects")),
        (file(a=V, b=IDS), {"vectors": "b"}, ("matrix", "int64 [6]")),
        (file(a=V, b=IDS), {"identities": "c"}, ("'c'", "a, b")),
        (file(a=V, b=IDS[:5]), {"identities": "b"}, ("'b'", "[5]", "6 vectors")),
        (file(a=V, b=V), {"vectors": "a", "identities": "b"}, ("'b'", "6 vectors")),
        (file(a=V, labels=IDS[:4]), {}, ("'labels'", "[4]", "--vectors-in")),
        (file(True, a=V), {}, ("[N, D] or [D, N]", "--vectors-in")),
        (file(True, a=V[:4], labels=IDS[:4]), {}, ("[N, D] or [D, N]", "--vectors-in")),
        (file(True, a=V), {"rows": 5}, ("5 labels", "--vectors-in")),
        (file(a=V[:, :0]), {}, ("matrix",)),
    ],
)  # fmt: skip
def test_what_is_refused(held: EmbeddingFile, options: Any, parts: tuple[str, ...]) -> None:
    with pytest.raises(DataError) as error:
        choose(held, **options)
    assert all(part in str(error.value) for part in ("a.npz", *parts)), error.value
