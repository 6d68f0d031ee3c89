from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from facever.errors import EvaluationError
from facever.evaluate import identification, retrieval
from facever.evaluation.inputs import rows_where, where
from facever.evaluation.one_to_many.expansion import Expansion
from facever.evaluation.one_to_many.reranking import Reranking


def measures(result):
    """Everything but what the set itself says: row numbers, and whom the model knows."""
    own = ("wrong_first", "overlap")
    return {name: value for name, value in result.to_dict().items() if name not in own}


def test_retrieval_of_a_set_is_that_of_its_parts(faces):
    queries, gallery = (rows_where(faces, [f"subset={part}"]) for part in ("query", "gallery"))
    assert measures(retrieval(faces)) == measures(retrieval(queries, against=gallery))
    found = retrieval(faces, camera="camera")
    assert measures(found) == measures(retrieval(queries, against=gallery, camera="camera"))
    assert found.map_plain != retrieval(faces).map_plain
    with pytest.raises(EvaluationError, match="unknown column 'cam'; did you mean 'camera'"):
        retrieval(faces, camera="cam")


def test_images_that_failed_are_not_retrieved_but_counted(failing, faces):
    broken = failing(faces, [0, 1, 2])  # row 0 is a query
    found = retrieval(broken, similarity="dot").to_dict()
    assert found["failure_to_acquire"] == {"queries": 1, "gallery": 2}
    assert retrieval(broken).gallery == retrieval(faces).gallery - 2
    both = retrieval(broken)
    assert both.queries + both.without_match == 39


@pytest.mark.parametrize("camera", [None, "camera"])
def test_a_query_that_a_failure_lost_counts_as_never_matched(failing, faces, camera):
    names, query = faces.identities, (faces.rows.subset == "query").to_numpy()
    alone = np.flatnonzero(~query & (names == names[4]))  # all positives of query 4 fail
    one_camera = faces.rows.camera.where(faces.rows.identity != names[8], 7)
    faces = replace(faces, rows=faces.rows.assign(camera=one_camera))
    broken = failing(faces, [0, *alone])
    found = retrieval(broken, camera=camera)
    cameras = faces.rows.camera.to_numpy()
    answerable = sum(
        any(
            names[g] == names[q] and (camera is None or cameras[g] != cameras[q])
            for g in np.flatnonzero(~query)
        )
        for q in np.flatnonzero(query)
    )
    assert found.answerable == answerable > found.queries
    values = found.to_dict()["with_failures"]
    assert values["queries"] == answerable
    assert values["cmc"]["1"] == found.rank(1) * found.queries / answerable
    assert values["map_plain"] == pytest.approx(found.each.plain.sum() / answerable)
    assert f"with failures: of {answerable} queries" in found.to_text()
    whole = retrieval(faces, camera=camera)
    assert whole.to_dict()["with_failures"]["minp"] == whole.minp
    assert "with failures" not in whole.to_text()


def test_junk_is_no_positive_of_a_failed_query(failing, faces):
    rows = faces.rows.assign(identity=np.where(faces.rows.index < 8, "-1", faces.rows.identity))
    found = retrieval(failing(replace(faces, rows=rows), [0]))
    assert found.answerable == found.queries


def test_a_row_is_not_its_own_positive(faces):
    with pytest.raises(EvaluationError) as raised:
        retrieval(faces, gallery="camera=1")
    common = np.flatnonzero((faces.rows.subset == "query") & (faces.rows.camera == 1))
    assert str(raised.value).startswith(
        f"{len(common)} images are both query and gallery, first row {common[0]}: choose queries"
    )
    everyone = replace(faces, rows=faces.rows.assign(all="yes"))
    found = retrieval(everyone, queries="all=yes", gallery="all=yes", camera="camera")
    assert found.rank(1) < 1  # by the cross-camera rule the own image is left out


def test_people_of_the_training_are_warned_of(faces):
    known = replace(faces, trained_on=pd.DataFrame({"identity": ["p001"], "dataset": ["made up"]}))
    text = "the model was trained on 1 of the 20 people (p001; from made up)"
    assert retrieval(known).warnings == [text]
    gallery = known.select((known.rows.subset == "gallery") & (known.rows.identity < "p012"))
    probes = known.select(known.rows.subset == "query")
    assert identification(probes, gallery).warnings == [text.replace("20", "19")]
    assert retrieval(faces).warnings == []


def test_images_of_both_sets_are_warned_of(faces):
    gallery = faces.select(faces.rows.identity < "p012")
    probes = faces.select(faces.rows.subset == "query")
    shared = np.intersect1d(probes.rows.path, gallery.rows.path)
    (warning,) = identification(probes, gallery).warnings
    assert warning.startswith(f"{len(shared)} images are in both sets, first {shared[0]}: ")
    assert warning.endswith("; omit them from one set")


