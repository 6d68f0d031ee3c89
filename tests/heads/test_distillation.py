import math

import numpy as np
import pytest
import torch

from facever.errors import ConfigError, TrainingError
from facever.heads import create_head
from facever.heads.classes.vectors import EPSILON


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b) / math.sqrt((a @ a + EPSILON) * (b @ b + EPSILON))


@pytest.fixture
def teacher() -> torch.Tensor:
    """Embeddings of a teacher float64 [6, 4]; the third is missing."""
    draw = torch.Generator().manual_seed(11)
    vectors = 2 * torch.randn(6, 4, generator=draw, dtype=torch.float64)
    vectors[2] = torch.nan
    return vectors


def make(**parameters):
    torch.manual_seed(5)
    head = create_head(
        "distillation", embedding_size=5, identities=7, teacher="somewhere", **parameters
    )
    return head.double()


@pytest.mark.parametrize("loss", ["cosine", "euclidean"])
def test_regression(loss, batch, teacher):
    head = make(loss=loss, teacher_size=4)
    A = head.map.weight.detach().numpy()
    wanted, likeness = 0.0, 0.0
    known = [0, 1, 3, 4, 5]
    for i in known:
        mapped, t = A @ batch[0][i].numpy(), teacher[i].numpy()
        likeness += cosine(mapped, t) / len(known)
        if loss == "cosine":
            wanted += (1 - cosine(mapped, t)) / len(known)
        else:
            wanted += sum((m - x) ** 2 for m, x in zip(mapped, t, strict=True)) / len(known)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        output = head.to(dtype)(batch[0].to(dtype), teacher.to(dtype))
        assert output.loss.item() == pytest.approx(wanted, rel=tolerance)
        assert output.stats["teacher_cosine"].item() == pytest.approx(likeness, rel=tolerance)
        head.double()


def test_soft_targets(batch, teacher):
    head = make(loss="soft_targets", teacher_size=4, temperature=3.0, scale=12.0)
    draw = torch.Generator().manual_seed(2)
    means = torch.randn(7, 4, generator=draw, dtype=torch.float64)
    head.set_class_means(means)
    W = head.prototypes.weight.detach().numpy()
    wanted, agree = 0.0, 0
    known = [0, 1, 3, 4, 5]
    for i in known:
        x, t = batch[0][i].numpy(), teacher[i].numpy()
        z_s = np.array([12 * cosine(x, w) / 3 for w in W])
        z_t = np.array([12 * cosine(t, m) / 3 for m in means.numpy()])
        log_s, log_t = (z - math.log(sum(math.exp(v) for v in z)) for z in (z_s, z_t))
        kl = sum(math.exp(b) * (b - a) for a, b in zip(log_s, log_t, strict=True))
        wanted += 9 * kl / len(known)
        agree += z_s.argmax() == z_t.argmax()
    output = head(batch[0], teacher)
    assert output.loss.item() == pytest.approx(wanted, rel=1e-10)
    assert output.stats["agreement"].item() == pytest.approx(agree / len(known))


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    head = make(loss="soft_targets")
    head.set_class_means(head.prototypes.weight)
    x = torch.randn(3, 5, dtype=torch.float64)
    assert head(x, 4 * x).loss.abs() < 1e-12
    assert make()(x, 4 * x).loss.abs() < 1e-6


def test_images_without_teacher_are_left_out(batch, teacher):
    head = make(teacher_size=4)
    leaf = batch[0].clone().requires_grad_()
    output = head(leaf, torch.full_like(teacher, torch.nan))
    output.loss.backward()
    assert output.loss == 0
    assert (leaf.grad == 0).all()
    leaf.grad = None
    head(leaf, teacher).loss.backward()
    assert (leaf.grad[2] == 0).all()
    assert (leaf.grad[[0, 1, 3, 4, 5]] != 0).any(1).all()


def test_the_map_is_there_where_it_is_needed_or_wanted():
    assert make(teacher_size=5).map is None
    assert make(teacher_size=4).map.weight.shape == (4, 5)
    assert make(teacher_size=5, map=True).map.weight.shape == (5, 5)
    with pytest.raises(ConfigError) as error:
        make(teacher_size=4, map=False)
    assert "teacher's embeddings have 4 components and the model's 5" in str(error.value)
    assert "set map to null" in str(error.value)


def test_class_means_are_part_of_the_state():
    head, other = make(loss="soft_targets"), make(loss="soft_targets")
    with pytest.raises(TrainingError, match="has no class means of its teacher"):
        other(torch.ones(1, 5), torch.ones(1, 5))
    head.set_class_means(torch.ones(7, 5))
    other.load_state_dict(head.state_dict())
    assert (other.class_means == 1).all()
    with pytest.raises(TrainingError) as error:
        head.set_class_means(torch.ones(7, 4))
    assert str(error.value) == (
        "head 'distillation' with loss 'soft_targets' takes no class means [7, 4], but [7, 5]"
    )
    with pytest.raises(TrainingError, match=r"with loss 'cosine' takes no class means \[7, 5\]$"):
        make().set_class_means(torch.ones(7, 5))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"temperature": 2.0}, "loss 'cosine' has no temperature"),
        ({"loss": "euclidean", "scale": 2.0}, "loss 'euclidean' has no scale"),
        ({"loss": "soft_targets", "map": True}, "loss 'soft_targets' has no map"),
    ],
)
def test_parameters_of_another_loss_are_refused(parameters, message):
    with pytest.raises(ConfigError) as error:
        make(**parameters)
    assert str(error.value) == f"head 'distillation': {message}"


def test_wrong_targets_are_refused(batch):
    with pytest.raises(TrainingError) as error:
        make(teacher_size=4)(batch[0], torch.ones(6, 5))
    assert str(error.value) == (
        "head 'distillation' takes teacher as floating point [6, 4] for 6 embeddings, not "
        "float32 [6, 5]"
    )
    with pytest.raises(TrainingError, match=r"not int64 \[6\]$"):
        make(teacher_size=4)(*batch)
    with pytest.raises(ConfigError, match="'teacher' is missing"):
        create_head("distillation", embedding_size=5, identities=7)
