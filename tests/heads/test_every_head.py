"""What holds for every registered head."""

from collections.abc import Callable

import pytest
import torch

from facever.errors import TrainingError
from facever.heads import HEADS, Head, create_head

VARIANTS: dict[str, list[dict[str, float | str | bool]]] = {
    "softmax": [{"bias": True}, {"label_smoothing": 0.1}],
    "cosine": [{"scale": 20.0}],
    "arcface": [{"easy_margin": True}],
}
CASES = [
    pytest.param(name, parameters, id=f"{name}-{'-'.join(parameters) or 'default'}")
    for name in HEADS
    for parameters in [{}, *VARIANTS.get(name, [])]
]
every_head = pytest.mark.parametrize(("name", "parameters"), CASES)

Maker = Callable[..., Head]
Batch = tuple[torch.Tensor, torch.Tensor]


def assert_finite(head: Head, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Run forward and backward; return the loss."""
    head.zero_grad()
    leaf = embeddings.clone().requires_grad_()
    output = head(leaf, labels)
    output.loss.backward()
    assert output.loss.isfinite()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()
    for key, parameter in head.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    for key, value in output.stats.items():
        assert value.ndim == 0, key
        assert value.isfinite(), key
        assert not value.requires_grad, key
    return output.loss.detach()


@every_head
def test_gradients(name: str, parameters: dict, make_head: Maker, batch: Batch) -> None:
    head = make_head(name, **parameters)
    embeddings, labels = batch
    names = [key for key, _ in head.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in head.parameters()]

    def loss(x: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
        arguments = dict(zip(names, given, strict=True))
        return torch.func.functional_call(head, arguments, (x, labels)).loss

    inputs = (embeddings.requires_grad_(), *values)
    assert torch.autograd.gradcheck(loss, inputs, check_undefined_grad=False)


@every_head
def test_the_logits_are_those_of_the_loss(
    name: str, parameters: dict, make_head: Maker, batch: Batch
) -> None:
    output = make_head(name, **parameters)(*batch)
    assert output.logits.shape == (6, 7)
    smoothing = parameters.get("label_smoothing", 0.0)
    again = torch.nn.functional.cross_entropy(output.logits, batch[1], label_smoothing=smoothing)
    assert output.loss.item() == pytest.approx(again.item(), rel=1e-12)


@every_head
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(
    name: str, parameters: dict, half: torch.dtype, make_head: Maker, batch: Batch
) -> None:
    head = make_head(name, **parameters).float()
    embeddings, labels = (300 * batch[0]).to(half), batch[1]  # 300 squared overflows float16
    loss = assert_finite(head, embeddings, labels)
    assert loss.dtype == torch.float32
    assert loss == head(embeddings.float(), labels).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss == head(embeddings, labels).loss


@every_head
def test_the_order_of_the_batch_does_not_matter(
    name: str, parameters: dict, make_head: Maker, batch: Batch
) -> None:
    head, (embeddings, labels) = make_head(name, **parameters), batch
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    first, second = head(embeddings, labels), head(embeddings[order], labels[order])
    assert second.loss.item() == pytest.approx(first.loss.item(), rel=1e-12)
    for key, value in first.stats.items():
        assert second.stats[key].item() == pytest.approx(value.item(), rel=1e-12), key


@every_head
def test_state_dict_round_trip(name: str, parameters: dict, make_head: Maker, batch: Batch) -> None:
    head = make_head(name, **parameters)
    for _ in range(3):
        head.step_completed()
    torch.manual_seed(99)
    other = create_head(name, embedding_size=5, identities=7, **parameters).double()
    assert other(*batch).loss != head(*batch).loss
    other.load_state_dict(head.state_dict())
    assert other(*batch).loss == head(*batch).loss


@every_head
def test_extremes(name: str, parameters: dict, make_head: Maker) -> None:
    head = make_head(name, **parameters).float()
    prototypes = head.prototypes.weight.detach().clone()
    labels = torch.arange(7)
    for along in (1.0, -1.0, 1e-4, -1e4):  # cosine 1 and -1, short and long
        assert_finite(head, along * prototypes, labels)
    assert_finite(head, torch.zeros(7, 5), labels)
    with torch.no_grad():
        head.prototypes.weight.zero_()
    assert_finite(head, prototypes, labels)


@every_head
def test_one_identity_one_image_and_many_identities(
    name: str, parameters: dict, make_head: Maker
) -> None:
    alone = assert_finite(
        make_head(name, identities=1, **parameters),
        torch.ones(1, 5),
        torch.zeros(1, dtype=torch.int64),
    )
    assert alone.abs() < 1e-12
    many = make_head(name, identities=100_000, **parameters).float()
    assert_finite(many, torch.randn(2, 5), torch.tensor([99_999, 0]))


@every_head
def test_a_saturated_batch_leaves_no_denormals(
    name: str, parameters: dict, make_head: Maker
) -> None:
    if "scale" in HEADS[name].Config.model_fields:
        parameters = {**parameters, "scale": 95.0}
    head = make_head(name, **parameters).float()
    sides = torch.tensor([1, -1, -0.9, 1, -1, -1, -1])[:, None]
    with torch.no_grad():  # prototypes on both sides of one axis
        head.prototypes.weight.copy_(sides * torch.eye(1, 5))
    length = 46.9 if name == "softmax" else 1.0
    embeddings = (length * torch.eye(1, 5).repeat(2, 1)).requires_grad_()
    output = head(embeddings, torch.tensor([0, 3]))
    output.logits.retain_grad()
    natural = torch.softmax(output.logits.detach().double(), 1)
    output.loss.backward()
    assert ((natural > 0) & (natural < 1e-30)).any()
    found = output.logits.grad
    if not parameters.get("label_smoothing"):
        assert (found == 0).any()
    assert ((found == 0) | (found.abs() >= 1e-30)).all()


@every_head
def test_what_is_not_decayed_exists(name: str, parameters: dict, make_head: Maker) -> None:
    head = make_head(name, **parameters)
    own = dict(head.named_parameters())
    assert head.no_weight_decay() <= own.keys()
    assert {key for key, value in own.items() if value.ndim < 2} == head.no_weight_decay()
    assert head.prototypes.weight.shape == (7, 5)


@every_head
@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((2, 4), [0, 1], "takes embeddings [B, 5], not [2, 4]"),
        ((5,), [0], "takes embeddings [B, 5], not [5]"),
        ((0, 5), [], "takes embeddings [B, 5], not [0, 5]"),
        ((2, 5), [0], "takes int64 labels [2] for 2 embeddings, not int64 [1]"),
        ((2, 5), [0.0, 1.0], "takes int64 labels [2] for 2 embeddings, not float32 [2]"),
        ((2, 5), [0, 7], "has 7 identities, so labels are 0..6; got label 7"),
        ((2, 5), [-1, 7], "has 7 identities, so labels are 0..6; got label -1"),
    ],
)
def test_refused(
    name: str, parameters: dict, shape: tuple, labels: list, message: str, make_head: Maker
) -> None:
    given = torch.tensor(labels, dtype=None if labels else torch.int64)
    with pytest.raises(TrainingError) as error:
        make_head(name, **parameters)(torch.ones(shape), given)
    assert str(error.value) == f"head '{name}' {message}"
