"""What the tests of heads share: small random batches, and the comparison with a slow loop."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from facever.heads import Head, create_head
from facever.heads.prototypes import EPSILON

EMBEDDING_SIZE, IDENTITIES, BATCH = 5, 7, 6

Oracle = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


@pytest.fixture
def make_head() -> Callable[..., Head]:
    """Make a head by name, always the same, in float64."""

    def make(name: str, identities: int = IDENTITIES, **parameters: float) -> Head:
        torch.manual_seed(7)
        head = create_head(name, embedding_size=EMBEDDING_SIZE, identities=identities, **parameters)
        for parameter in head.parameters():  # biases too
            if parameter.ndim:
                torch.nn.init.normal_(parameter)
        return head.double()

    return make


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings float64 [6, 5], one of them opposite to its prototype's usual side, and labels."""
    draw = torch.Generator().manual_seed(3)
    embeddings = torch.randn(BATCH, EMBEDDING_SIZE, generator=draw, dtype=torch.float64)
    return embeddings, torch.tensor([0, 6, 2, 2, 5, 1])


@pytest.fixture
def agrees(batch: tuple[torch.Tensor, torch.Tensor]) -> Callable[[Head, Oracle], None]:
    """Check a head against a loop over (embeddings, prototypes, labels), in both precisions."""

    def check(head: Head, oracle: Oracle) -> None:
        embeddings, labels = batch
        for scale in (1.0, 8.0):
            x = scale * embeddings
            wanted = oracle(x.numpy(), head.prototypes.weight.detach().numpy(), labels.numpy())
            assert head(x, labels).loss.item() == pytest.approx(wanted, rel=1e-10)
            single = head.float()(x.float(), labels).loss
            assert single.dtype == torch.float32
            assert single.item() == pytest.approx(wanted, rel=1e-5)
            head.double()

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
def cross_entropy_oracle() -> Callable[[list[float], int], float]:
    """Return -log softmax_y of one row of logits."""

    def loss(logits: list[float], label: int) -> float:
        top = max(logits)
        return top + float(np.log(sum(np.exp(z - top) for z in logits))) - logits[label]

    return loss
