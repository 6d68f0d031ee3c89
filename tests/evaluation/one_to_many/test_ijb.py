"""IJB's 1:N protocol, counted by loops over templates made by its definition."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from facever.data.readers import read
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import EvaluationError
from facever.evaluate import ijb_identification
from tests.evaluation.oracles import cosines
from tests.ijb_tree import GALLERIES, Tree, pooled

FPIRS, RANKS = [0.2, 0.1], [1, 2, 5]


def embedded(tree, root):
    frame = read(tree.write(root)).frame
    columns = {name: frame[name].tolist() for name in frame if name != "identity"}
    return EmbeddingSet.from_arrays(tree.vectors(), frame["identity"], fingerprint="f", **columns)


@pytest.fixture(scope="module", params=GALLERIES)
def made(request, tmp_path_factory):
    tree = Tree(request.param)
    return tree, embedded(tree, tmp_path_factory.mktemp("ijb") / "set")


def by_loops(tree, names, weights=None):
    """Return, for the galleries as one, the best score, mate's score and mate's rank of each probe.

    The mate's score and rank are None for a non-mated probe.
    """
    found = pooled(tree.vectors(), tree.template_of, tree.media_of, weights)
    enrolled = [template for template in found if tree.subset[template] in names]
    rows = []
    for probe in (template for template in found if tree.subset[template] == "probe"):
        scores = [float(cosines([found[probe]], [found[one]])[0, 0]) for one in enrolled]
        mate = [s for s, t in zip(scores, enrolled, strict=True) if is_mate(tree, probe, t)]
        rank = 1 + sum(score > mate[0] for score in scores) if mate else None
        rows.append((max(scores), mate[0] if mate else None, rank))
    return rows


def is_mate(tree, one, two):
    return tree.subject[one] == tree.subject[two]


def check(tree, result, weights=None):
    ranks, rates = {}, {}
    for name in GALLERIES[tree.prefix]:
        rows = by_loops(tree, [name], weights)
        mated = [row for row in rows if row[1] is not None]
        strangers = sorted((row[0] for row in rows if row[1] is None), reverse=True)
        one = result.galleries[name]
        assert (one.mated, one.nonmated) == (len(mated), len(strangers))
        assert one.gallery_size == tree.subjects
        for rank in RANKS:
            hits = sum(row[2] <= rank for row in mated) / len(mated)
            assert one.rank(rank) == hits
            ranks.setdefault(rank, []).append(hits)
        for fpir in FPIRS:
            limit = strangers[int(fpir * len(strangers) + 1e-9)]
            point = one.at(fpir)
            assert point.false_positives == sum(score > limit for score in strangers)
            for rank in RANKS:
                missed = sum(row[2] > rank or row[1] <= limit for row in mated)
                assert point.missed[rank] == missed
                rates.setdefault((fpir, rank), []).append(missed / len(mated))
    rows = by_loops(tree, GALLERIES[tree.prefix], weights)
    assert (result.joined.people, result.joined.mated) == (2 * tree.subjects, len(rows))
    for rank, each in ranks.items():
        hits = sum(row[2] <= rank for row in rows)
        assert result.joined.missed[rank] == len(rows) - hits
        assert result.joined.rank(rank) == pytest.approx(hits / len(rows))
        assert result.joined.intervals[rank].holds(hits / len(rows))
        assert result.rank(rank).value == pytest.approx(sum(each) / 2)
    for (fpir, rank), each in rates.items():
        assert result.fnir(fpir, rank).value == pytest.approx(sum(each) / 2)
    assert 0 < result.rank(1).value < 1  # else the test shows little
    assert 0 < result.fnir(FPIRS[0], 1).value < 1


def test_each_gallery_and_their_mean(made):
    tree, faces = made
    result = ijb_identification(faces, fpir=FPIRS, ranks=RANKS)
    check(tree, result)
    assert (result.images, result.templates) == (len(tree.images), len(tree.subject))
    assert list(result.galleries) == list(GALLERIES[tree.prefix])


def test_images_may_be_weighted(made):
    tree, faces = made
    weights = np.sqrt((tree.vectors() ** 2).sum(axis=1))
    check(tree, ijb_identification(faces, fpir=FPIRS, ranks=RANKS, quality="norm"), weights)


def test_other_templates_are_left_out(made):
    """Templates in no 1:N list have no subset, and nobody knows whom they show."""
    tree, faces = made
    gone = [t for t in tree.subset if tree.subset[t] == "probe"][:3]
    out = faces.rows["template"].isin([str(t) for t in gone]).to_numpy()
    rows = faces.rows.assign(
        subset=faces.rows["subset"].mask(out, None), identity=faces.rows["identity"].mask(out, None)
    )
    result = ijb_identification(replace(faces, rows=rows), fpir=FPIRS)
    assert (result.images, result.templates) == (len(out) - out.sum(), len(tree.subject) - 3)
    assert result.joined.mated == 2 * tree.subjects * tree.probes - 3


def test_the_interval_of_a_mean(made):
    _, faces = made
    result = ijb_identification(faces, fpir=FPIRS, ranks=RANKS)
    for fpir in FPIRS:
        each = [(o.at(fpir).missed[1] / o.mated, o.at(fpir)) for o in result.galleries.values()]
        ends = [(value, point.fnir_intervals[1]) for value, point in each]
        mean = sum(value for value, _ in ends) / 2
        low = mean - math.sqrt(sum((value - end.low) ** 2 for value, end in ends)) / 2
        high = mean + math.sqrt(sum((end.high - value) ** 2 for value, end in ends)) / 2
        found = result.fnir(fpir, 1).interval
        assert (found.low, found.high) == pytest.approx((max(low, 0), min(high, 1)))
        widest = max(end.high - end.low for _, end in ends)
        assert 0 < found.high - found.low < widest


def test_text_and_json_have_the_same_figures(made):
    tree, faces = made
    result = ijb_identification(faces, fpir=[*FPIRS, 1e-4], ranks=RANKS)
    values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert values["protocol"] == "ijb-1n"
    assert list(values["galleries"]) == list(GALLERIES[tree.prefix])
    assert values["mean"]["rank"]["1"]["value"] == result.rank(1).value
    targets = [point["fpir_target"] for point in values["mean"]["operating_points"]]
    assert targets == FPIRS
    frame = result.to_frame()
    means = frame[frame["gallery"] == "mean"].set_index("measure")["rate"]
    assert means["rank 1"] == result.rank(1).value
    assert means["FNIR at FPIR 1e-1, rank 5"] == result.fnir(0.1, 5).value
    both = [*result.galleries.values(), result.joined]
    counts = frame[(frame["measure"] == "rank 1") & (frame["gallery"] != "mean")]
    assert counts["mated probes"].tolist() == [one.mated for one in both]
    assert values["joined"]["cmc"]["1"] == result.joined.rank(1)
    assert "FPIR 1e-4 has no mean" in result.to_text()


def test_wrong_requests_are_one_line(made):
    tree, faces = made
    first, second = GALLERIES[tree.prefix]
    rows = faces.rows
    with pytest.raises(EvaluationError, match="rank 3 was not measured"):
        ijb_identification(faces, fpir=FPIRS, ranks=RANKS).rank(3)
    with pytest.raises(EvaluationError, match="needs 10,000 non-mated probes"):
        ijb_identification(faces, fpir=FPIRS, ranks=RANKS).fnir(1e-4)
    with pytest.raises(EvaluationError, match="column 'subset'"):
        ijb_identification(replace(faces, rows=rows.drop(columns="subset")))
    for left in ("probe", "other"):
        with pytest.raises(EvaluationError, match="embed the whole folder"):
            ijb_identification(replace(faces, rows=rows.assign(subset=left)))
    moved = rows.copy()
    shared = next(t for t in tree.template_of if tree.template_of.count(t) > 1)
    moved.loc[tree.template_of.index(shared), "subset"] = "probe"
    with pytest.raises(EvaluationError, match="in two subsets"):
        ijb_identification(replace(faces, rows=moved))
    both = rows.assign(identity=rows["identity"].mask(rows["subset"] == second, "100"))
    with pytest.raises(EvaluationError, match="100 is in two galleries"):
        ijb_identification(replace(faces, rows=both[rows["subset"] != "x"]))
    assert first in ijb_identification(faces, fpir=FPIRS).galleries
