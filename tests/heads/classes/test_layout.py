"""What layouts promise beside the same loss: a noise filter, memory, and one line where refused."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from facever.config import parse
from facever.errors import ConfigError, TrainingError
from facever.heads import rbf
from facever.heads.classes import comparison
from facever.heads.classes.layout import PrototypesConfig
from facever.training.config import TrainConfig
from tests.heads.layouts import FORMS, images, make

CONFIG: dict[str, Any] = {"data": {"root": "x"}}


# ---------------------------------------------------------------------- suspected label noise


def filtered_loss(
    x: Tensor, weight: Tensor, labels: Tensor, limit: float, scale: float
) -> tuple[Tensor, int]:
    """CosFace image by image, without the identities that are nearer than the limit."""
    losses, left_out = [], 0
    for embedding, label in zip(x, labels.tolist(), strict=True):
        cosines = torch.stack([torch.cosine_similarity(embedding, row, 0) for row in weight])
        logits = []
        for identity, cosine in enumerate(cosines):
            if identity == label:
                logits.insert(0, scale * (cosine - 0.35))
            elif cosine.item() <= limit:
                logits.append(scale * cosine)
            else:
                left_out += 1
        losses.append(torch.logsumexp(torch.stack(logits), 0) - logits[0])
    return torch.stack(losses).mean(), left_out


@pytest.mark.parametrize("layout", [{}, {"logits": "streamed"}, {"stored": "sharded"}])
def test_the_filter_leaves_out_who_is_too_near(layout: dict[str, Any]) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        x, labels = images("cosface", 9, 23, 8)
        head = make("cosface", 23, 8, noise_filter=0.4, **layout)
        assert head.prototypes is not None
        x = x.double().requires_grad_()
        weight = head.prototypes.weight
        wanted, left_out = filtered_loss(x, weight, labels, 0.4, head.scale)
        assert left_out > 10
        loss = head(x, labels).loss
        torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=1e-6)
        for ours, theirs in zip(
            torch.autograd.grad(loss, [x, weight]),
            torch.autograd.grad(wanted, [x, weight]),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
        plain = make("cosface", 23, 8)(x, labels).loss
        assert plain > 1.05 * wanted
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_filter_above_all_cosines_changes_nothing() -> None:
    x, labels = images("cosface", 9, 23, 8)
    assert torch.allclose(
        make("cosface", 23, 8, noise_filter=0.999).forward(x, labels).loss,
        make("cosface", 23, 8)(x, labels).loss,
    )


@pytest.mark.parametrize("form", ["softmax", "rbf"])
def test_heads_without_cosines_have_no_filter(form: str) -> None:
    with pytest.raises(ConfigError) as error:
        make(form, 5, 4, noise_filter=0.5)
    assert f"head '{form}'" in str(error.value)
    assert "set prototypes.noise_filter to null" in str(error.value)


# ---------------------------------------------------------------------- memory


class Largest(TorchDispatchMode):
    """Notes the most elements of a tensor that anything returns."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        result = function(*args, **(kwargs or {}))
        sizes = [t.untyped_storage().size() // 4 for t in tree_leaves(result) if torch.is_tensor(t)]
        self.elements = max([self.elements, *sizes])
        return result


@pytest.mark.parametrize("form", FORMS)
def test_logits_are_kept_in_blocks_or_not_at_all(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, identities, size = 64, 4000, 4

    def by_hundreds(rows: int, _width: int, _device: torch.device):
        return (slice(start, min(start + 100, rows)) for start in range(0, rows, 100))

    for module in (comparison, rbf):
        monkeypatch.setattr(module, "blocks", by_hundreds)
    x, labels = images(form, count, identities, size)
    saved, largest = {}, {}
    for logits in ("kept", "streamed"):
        head = make(form, identities, size, logits=logits)
        leaf = x.clone().requires_grad_()
        elements: list[int] = []

        def count_of(tensor: Tensor, elements: list[int] = elements) -> Tensor:
            elements.append(tensor.numel())
            return tensor

        with Largest() as seen, saved_tensors_hooks(count_of, lambda tensor: tensor):
            head(leaf, labels).loss.backward()
        saved[logits], largest[logits] = sum(elements), seen.elements
    assert saved["kept"] >= count * identities
    assert saved["streamed"] <= saved["kept"] - count * identities
    assert max(largest.values()) <= identities * size  # the gradient of the prototypes


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("layout", [{"logits": "streamed"}, {"stored": "sharded"}])
def test_soft_labels_need_whole_prototypes(layout: dict[str, Any]) -> None:
    head = make("softmax", 5, 4, **layout)
    with pytest.raises(TrainingError) as error:
        head(torch.randn(3, 4), torch.full((3, 5), 0.2))
    assert "head 'softmax' takes soft labels" in str(error.value)
    assert "prototypes.stored, prototypes.logits" in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"heads": [{"name": "triplet"}], "batch": {"size": 8, "images_per_identity": 2}},
            "prototypes: head 'triplet' does not support other layouts: omit prototypes, or use a "
            "head such as cosface",
        ),
        (
            {
                "heads": [{"name": "cosface"}],
                "adversarial": {},
                "batch": {"size": 8, "images_per_identity": 2},
            },
            "prototypes: adversarial training needs whole and kept prototypes: omit prototypes",
        ),
        (
            {"heads": [{"name": "cosface"}], "optimizer": {"name": "lamb"}},
            "prototypes: optimizer 'lamb' does not update rows separately: use adam, adamw, "
            "momentum, "
            "sgd, or prototypes that are whole and not sampled",
        ),
    ],
)
def test_what_cannot_be_arranged_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(TrainConfig, {**CONFIG, **values, "prototypes": {"stored": "sharded"}})
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["lamb", "adamw"])
def test_streaming_alone_asks_nothing_of_the_optimizer(name: str) -> None:
    values = {**CONFIG, "heads": [{"name": "cosface"}], "optimizer": {"name": name}}
    parse(TrainConfig, {**values, "prototypes": {"logits": "streamed"}})


@pytest.mark.parametrize(
    "values", [{"sampled": 0}, {"sampled": 1.5}, {"noise_filter": 1}, {"stored": "nowhere"}]
)
def test_values_out_of_range(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        parse(PrototypesConfig, values)


def test_prototypes_start_the_same_in_every_layout() -> None:
    whole = make("cosface", 23, 8).prototypes
    for layout in ({"stored": "sharded"}, {"logits": "streamed"}):
        other = make("cosface", 23, 8, **layout).prototypes
        assert whole is not None
        assert other is not None
        assert np.array_equal(other.weight.detach().numpy(), whole.weight.detach().numpy())
