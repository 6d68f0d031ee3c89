"""Logits made block by block give the losses, figures and gradients of logits in memory."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from facever.heads.base import Head, HeadOutput
from facever.heads.prototypes import streamed
from tests.heads.layouts import FORMS, images, make


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    def blocks(rows: int, _width: int, _device: torch.device) -> Iterator[slice]:
        for start in range(0, rows, 5):
            yield slice(start, min(start + 5, rows))

    monkeypatch.setattr(streamed, "blocks", blocks)


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def differentiated(head: Head, x: Tensor, labels: Tensor) -> tuple[HeadOutput, list[Tensor]]:
    x = x.clone().requires_grad_()
    output = head(x, labels)
    return output, list(torch.autograd.grad(output.loss, [x, *head.parameters()]))


@pytest.mark.parametrize("logits", ["kept", "streamed"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("identities", [23, 2])
def test_as_whole(form: str, logits: str, identities: int) -> None:
    x, labels = images(form, 9, identities, 8)
    whole, gradients = differentiated(make(form, identities, 8), x, labels)
    layout = {"logits": logits, "stored": "sharded"} if logits == "kept" else {"logits": logits}
    ours, our_gradients = differentiated(make(form, identities, 8, **layout), x, labels)
    torch.testing.assert_close(ours.loss, whole.loss, rtol=1e-11, atol=1e-12)
    assert ours.stats.keys() == whole.stats.keys()
    for name, value in whole.stats.items():
        torch.testing.assert_close(ours.stats[name], value, rtol=1e-9, atol=1e-11, msg=name)
    for mine, theirs in zip(our_gradients, gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11)