def test_the_dot_product_uses_the_norms(faces):
    found = retrieval(faces, similarity="dot")
    scaled = faces.vectors * faces.rows["norm"].to_numpy()[:, None]
    query = (faces.rows.subset == "query").to_numpy()
    names = faces.identities
    parts = (scaled[query], names[query]), (scaled[~query], names[~query])
    alone = retrieval(parts[0], against=parts[1], similarity="dot")
    assert measures(found) == measures(alone)
    assert found.map_plain != retrieval(faces).map_plain


def test_identification_of_two_sets(faces):
    gallery = faces.select((faces.rows.subset == "gallery") & (faces.rows.identity < "p012"))
    probes = faces.select(faces.rows.subset == "query")
    found = identification(probes, gallery, fpir=[0.2])
    arrays = (probes.vectors, probes.identities), (gallery.vectors, gallery.identities)
    assert measures(found) == measures(identification(*arrays, fpir=[0.2]))
    other = replace(gallery, meta=replace(gallery.meta, fingerprint="another"))
    with pytest.raises(EvaluationError, match="probes and gallery are of different models"):
        identification(probes, other)


def test_rows_of_mistakes_are_those_of_the_embedding_set(failing, faces):
    broken = failing(faces, [1, 8])
    found = retrieval(broken)
    scores = broken.vectors @ broken.vectors.T
    assert found.first_wrong
    for wrong in found.first_wrong:
        rows = broken.rows.iloc[[wrong.query, wrong.candidate, wrong.right]]
        assert rows.subset.tolist() == ["query", "gallery", "gallery"]
        assert rows.identity.iloc[0] == rows.identity.iloc[2] != rows.identity.iloc[1]
        assert wrong.score == pytest.approx(scores[wrong.query, wrong.candidate], abs=1e-6)
        assert wrong.right_score == pytest.approx(scores[wrong.query, wrong.right], abs=1e-6)
    assert (broken.rows.subset[found.each.rows] == "query").all()


def test_a_query_set_without_cameras_is_one_clear_line(failing, faces):
    gone = faces.rows.camera.where(faces.rows.subset == "gallery")
    with pytest.raises(EvaluationError) as raised:
        retrieval(replace(faces, rows=faces.rows.assign(camera=gone)), camera="camera")
    assert str(raised.value) == (
        "the query set has no cameras: its column 'camera', which the cross-camera rule needs, "
        "is empty"
    )
    with pytest.raises(EvaluationError, match="no query image could be embedded"):
        retrieval(failing(faces, np.arange(0, 160, 4)))


def test_options_of_the_ranking_reach_it(faces):
    options = {"rerank": Reranking(5, 2), "expand": Expansion(2)}
    found = retrieval(faces, **options)
    queries, gallery = (rows_where(faces, [f"subset={part}"]) for part in ("query", "gallery"))
    assert found.map_plain == retrieval(queries, against=gallery, **options).map_plain


def test_probes_and_gallery_images_that_failed_are_counted(failing, faces):
    gallery = faces.select((faces.rows.subset == "gallery") & (faces.rows.identity < "p012"))
    probes = faces.select(faces.rows.subset == "query")
    lost = np.flatnonzero(gallery.identities == gallery.identities[0])
    found = identification(failing(probes, [0, 5]), failing(gallery, lost), fpir=[0.2])
    failed = found.failures
    assert failed.mated + failed.nonmated == 2
    assert (failed.people, found.gallery_size) == (1, len(set(gallery.identities)) - 1)


def test_an_operating_point_of_another_model_is_refused(faces):
    gallery = faces.select((faces.rows.subset == "gallery") & (faces.rows.identity < "p012"))
    probes = faces.select(faces.rows.subset == "query")
    own = identification(probes, gallery, fpir=[0.2]).operating_point(0.2)
    point = own.model_copy(update={"fingerprint": None})
    (realised,) = identification(probes, gallery, operating_points=[own]).realised
    assert realised.found.false_positives / found_nonmated(probes, gallery) == own.achieved_rate
    with pytest.raises(EvaluationError) as raised:
        identification(probes, gallery, operating_points=[point])
    assert str(raised.value) == (
        "the operating point has fingerprint None, the gallery has f: measure one on the scores "
        "of this model"
    )


def found_nonmated(probes, gallery):
    return (~np.isin(probes.identities, gallery.identities)).sum()


