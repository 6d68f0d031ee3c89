"""A healthy store has no findings."""

import pytest


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
@pytest.mark.parametrize("policy", ["all", "mean", "quality_mean", "medoids:1"])
def test_a_healthy_store(make_store, some, policy: str, storage: str) -> None:
    store = make_store(templates=policy, storage=storage)
    assert list(store.check()) == []
    store.enroll(some("aabacb"), {"a": {"k": [1]}}, "keep")
    store.remove("a", "0")
    store.remove("c")
    store.remove("b", "2")
    assert list(store.check()) == []
