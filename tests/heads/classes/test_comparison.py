"""Losses made block by block, kept or made again, in shards or whole, are those of one block."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from facever.heads.base import Head, HeadOutput
from facever.heads.classes import comparison
from facever.heads.classes.similarities import CosineSimilarity, DotSimilarity, Similarity
from tests.heads.layouts import FORMS, images, make


@pytest.fixture
def in_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on blocks have five identities."""

    def blocks(rows: int, _width: int, _device: torch.device) -> Iterator[slice]:
        for start in range(0, rows, 5):
            yield slice(start, min(start + 5, rows))

    return lambda: monkeypatch.setattr(comparison, "blocks", blocks)


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def differentiated(head: Head, x: Tensor, labels: Tensor) -> tuple[HeadOutput, list[Tensor]]:
    x = x.clone().requires_grad_()
    output = head(x, labels)
    return output, list(torch.autograd.grad(output.loss, [x, *head.parameters()]))


LAYOUTS = {"kept": {}, "sharded": {"stored": "sharded"}, "streamed": {"logits": "streamed"}}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", FORMS)
def test_nothing_that_is_not_a_number_is_lost(
    form: str, layout: str, in_blocks: Callable[[], None]
) -> None:
    in_blocks()
    x, labels = images(form, 9, 23, 8)
    head = make(form, 23, 8, **LAYOUTS[layout])
    wrong = next(identity for identity in range(23) if identity not in labels)
    with torch.no_grad():
        head.prototypes.weight[wrong] = torch.nan
    assert head(x, labels).loss.isnan()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", ["softmax", "asoftmax"])
def test_a_saturated_batch_leaves_no_denormals(
    form: str, layout: str, in_blocks: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_blocks()
    torch.set_default_dtype(torch.float32)
    found: list[Tensor] = []

    def watch(kind: type[Similarity]) -> None:
        add_gradients = kind.add_gradients

        def watched(self: Similarity, d_z: Tensor, *others: Tensor) -> None:
            found.append(d_z.clone())
            add_gradients(self, d_z, *others)

        monkeypatch.setattr(kind, "add_gradients", watched)

    watch(DotSimilarity)
    watch(CosineSimilarity)
    head = make(form, 200, 8, **LAYOUTS[layout])
    labels = torch.arange(9)
    own = torch.nn.functional.normalize(head.prototypes.weight[labels].detach())
    for length in (30.0, 60.0, 90.0, 100.0, 110.0):
        head((length * own).requires_grad_(), labels).loss.backward()
    every = torch.cat([d_z.reshape(-1) for d_z in found])
    assert ((every == 0) | (every.abs() >= 1e-30)).all()
    assert (every == 0).any()
    assert (every != 0).any()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("identities", [23, 2])
def test_as_in_one_block(
    form: str, layout: str, identities: int, in_blocks: Callable[[], None]
) -> None:
    x, labels = images(form, 9, identities, 8)
    whole, gradients = differentiated(make(form, identities, 8), x, labels)
    in_blocks()
    ours, our_gradients = differentiated(make(form, identities, 8, **LAYOUTS[layout]), x, labels)
    torch.testing.assert_close(ours.loss, whole.loss, rtol=1e-11, atol=1e-12)
    assert ours.stats.keys() == whole.stats.keys()
    for name, value in whole.stats.items():
        torch.testing.assert_close(ours.stats[name], value, rtol=1e-9, atol=1e-11, msg=name)
    for mine, theirs in zip(our_gradients, gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("layout", ["sharded", "streamed"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cut", [False, True])
def test_a_layout_changes_no_bit(
    form: str, layout: str, cut: bool, in_blocks: Callable[[], None]
) -> None:
    torch.set_default_dtype(torch.float32)
    if cut:
        in_blocks()
    x, labels = images(form, 9, 23, 8)
    whole, gradients = differentiated(make(form, 23, 8), x, labels)
    ours, our_gradients = differentiated(make(form, 23, 8, **LAYOUTS[layout]), x, labels)
    assert ours.loss == whole.loss
    for mine, theirs in zip(our_gradients, gradients, strict=True):
        assert torch.equal(mine, theirs)
