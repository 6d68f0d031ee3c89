"""Identification and retrieval from given scores: against embeddings, and counted by loops."""

import numpy as np
import pytest

from facever.errors import EvaluationError
from facever.evaluate import (
    identification,
    identification_scores,
    retrieval,
    retrieval_scores,
)

FPIR = [0.2, 0.1]


@pytest.fixture
def sides(make_faces):
    """Vectors and identities of probes and gallery; five people are not enrolled."""
    vectors, names = make_faces(160, people=20)
    enrolled = (np.arange(160) % 2 == 0) & (names < "p015")
    probes = np.arange(160) % 2 == 1
    return (vectors[probes], names[probes]), (vectors[enrolled], names[enrolled])


def cosines(first, second):
    one, two = (side.astype(float) for side in (first, second))
    lengths = np.outer(np.sqrt((one**2).sum(axis=1)), np.sqrt((two**2).sum(axis=1)))
    return (one @ two.T / lengths).clip(-1, 1).astype(np.float32)


def five(values, rows, columns):
    """The lines of Bob's five columns, one for each cell that is not None."""
    return "".join(
        f"{columns[j]} model{j} {rows[i]} probe{i} {float(values[i, j])!r}\n"
        for i in range(len(rows))
        for j in range(len(columns))
        if values[i, j] is not None
    )


def same(found, right, but=()):
    one, two = found.to_dict(), right.to_dict()
    for name in {*two} - {"similarity", "images", "overlap", "distances", *but}:
        assert one[name] == two[name], name


@pytest.mark.parametrize("rule", ["max", "mean"])
def test_a_matrix_measures_as_its_embeddings(sides, tmp_path, rule):
    probes, gallery = sides
    values = cosines(probes[0], gallery[0])
    right = identification(probes, gallery, fpir=FPIR, rule=rule)
    found = identification_scores(values, rows=probes[1], columns=gallery[1], fpir=FPIR, rule=rule)
    if rule == "max":
        same(found, right)
        (tmp_path / "five.txt").write_text(five(values, probes[1], gallery[1]))
        same(identification_scores(tmp_path / "five.txt", fpir=FPIR), right)
        np.save(tmp_path / "d.npy", 1 - values.astype(float))
        turned = identification_scores(
            tmp_path / "d.npy", rows=probes[1], columns=gallery[1], fpir=FPIR, distances=True
        )
        assert turned.distances
        assert turned.at(0.1).missed == right.at(0.1).missed
        assert turned.at(0.1).threshold == pytest.approx(right.at(0.1).threshold - 1, abs=1e-6)
    for fpir in (*FPIR, 0.3):
        assert found.at(fpir).false_positives == right.at(fpir).false_positives
        assert found.at(fpir).missed == right.at(fpir).missed
    assert np.array_equal(found.cmc, right.cmc)
    assert "external scores" in found.to_text()
    assert "FNIR" in found._repr_html_()
    with pytest.raises(EvaluationError, match="give no operating point"):
        found.operating_point(0.1)


def test_rankings_measure_as_the_embeddings(sides, by_loop, tmp_path):
    probes, gallery = sides
    values = cosines(probes[0], gallery[0])
    names = gallery[1].copy()
    names[:3] = "-1"  # junk
    right = retrieval(probes, against=(gallery[0], names))
    found = retrieval_scores(values, rows=probes[1], columns=names)
    same(found, right, but=["ranked_by"])
    cmc, plain, trapezoid, minp, without = by_loop(values, probes[1], names)
    assert found.cmc == pytest.approx(cmc[: len(found.cmc)])
    assert (found.map_plain, found.map_trapezoid) == pytest.approx((plain, trapezoid))
    assert (found.minp, found.without_match) == (pytest.approx(minp), without)
    (tmp_path / "five.txt").write_text(five(values, probes[1], gallery[1]))
    same(
        retrieval_scores(tmp_path / "five.txt"),
        retrieval(probes, against=gallery),
        but=["ranked_by"],
    )


