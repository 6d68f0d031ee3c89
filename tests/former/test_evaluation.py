"""`facever evaluate --json` says of embedding sets and scores what former code said of them."""

from pathlib import Path

import pytest

from facever import EmbeddingSet
from tests.former.replay import again, records

RECORDS = records("evaluation.tar.xz")


@pytest.mark.parametrize("name", RECORDS)
def test_the_answer_is_the_former_one(name: str, evaluation: Path) -> None:
    assert again(RECORDS[name], evaluation) == []


def test_embedding_sets_are_what_they_were(evaluation: Path) -> None:
    failures, bare = (EmbeddingSet.load(evaluation / name) for name in ("failures", "bare"))
    assert failures.failures == 3
    assert failures.rows["camera"].dtype == "int64"
    assert failures.meta.dataset == "made-up"
    assert failures.trained_on is not None
    assert list(failures.trained_on["identity"]) == ["p01", "p02"]
    assert list(bare.rows.columns) == ["identity", "norm", "error"]
    assert bare.meta.fingerprint == "undeclared"
