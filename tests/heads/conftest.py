"""What the tests of heads share: small random batches, and the comparison with a slow loop."""

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from facever.heads import Head, HeadOutput, create_head
from facever.heads.classes.vectors import EPSILON

EMBEDDING_SIZE, IDENTITIES, BATCH = 5, 7, 6

Oracle = Callable[[np.ndarray, np.ndarray | None, np.ndarray], float]

REQUIRED: dict[str, dict[str, Any]] = {
    "distillation": {"teacher": "somewhere"},
    "attributes": {"columns": ["glasses", "smile", "hat"]},
    "reconstruction": {"size": 8, "channels": 4},  # small, for gradcheck
}
"""By head: the parameters that it cannot be made, or tested, without."""


def beside(head: Head, labels: torch.Tensor) -> torch.Tensor:
    """Return what the head takes in the place of labels: numbers that follow each label."""
    if head.beside is None:
        return labels
    places = torch.arange(1, math.prod(head.target_shape) + 1, dtype=torch.float64)
    values = ((labels.double()[:, None] + 1.3) * places.sqrt() * 7.7).frac().abs()
    if head.beside == "attributes":
        values = (values > 0.5).double()
    return values.reshape(len(labels), *head.target_shape)


Call = Callable[..., HeadOutput]


@pytest.fixture
def call() -> Call:
    """Call a head with whatever it needs, with other parameters in place of its own if given."""

    def call_head(
        head: Head,
        embeddings: torch.Tensor,
        labels: torch.Tensor,
        parameters: dict[str, torch.Tensor] | None = None,
    ) -> HeadOutput:
        given = beside(head, labels)
        return torch.func.functional_call(head, parameters or {}, (embeddings, given))

    return call_head


@pytest.fixture
def make_head() -> Callable[..., Head]:
    """Make a head by name, always the same, in float64."""

    def make(name: str, identities: int = IDENTITIES, **parameters: Any) -> Head:
        if name.startswith("pml:"):
            pytest.importorskip("pytorch_metric_learning")
        torch.manual_seed(7)
        given = {**REQUIRED.get(name, {}), **parameters}
        head = create_head(name, embedding_size=EMBEDDING_SIZE, identities=identities, **given)
        for parameter in head.parameters():  # biases too
            if parameter.ndim:
                torch.nn.init.normal_(parameter)
        if parameters.get("loss") == "soft_targets":
            head.set_class_means(torch.randn(identities, *head.target_shape))
        return head.double()

    return make


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings float64 [6, 5] and labels: three images of one identity, a pair, and a single."""
    draw = torch.Generator().manual_seed(3)
    embeddings = torch.randn(BATCH, EMBEDDING_SIZE, generator=draw, dtype=torch.float64)
    return embeddings, torch.tensor([0, 6, 2, 2, 6, 2])


@pytest.fixture
def agrees(batch: tuple[torch.Tensor, torch.Tensor], call: Call) -> Callable[[Head, Oracle], None]:
    """Check a head against a loop over (embeddings, prototypes, labels), in both precisions.

    Where a head has no prototypes, the loop is given None.
    """

    def check(head: Head, oracle: Oracle) -> None:
        embeddings, labels = batch
        for scale in (1.0, 8.0):
            x = scale * embeddings
            W = None if head.prototypes is None else head.prototypes.weight.detach().numpy().copy()
            wanted = oracle(x.numpy(), W, labels.numpy())
            assert call(head, x, labels).loss.item() == pytest.approx(wanted, rel=1e-10)
            single = call(copy.deepcopy(head).float(), x.float(), labels).loss
            assert single.dtype == torch.float32
            assert single.item() == pytest.approx(wanted, rel=1e-5)

    return check


@pytest.fixture
def cosine_oracle() -> Callable[[np.ndarray, np.ndarray], float]:
    """Return the cosine of two vectors, with NormFace's epsilon, by a loop."""

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        dot = sum(float(p) * float(q) for p, q in zip(a, b, strict=True))
        lengths = [np.sqrt(sum(float(p) ** 2 for p in v) + EPSILON) for v in (a, b)]
        return dot / (lengths[0] * lengths[1])

    return cosine


@pytest.fixture
def distance_oracle() -> Callable[[np.ndarray, np.ndarray, bool, bool], float]:
    """Return the distance of two vectors, squared or plain, of their unit vectors or not."""

    def distance(a: np.ndarray, b: np.ndarray, squared: bool, unit: bool) -> float:
        lengths = [np.sqrt(sum(float(p) ** 2 for p in v) + EPSILON) if unit else 1 for v in (a, b)]
        pairs = zip(a, b, strict=True)
        square = sum((float(p) / lengths[0] - float(q) / lengths[1]) ** 2 for p, q in pairs)
        return square if squared else float(np.sqrt(square))

    return distance


@pytest.fixture
def cross_entropy_oracle() -> Callable[[list[float], int], float]:
    """Return -log softmax_y of one row of logits."""

    def loss(logits: list[float], label: int) -> float:
        top = max(logits)
        return top + float(np.log(sum(np.exp(z - top) for z in logits))) - logits[label]

    return loss


@pytest.fixture
def gradients_agree(batch: tuple[torch.Tensor, torch.Tensor]) -> Callable[..., None]:
    """Check a head's gradients against autograd through a plain function of x, W and labels."""

    def check(head: Head, plain: Callable[..., torch.Tensor]) -> None:
        x, labels = batch[0].clone().requires_grad_(), batch[1]
        inputs = [x, head.prototypes.weight]
        found = torch.autograd.grad(head(x, labels).loss, inputs)
        wanted = torch.autograd.grad(plain(x, head.prototypes.weight, labels), inputs)
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-11)

    return check