def test_cells_that_are_not_compared_are_no_candidates(sides, by_loop, tmp_path):
    probes, gallery = sides
    values = cosines(probes[0], gallery[0])
    rng = np.random.default_rng(0)
    mask = np.where(probes[1][:, None] == gallery[1], 255, 127).astype(np.uint8)
    mask[rng.random(mask.shape) < 0.3] = 0
    mask[4] = 0  # a probe that is compared with nothing
    mask[5][mask[5] == 255] = 0  # a probe that is not compared with its person
    lists = [
        [None if mask[i, j] == 0 else values[i, j] for j in range(len(gallery[1]))]
        for i in range(len(probes[1]))
    ]
    options = {"rows": probes[1], "columns": gallery[1], "mask": mask}
    found = identification_scores(values, **options, fpir=FPIR)
    best, mate = recount(lists, probes[1], gallery[1])
    check(found, best, mate)
    assert "1 rows are compared with nothing" in found.warnings[0]
    (tmp_path / "five.txt").write_text(five(np.array(lists, object), probes[1], gallery[1]))
    of_lines = identification_scores(tmp_path / "five.txt", fpir=FPIR)
    check(of_lines, best, mate)
    assert "of the" in of_lines.warnings[0]
    ranked = retrieval_scores(values, **options)
    firsts = []
    for i, row in enumerate(lists):
        good = [
            s
            for s, who in zip(row, gallery[1], strict=True)
            if s is not None and who == probes[1][i]
        ]
        others = [
            s
            for s, who in zip(row, gallery[1], strict=True)
            if s is not None and who != probes[1][i]
        ]
        if good:
            firsts.append(1 + sum(s >= max(good) for s in others))
    assert ranked.queries == len(firsts)
    assert ranked.rank(1) == np.mean(np.array(firsts) <= 1)
    assert ranked.rank(5) == np.mean(np.array(firsts) <= 5)
    with pytest.raises(EvaluationError, match="rule mean needs a score of each probe"):
        identification_scores(values, **options, rule="mean")
    mask[mask == 255] = 0
    with pytest.raises(EvaluationError, match="no query is compared with an image of its person"):
        retrieval_scores(values, **options)
    with pytest.raises(EvaluationError, match="no mated probes"):
        identification_scores(values, **options)


def recount(lists, probes, gallery):
    """Return each probe's best score and (score, rank) of its mate, by a loop over people."""
    best, mate = [], []
    for row, name in zip(lists, probes, strict=True):
        people = {}
        for value, who in zip(row, gallery, strict=True):
            if value is not None:
                value = -np.inf if np.isnan(value) else value
                people[who] = max(people.get(who, -np.inf), value)
        if not people:
            continue
        best.append(max(people.values()))
        own = people.get(name)
        rank = None
        if own is not None:
            rank = sum(value >= own for value in people.values()) if own > -np.inf else np.inf
        mate.append(None if own is None else (own, rank))
    return best, mate


def check(found, best, mate):
    """Compare an identification with the counts of a loop."""
    strangers = [b for b, m in zip(best, mate, strict=True) if m is None]
    mated = [m for m in mate if m is not None]
    assert (found.mated, found.nonmated) == (len(mated), len(strangers))
    for fpir in FPIR:
        point = found.at(fpir)
        assert point.false_positives == sum(b > point.threshold for b in strangers)
        assert point.false_positives <= fpir * len(strangers)
        for rank, missed in point.missed.items():
            assert missed == sum(s <= point.threshold or r > rank for s, r in mated)
    assert found.rank(1) == sum(r <= 1 for _, r in mated) / len(mated)