@pytest.mark.parametrize("policy", ["mean", "quality_mean", "medoids:2"])
def test_people_are_compared_by_what_the_policy_makes(faces, failing, policy):
    """Against templates made person by person; a person none of whose images has a vector."""
    gallery = faces.select((faces.rows.subset == "gallery") & (faces.rows.identity < "p012"))
    probes = faces.select(faces.rows.subset == "query")
    lost = gallery.identities[0]
    broken = failing(gallery, [*np.flatnonzero(gallery.identities == lost), 20])
    found = identification(probes, broken, fpir=[0.2], templates=policy)
    vectors, names = [], []
    for name in sorted(set(broken.identities) - {lost}):
        own = broken.select((broken.identities == name) & broken.acquired)
        norms = own.rows["norm"].to_numpy(float)
        if policy == "medoids:2":
            near = own.vectors.astype(float) @ own.vectors.T
            pairs = [(a, b) for a in range(len(own)) for b in range(a + 1, len(own))]
            best = max(pairs, key=lambda p: np.maximum(near[p[0]], near[p[1]]).sum(), default=(0,))
            made = own.vectors[list(best)]
        else:
            weighed = norms[:, None] if policy == "quality_mean" else 1
            made = (own.vectors.astype(float) * weighed).sum(axis=0, keepdims=True)
            made /= np.linalg.norm(made)
        vectors += list(made)
        names += [name] * len(made)
    kept = probes.identities != lost
    plain = identification(
        (probes.vectors[kept], probes.identities[kept]), (np.array(vectors), names), fpir=[0.2]
    )
    assert found.gallery_size == len(set(names))
    assert found.points[0].threshold == pytest.approx(plain.points[0].threshold, abs=1e-6)
    assert found.points[0].missed == plain.points[0].missed
    assert np.allclose(found.cmc, plain.cmc)
    assert (found.failures.people, found.failures.orphans) == (1, int((~kept).sum()))
    assert found.templates == found.operating_point(0.2).templates == policy
    assert f"templates '{policy}'" in found.to_text()
    by_image = identification(probes, broken, fpir=[0.2])
    assert by_image.points[0].threshold != found.points[0].threshold
    with pytest.raises(EvaluationError, match="templates are unit vectors: compare them by cosine"):
        identification(probes, broken, templates=policy, similarity="dot")
    dot = replace(broken, meta=replace(broken.meta, metric="dot"))
    assert identification(probes, dot, templates=policy).similarity == "cosine"


def test_a_calibration_of_searches_names_its_gallery(faces):
    meta = replace(faces.meta, dataset="made up")
    named = replace(faces, meta=meta)
    gallery = named.select((named.rows.subset == "gallery") & (named.rows.identity < "p012"))
    probes = named.select(named.rows.subset == "query")
    found = identification(
        probes, gallery, rule="mean", templates="medoids:1", calibrate="isotonic", prior=0.3
    )
    stored = found.calibration.stored()
    assert (stored.kind, stored.score_rule, stored.gallery_size) == ("1:N", "mean", 12)
    assert (stored.templates, stored.method, stored.prior) == ("medoids:1", "isotonic", 0.3)
    assert (stored.dataset, stored.fingerprint) == ("made up", gallery.meta.fingerprint)
    assert found.to_dict()["calibration"] == found.calibration.to_dict()
    assert "the first candidate is correct: isotonic calibration" in found.to_text()
    assert identification(probes, gallery).to_dict()["calibration"] is None


def test_the_people_of_the_training_stand_beside_the_figures(faces):
    known = pd.DataFrame({"identity": faces.identities[:1], "dataset": "old"})
    overlapping = replace(faces, trained_on=known)
    ranked = retrieval(overlapping)
    half = faces.identities < "p010"
    found = identification(overlapping, overlapping.select(half), fpir=[0.1])
    for result in (ranked, found):
        assert "trained on 1 of the" in result.to_text()
        assert result.to_dict()["overlap"]["identities"] == 1
        assert str(result.overlap) in result.warnings


def test_repeated_values_of_one_column_are_alternatives(faces):
    rows = faces.rows.assign(part=np.arange(len(faces)) % 5)
    several = replace(faces, rows=rows)
    found = where(several, ["part=1", "subset=gallery", "part=3"])
    chosen = rows["part"].isin([1, 3]) & (rows["subset"] == "gallery")
    assert found.tolist() == np.flatnonzero(chosen).tolist()
    both = retrieval(several, queries=["part=1", "part=2"], gallery=["part=0", "part=3", "part=4"])
    assert both.queries + both.without_match == rows["part"].isin([1, 2]).sum()
    assert both.gallery == rows["part"].isin([0, 3, 4]).sum()
    with pytest.raises(EvaluationError, match="unknown part in the rows '7'"):
        where(several, ["part=1", "part=7"])


@pytest.mark.parametrize("kind", [int, float, "Int64", str, object])
def test_conditions_meet_numbers_as_they_meet_text(faces, kind):
    part = pd.Series(np.arange(len(faces)) % 3).astype(kind)
    if kind is float:
        part[5] = np.nan
    several = replace(faces, rows=faces.rows.assign(part=part))
    found = where(several, ["part=1"])
    assert found.tolist() == [i for i in range(len(faces)) if i % 3 == 1]
    for missing in ("nan", "None", "<NA>"):
        with pytest.raises(EvaluationError, match=f"'{missing}'"):
            where(several, [f"part={missing}"])


def test_a_condition_on_identities_is_canonical(faces):
    named = faces.rows.assign(identity=[f"{name}e\u0301 " for name in faces.identities])
    found = where(replace(faces, rows=named), ["identity= p003\u00e9"])
    assert found.tolist() == np.flatnonzero(faces.identities == "p003").tolist()
