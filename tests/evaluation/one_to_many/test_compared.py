import json

import pytest

from facever.errors import EvaluationError
from facever.evaluate import Reranking, compare_retrieval, retrieval


def ranked(queries, gallery, **options):
    return retrieval(queries, against=gallery, **options)


@pytest.fixture
def arrays(make_faces):
    queries, query_ids = make_faces(100, people=25, dimension=16)
    gallery, gallery_ids = make_faces(400, people=25, dimension=16, seed=0)
    return (queries, query_ids), (gallery[100:], gallery_ids[100:])


def test_two_rankings_of_the_same_queries_are_compared_in_pairs(arrays):
    plain, better = ranked(*arrays), ranked(*arrays, rerank=Reranking())
    same = compare_retrieval(plain, plain)
    for found in same.measures.values():
        assert (found.difference, found.interval.low, found.interval.high) == (0, 0, 0)
        assert not found.resolved
    result = compare_retrieval(plain, better)
    found = result.measures["map_plain"]
    assert (found.first, found.second) == (
        pytest.approx(plain.map_plain),
        pytest.approx(better.map_plain),
    )
    assert result.measures["rank 5"].second == pytest.approx(better.rank(5))
    assert 0 < found.interval.low < found.difference < found.interval.high
    assert found.resolved
    turned = compare_retrieval(better, plain).measures["map_plain"]
    assert turned.interval.high < 0
    assert turned.resolved
    apart = [result.intervals["map_plain"] for result in (plain, better)]
    width = found.interval.high - found.interval.low
    assert width < sum(one.high - one.low for one in apart) / 2


def test_results_have_their_keys_and_text(arrays):
    plain = ranked(*arrays)
    result = compare_retrieval(plain, ranked(*arrays, rerank=Reranking()), level=0.9)
    values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert values["ranked_by"][0] == "cosine scores" != values["ranked_by"][1]
    assert set(values["measures"]) == set(plain.intervals)
    gained = values["measures"]["minp"]
    assert gained["difference"] == pytest.approx(gained["second"] - gained["first"])
    assert gained["interval"]["level"] == 0.9
    text = result.to_text()
    assert "100 in a gallery of 300, no camera rule" in text
    assert f"{gained['difference']:+.4f}" in text
    assert "90%" in text
    assert "paired identity bootstrap" in text


def test_other_queries_are_refused(arrays):
    (queries, names), gallery = arrays
    with pytest.raises(EvaluationError, match="the two results are of different queries"):
        compare_retrieval(ranked(*arrays), ranked((queries[:50], names[:50]), gallery))
