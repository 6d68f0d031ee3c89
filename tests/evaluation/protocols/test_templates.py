"""Templates of embedding sets: by column, by list, as failures, in verification."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from facever.data.pairs import PairList
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import DataError, EvaluationError
from facever.evaluate import pool_templates, template_set, verification
from facever.evaluation.inputs import find_rows, kind_of
from facever.evaluation.protocols.all_pairs import all_pairs


@pytest.fixture
def faces(make_faces):
    """120 images, two templates a person, media in threes; all images of one template fail."""
    vectors, names = make_faces(120, people=10, seed=1)
    order = np.argsort(names, kind="stable")
    vectors, names = vectors[order], names[order]
    number = pd.Series(names).groupby(names).cumcount().to_numpy()
    templates = [f"{name}-{k % 2}" for name, k in zip(names, number, strict=True)]
    made = EmbeddingSet.from_arrays(
        vectors * np.linspace(1, 9, 120)[:, None],
        names,
        fingerprint="f",
        path=[f"{name}/{k}.jpg" for name, k in zip(names, number, strict=True)],
        template=templates,
        media=(number // 3).tolist(),
        sex=["f" if name < "p005" else "m" for name in names],
        pose=(number % 3).tolist(),
        quality=np.linspace(0.1, 1, 120),
    )
    rows = made.rows.copy()
    lost = np.array([template == "p003-1" for template in templates]) | (np.arange(120) == 5)
    rows.loc[lost, "error"] = "truncated"
    units = made.vectors.copy()
    units[lost] = 0
    return replace(made, vectors=units, rows=rows)


def arrays(faces, **options):
    rows = faces.rows
    return pool_templates(
        faces.vectors, rows["template"], rows["identity"], acquired=faces.acquired, **options
    )


def test_by_column_with_what_is_constant(faces):
    found = template_set(faces)
    alone = arrays(faces, media=faces.rows["media"])
    assert np.array_equal(found.vectors, alone.vectors)
    assert found.rows["template"].tolist() == alone.names.tolist()
    assert found.identities.tolist() == [name.partition("-")[0] for name in alone.names]
    assert list(found.rows) == [
        "template", "identity", "sex", "images", "media", "failed_images", "norm", "error",
    ]  # fmt: skip
    assert found.rows["sex"].tolist() == ["f" if n < "p005" else "m" for n in found.identities]
    assert found.rows["images"].sum() == faces.acquired.sum()
    assert found.rows["failed_images"].sum() == (~faces.acquired).sum()
    lost = found.rows[~found.acquired]
    assert lost["template"].tolist() == ["p003-1"]
    assert lost["error"].tolist() == ["no image of the template has a vector"]
    assert (kind_of(faces), kind_of(found)) == ("1:1-image", "1:1-template")
    assert found.meta.options["templates"] == {"by": "template", "media": "media", "quality": None}


def test_quality_and_media_are_columns(faces):
    weighted = template_set(faces, quality="quality", media="pose")
    alone = arrays(faces, media=faces.rows["pose"], weights=faces.rows["quality"])
    assert np.array_equal(weighted.vectors, alone.vectors)
    norms = template_set(faces, quality="norm")
    alone = arrays(faces, media=faces.rows["media"], weights=faces.rows["norm"])
    assert np.array_equal(norms.vectors, alone.vectors)


def test_images_without_a_template_are_left_out(faces):
    rows = faces.rows.copy()
    rows.loc[rows["identity"] == "p004", "template"] = None
    found = template_set(replace(faces, rows=rows))
    assert "p004" not in found.identities
    assert len(found) == len(template_set(faces)) - 2


def test_a_list_may_put_an_image_into_several_templates(faces, tmp_path):
    rows = faces.rows
    index = np.flatnonzero((rows["identity"] == "p001").to_numpy())
    listed = pd.DataFrame(
        {
            "template": ["1"] * 3 + ["2"] * 2,
            "identity": ["p001"] * 5,
            "path": rows["path"][[*index[:3], *index[2:4]]],
            "media": ["a", "a", "b", "a", "a"],
        }
    )
    path = tmp_path / "templates.csv"
    listed.to_csv(path, index=False)
    found = template_set(faces, path)
    a, b, c, d = faces.vectors[index[:4]].astype(float)
    for vector, mean in zip(found.vectors, ((a + b) / 2 + c, c + d), strict=True):
        assert vector == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    numbered = listed.drop(columns="path").assign(row=[*index[:3], *index[2:4]])
    numbered.to_parquet(tmp_path / "templates.parquet")
    assert np.array_equal(
        template_set(faces, tmp_path / "templates.parquet").vectors, found.vectors
    )


def test_wrong_lists_are_one_line(faces, tmp_path):
    path = tmp_path / "templates.csv"
    good = faces.rows[["template", "identity", "path"]].iloc[:4]
    numbers = good.drop(columns="path")
    cases = [
        (good.drop(columns="template"), DataError, "no column 'template'"),
        (numbers, DataError, "no column 'row'"),
        (numbers.assign(row=[0, 1, 2, 120]), EvaluationError, "whole numbers from 0 to 119"),
        (numbers.assign(row=[0.5, 1, 2, 3]), EvaluationError, "whole numbers from 0 to 119"),
        (good.assign(path="x/y.jpg"), EvaluationError, r"names x/y\.jpg, which has no row"),
        (
            good.assign(identity="Z"),
            EvaluationError,
            r"row 1 has identity Z, .* p000 \(4 such rows\)",
        ),
        (good.iloc[[0, 0]], EvaluationError, r"template p000-0 names an image twice \(1 such rows"),
    ]
    for table, error, message in cases:
        table.to_csv(path, index=False)
        with pytest.raises(error, match=message) as caught:
            template_set(faces, path)
        assert str(path) in str(caught.value)


def test_wrong_columns_are_one_line(faces):
    with pytest.raises(EvaluationError, match=r"^unknown column 'tmplate'; did you mean 'template"):
        template_set(faces, "tmplate")
    with pytest.raises(EvaluationError, match=r"^unknown column 'quallity'; did you mean 'quality"):
        template_set(faces, quality="quallity")
    with pytest.raises(EvaluationError, match=r"^column 'sex' has a value that is not a number$"):
        template_set(faces, quality="sex")
    empty = replace(faces, rows=faces.rows.assign(template=None))
    with pytest.raises(EvaluationError, match=r"^column 'template' has no value in any row$"):
        template_set(empty)


def test_all_pairs_of_templates_count_the_failed_one(faces):
    templates = template_set(faces)
    result = verification(templates, far=[0.05], groups=["sex"])
    assert (result.trials.genuine, result.trials.impostor) == (9, 19 * 18 // 2 - 9)
    assert (result.failures.images, result.failures.failed) == (20, 1)
    assert (result.failures.genuine, result.failures.impostor) == (1, 18)
    assert {rate.first for rate in result.groups["sex"]} == {"f", "m"}
    assert result.kind == result.operating_point(0.05).kind == "1:1-template"
    assert verification(faces, far=[0.05]).operating_point(0.05).kind == "1:1-image"
    pairs, _ = all_pairs([templates], "cosine")
    assert len(pairs.first.codes) == 19


def test_pairs_of_templates(faces):
    templates = template_set(faces)
    frame = pd.DataFrame(
        {
            "a": ["p000-0", "p001-0", "p003-0", "p000-1"],
            "b": ["p000-1", "p002-1", "p003-1", "p009-0"],
            "same": [1, 0, 1, 0],
        }
    )
    result = verification(templates, pairs=PairList(frame), far=[0.5])
    assert (result.trials.genuine, result.trials.impostor) == (1, 2)
    assert (result.failures.genuine, result.failures.failed) == (1, 1)
    assert result.kind == "1:1-template"
    at = {name: i for i, name in enumerate(templates.rows["template"])}
    scores = [
        float(templates.vectors[at[a]].astype(float) @ templates.vectors[at[b]])
        for a, b in (("p001-0", "p002-1"), ("p000-1", "p009-0"))
    ]
    assert min(scores) < result.at(0.5).threshold < max(scores)
    with pytest.raises(EvaluationError, match="names p000-7, which has no row"):
        verification(templates, pairs=PairList(frame.assign(a="p000-7")))


def test_templates_have_no_suffix_to_leave_away(faces):
    templates = template_set(faces)
    named = replace(templates, rows=templates.rows.assign(template=["v.1", *"bcdefghijklmnopqrst"]))
    assert find_rows(named, ["t", "v.1"], "list").tolist() == [19, 0]
    with pytest.raises(
        EvaluationError, match=r"^list names v\.2, which has no row in the embedding"
    ):
        find_rows(named, ["v.2"], "list")


def test_templates_are_compared_by_cosine(faces):
    euclidean = replace(faces, meta=replace(faces.meta, metric="euclidean"))
    assert template_set(euclidean).meta.metric == "cosine"
