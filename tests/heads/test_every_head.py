"""What holds for every registered head, with prototypes, logits and parameters or without.

A new head is covered by its default parameters; one line in VARIANTS adds others. A head that
cannot be made of defaults says so in REQUIRED of conftest.py.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from facever.errors import ConfigError, TrainingError
from facever.heads import HEADS, Head, HeadOutput
from facever.heads.classes.losses import CrossEntropy, Loss, OneVsAll
from facever.heads.registry import head_class, is_family

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "contrastive": [
        {"mining": "batch_hard", "distance": "plain", "power": 2},
        {"mining": "semi_hard", "soft_margin": True},
        {"mining": "distance_weighted", "margin": 1.5},
        {"normalize": False, "reduction": "active"},
    ],
    "triplet": [
        {"mining": "all", "reduction": "active"},
        {"mining": "batch_hard", "distance": "plain", "soft_margin": True, "normalize": False},
        {"mining": "distance_weighted"},
    ],
    "center": [{"reduction": "sum"}],
    "pml:ArcFaceLoss": [{"parameters": {"margin": 20.0}}],
    "pml:MarginLoss": [],
    "pml:MultiSimilarityLoss": [{"miner": "MultiSimilarityMiner"}],
    "pml:ProxyAnchorLoss": [],
    "pml:TripletMarginLoss": [
        {"miner": "BatchHardMiner"},
        {"miner": "TripletMarginMiner", "miner_parameters": {"type_of_triplets": "semihard"}},
    ],
    "coupled_clusters": [{"normalize": False, "reduction": "sum"}],
    "distillation": [
        {"loss": "soft_targets", "teacher_size": 4},
        {"loss": "euclidean", "teacher_size": 3},
        {"map": True},
    ],
    "reconstruction": [{"loss": "l1"}],
    "softmax": [{"bias": True}, {"label_smoothing": 0.1}],
    "cosine": [{"scale": 20.0}],
    "arcface": [{"easy_margin": True}],
    "asoftmax": [{"margin": 3.0, "lambda_base": 0.0}, {"variant": "stable"}],
    "sphereface2": [{"exponent": 2.5, "margin": 0.0}],
    "class_contrastive": [{"reduction": "mean"}, {"reduction": "hardest", "margin": 3.0}],
    "class_triplet": [{"reduction": "sum"}, {"reduction": "hardest", "pull": 0.3}],
    "rbf": [{"gamma": 2.0}, {"gamma": 1.0, "normalize": True}],
    "sampled_softmax": [{"negatives": 3}, {"negatives": 2, "similarity": "dot", "log_q": False}],
    "hierarchical_softmax": [{"tree": "adaptive"}],
    "combined": [{"m1": 1.35, "m2": 0.1, "m3": 0.1}, {"m1": 1.35, "easy_margin": True}],
    "magface": [{"l_a": 0.5, "u_a": 4.0, "lambda_g": 200.0}],
}
"""By head: parameters beside the defaults."""

OTHER_LOSSES: set[str] = {"magface", "sphereface2"}
"""Heads with logits whose loss is more than the softmax cross-entropy of them."""

DETACHED = {"adaface", "circle", "curricular"}
"""Heads that leave a part of the gradient out on purpose; their own tests check what is left."""

DRAWS_BY_ROW = {("contrastive", "distance_weighted"), ("triplet", "distance_weighted")}
"""Heads and minings that draw at random for each row: another order, another draw."""

CASES = [
    pytest.param(name, parameters, id=f"{name}-{'-'.join(parameters) or 'default'}")
    for name in sorted({*HEADS, *VARIANTS})
    if name not in HEADS or not is_family(name)
    for parameters in [{}, *VARIANTS.get(name, [])]
]
every_head = pytest.mark.parametrize(("name", "parameters"), CASES)

Call = Callable[..., HeadOutput]
Maker = Callable[..., Head]
Batch = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture
def make(make_head: Maker, call: Call) -> Maker:
    """Make a head that has a step behind it, so that its state is no longer the initial one."""

    def make_used(name: str, identities: int = 7, **parameters: Any) -> Head:
        head = make_head(name, identities=identities, **parameters)
        draw = torch.Generator().manual_seed(5)
        labels = torch.arange(14) % min(identities, 7)
        call(head, torch.randn(14, 5, generator=draw, dtype=torch.float64), labels)
        head.step_completed()
        return head

    return make_used


@pytest.fixture
def assert_finite(call: Call) -> Callable[..., HeadOutput]:
    """Run forward and backward, and look at everything that comes out."""

    def check(head: Head, embeddings: torch.Tensor, labels: torch.Tensor) -> HeadOutput:
        head.zero_grad()
        leaf = embeddings.clone().requires_grad_()
        output = call(head, leaf, labels)
        assert output.loss.isfinite()
        output.loss.backward()  # a loss of 0 too has a graph
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
        for key, parameter in head.named_parameters():
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
        for key, value in output.stats.items():
            assert value.ndim == 0, key
            assert value.isfinite(), key
            assert not value.requires_grad, key
        return output

    return check


@every_head
def test_gradients(name: str, parameters: dict, make: Maker, call: Call, batch: Batch) -> None:
    if name in DETACHED or parameters.get("variant") == "stable":
        return
    head = make(name, **parameters)
    embeddings, labels = batch
    names = [key for key, _ in head.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in head.parameters()]

    def loss(x: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
        return call(head, x, labels, dict(zip(names, given, strict=True))).loss

    inputs = (embeddings.requires_grad_(), *values)
    assert torch.autograd.gradcheck(loss, inputs, check_undefined_grad=False)


@every_head
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(
    name: str,
    parameters: dict,
    half: torch.dtype,
    make: Maker,
    call: Call,
    assert_finite: Callable,
    batch: Batch,
) -> None:
    head = make(name, **parameters).float()
    embeddings, labels = (300 * batch[0]).to(half), batch[1]  # 300 squared overflows float16
    loss = assert_finite(head, embeddings, labels).loss
    assert loss.dtype == torch.float32
    assert loss == call(head, embeddings.float(), labels).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss == call(head, embeddings, labels).loss


@every_head
def test_double_precision_stays(
    name: str, parameters: dict, make: Maker, call: Call, batch: Batch
) -> None:
    output = call(make(name, **parameters), *batch)
    assert output.loss.dtype == torch.float64
    assert output.loss.ndim == 0


@every_head
def test_the_order_of_the_batch_does_not_matter(
    name: str, parameters: dict, make: Maker, call: Call, batch: Batch
) -> None:
    head, (embeddings, labels) = make(name, **parameters), batch
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    first, second = (
        call(head, embeddings, labels),
        call(head, embeddings[order], labels[order]),
    )
    assert second.stats.keys() == first.stats.keys()
    if (name, parameters.get("mining")) in DRAWS_BY_ROW:
        return
    assert second.loss.item() == pytest.approx(first.loss.item(), rel=1e-12)
    for key, value in first.stats.items():
        assert second.stats[key].item() == pytest.approx(value.item(), rel=1e-12), key


@every_head
def test_state_dict_round_trip(
    name: str, parameters: dict, make: Maker, make_head: Maker, call: Call, batch: Batch
) -> None:
    head = make(name, **parameters)
    call(head, *batch)
    head.step_completed()
    state = {key: value.clone() for key, value in head.state_dict().items()}
    other = make_head(name, **parameters)
    for parameter in other.parameters():
        torch.nn.init.constant_(parameter, 0.3)
    if any(value.ndim > 1 for value in state.values()):  # prototypes, centres, weights
        with torch.no_grad():
            assert call(other, *batch).loss != call(head, *batch).loss
    other.load_state_dict(state)
    for _ in range(3):  # the schedule goes on from the same position
        first, second = call(head, *batch), call(other, *batch)
        assert second.loss == first.loss
        assert second.stats == first.stats
        head.step_completed()
        other.step_completed()


@every_head
def test_extremes(name: str, parameters: dict, make: Maker, assert_finite: Callable) -> None:
    head = make(name, **parameters).float()
    draw = torch.Generator().manual_seed(6)
    directions = torch.randn(7, 5, generator=draw)
    if head.prototypes is not None:
        directions = head.prototypes.weight.detach().clone()
    labels = torch.arange(14) % 7
    for along in (1.0, -1.0, 1e-4, -1e4):  # cosine 1 and -1, short and long
        assert_finite(head, along * directions[labels], labels)
    opposite = torch.cat([directions, -directions])
    assert_finite(head, opposite, labels)  # the two images of an identity
    assert_finite(head, directions[:1].repeat(14, 1), labels)  # all images the same
    assert_finite(head, torch.zeros(14, 5), labels)
    for parameter in head.parameters():
        if parameter.ndim > 1:
            torch.nn.init.zeros_(parameter)
    assert_finite(head, opposite, labels)


@every_head
def test_one_identity_one_image_and_many_identities(
    name: str, parameters: dict, make: Maker, assert_finite: Callable
) -> None:
    alone = make(name, identities=1, **parameters).float()
    images = alone.images_per_identity
    output = assert_finite(alone, torch.ones(images, 5), torch.zeros(images, dtype=torch.int64))
    if alone.prototypes is not None and alone.loss_at_chance() == 0 and name not in OTHER_LOSSES:
        assert output.loss.abs() < 1e-6
    many = make(name, identities=100_000, **parameters).float()
    labels = torch.tensor([99_999, 0]).repeat_interleave(images)
    assert_finite(many, torch.eye(5).repeat(images, 1)[: 2 * images], labels)


@pytest.fixture
def logits_and_slopes(monkeypatch: pytest.MonkeyPatch) -> tuple[list[torch.Tensor], ...]:
    """Record the logits that losses are shown, and the gradients that they give them."""
    logits: list[torch.Tensor] = []
    slopes: list[torch.Tensor] = []
    for kind in (CrossEntropy, OneVsAll):

        def add(loss: Loss, z: torch.Tensor, add: Callable = kind.add) -> None:
            logits.append(z.clone())
            add(loss, z)

        def slope(loss: Loss, *given: torch.Tensor, slope: Callable = kind.slope) -> torch.Tensor:
            slopes.append(slope(loss, *given))
            return slopes[-1].clone()

        monkeypatch.setattr(kind, "add", add)
        monkeypatch.setattr(kind, "slope", slope)
    return logits, slopes


@every_head
def test_a_saturated_batch_leaves_no_denormals(
    name: str,
    parameters: dict,
    make: Maker,
    call: Call,
    logits_and_slopes: tuple[list[torch.Tensor], ...],
) -> None:
    try:
        head = make(name, **{**parameters, "scale": 95.0}).float()
    except ConfigError:
        head = make(name, **parameters).float()  # it takes no scale
    sides = torch.tensor([1, -1, -0.9, 1, -1, -1, -1])[:, None]
    labels = torch.tensor([0, 3, 0, 3])
    logits, slopes = logits_and_slopes
    saturated = False
    for length in (1.0, 4.0, 6.85, 12.0, 46.9, 95.0, 300.0):
        logits.clear()
        slopes.clear()
        embeddings = (length * torch.eye(1, 5).repeat(4, 1)).requires_grad_()
        if head.prototypes is not None:
            with torch.no_grad():  # on both sides of one axis, the own where the embeddings are
                head.prototypes.weight.copy_(length * sides * torch.eye(1, 5))
        output = call(head, embeddings, labels)
        if not logits:
            return
        output.loss.backward()
        natural = torch.softmax(torch.cat(logits, 1).double(), 1)
        found = torch.cat(slopes, 1)
        assert ((found == 0) | (found.abs() >= 1e-30)).all()
        if ((natural > 0) & (natural < 1e-30)).any():
            saturated = True
            assert parameters.get("label_smoothing") or (found == 0).any()
    assert saturated or name in OTHER_LOSSES


@every_head
def test_what_is_not_decayed_exists(name: str, parameters: dict, make: Maker) -> None:
    head = make(name, **parameters)
    own = dict(head.named_parameters())
    assert head.no_weight_decay() <= own.keys()
    assert {key for key, value in own.items() if value.ndim < 2} <= head.no_weight_decay()
    if head.prototypes is not None:
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
    name: str,
    parameters: dict,
    shape: tuple,
    labels: list,
    message: str,
    make_head: Maker,
    call: Call,
) -> None:
    if head_class(name).beside is not None and "embeddings [B" not in message:
        return  # it takes no labels
    given = torch.tensor(labels, dtype=None if labels else torch.int64)
    with pytest.raises(TrainingError) as error:
        call(make_head(name, **parameters), torch.ones(shape), given)
    assert str(error.value) == f"head '{name}' {message}"


@every_head
def test_a_batch_without_pairs_is_refused_by_heads_that_need_them(
    name: str, parameters: dict, make_head: Maker, call: Call
) -> None:
    head = make_head(name, **parameters)
    if head.images_per_identity == 1:
        call(head, torch.ones(3, 5), torch.tensor([4, 0, 2]))
        return
    with pytest.raises(TrainingError) as error:
        call(head, torch.ones(3, 5), torch.tensor([4, 0, 2]))
    assert f"head '{name}' compares images of one identity" in str(error.value)
    assert "set batch.images_per_identity to 2 or more" in str(error.value)