def test_failed_comparisons_are_missed_mates(sides):
    probes, gallery = sides
    values = cosines(probes[0], gallery[0])
    values[np.random.default_rng(1).random(values.shape) < 0.2] = np.nan
    values[0][gallery[1] == probes[1][0]] = np.nan
    options = {"rows": probes[1], "columns": gallery[1]}
    with pytest.raises(EvaluationError, match="--failures nan"):
        identification_scores(values, **options)
    found = identification_scores(values, **options, fpir=FPIR, failures="nan")
    check(found, *recount(values.tolist(), probes[1], gallery[1]))
    assert found.cmc[-1] < 1  # a mate that failed is not found at any rank
    lost = found.to_dict()["failure_to_compare"]
    failed = np.isnan(values) & (probes[1][:, None] == gallery[1])
    assert lost["genuine"]["failed"] == failed.sum()
    assert "failed comparisons" in found.to_text()
    ranked = retrieval_scores(values, **options, failures="nan")
    last = np.where(np.isnan(values), -2, values)
    assert ranked.map_plain == retrieval_scores(last, **options).map_plain
    assert ranked.rank(1) == retrieval_scores(last, **options).rank(1)
    assert "ranked last" in ranked.to_text()


def test_each_image_of_one_set_is_searched_for_in_the_others(make_faces, by_loop):
    vectors, names = make_faces(60, people=45)
    values = cosines(vectors, vectors)
    lists = [[None if i == j else values[i, j] for j in range(60)] for i in range(60)]
    found = identification_scores(values, rows=names, fpir=FPIR)
    check(found, *recount(lists, names, names))
    apart = values.copy()
    apart[np.diag_indices(60)] = -2  # behind all others
    ranked = retrieval_scores(values, rows=names)
    several = [k for k in range(60) if (names == names[k]).sum() > 1]
    assert ranked.queries == len(several)
    best = [max(apart[k][names == names[k]]) > max(apart[k][names != names[k]]) for k in several]
    assert ranked.rank(1) == np.mean(best)


def test_doubles_are_ranked_as_they_are(sides):
    probes, gallery = sides
    rng = np.random.default_rng(2)
    values = 1e6 + 1e-6 * rng.standard_normal((len(probes[1]), len(gallery[1])))  # float32: equal
    found = identification_scores(values, rows=probes[1], columns=gallery[1], fpir=FPIR)
    check(found, *recount(values.tolist(), probes[1], gallery[1]))


def test_what_a_search_needs_is_said(sides, tmp_path):
    probes, gallery = sides
    values = cosines(probes[0], gallery[0])
    table, lines = tmp_path / "scores.csv", tmp_path / "five.txt"
    table.write_text("score,label\n0.9,1\n0.1,0\n")
    for search in (identification_scores, retrieval_scores):
        with pytest.raises(EvaluationError, match="does not say who was searched for"):
            search(table)
        with pytest.raises(EvaluationError, match=r"has no identities.*--rows"):
            search(values, mask=np.full(values.shape, 255, np.uint8))
    for text, message in (
        ("a m a p 0.9\na m b p 0.1\n", r"probe 'p' has the identities 'a' and 'b' \(trial 2"),
        ("a m a p 0.9\nb m a p 0.1\n", "reference 'm' has the identities 'a' and 'b'"),
        ("a m a p 0.9\na m a p 0.1\n", r"probe 'p' is compared with reference 'm' twice \(trial 2"),
    ):
        lines.write_text(text)
        with pytest.raises(EvaluationError, match=message):
            identification_scores(lines)
    lines.write_text("".join(f"a{k} m{k} a{k} p{k} 0.9\n" for k in range(1100)))
    with pytest.raises(EvaluationError, match="1,100 of the 1,210,000 comparisons"):
        identification_scores(lines)
    with pytest.raises(EvaluationError, match="unknown score rule"):
        identification_scores(values, rows=probes[1], columns=gallery[1], rule="median")


def test_a_table_names_probes_and_references_too(sides, tmp_path):
    probes, gallery = sides
    values = cosines(probes[0], gallery[0])
    (tmp_path / "five.txt").write_text(five(values, probes[1], gallery[1]))
    lines = [line.split() for line in five(values, probes[1], gallery[1]).splitlines()]
    text = "identity_a,reference,identity_b,probe,score\n"
    (tmp_path / "s.csv").write_text(text + "".join(f"{','.join(one)}\n" for one in lines))
    found = identification_scores(tmp_path / "s.csv", fpir=FPIR)
    assert found.to_dict() == identification_scores(tmp_path / "five.txt", fpir=FPIR).to_dict()
