import math

import numpy as np
import pytest
import torch

from facever.heads import create_head


def leaves(x, forks, node=1, p=1.0):
    """Return the probability of every leaf under a node, by a walk down the tree."""
    if node > len(forks):
        return {node: p}
    score = sum(float(a) * float(b) for a, b in zip(x, forks[node - 1], strict=True))
    left, right = 1 / (1 + math.exp(score)), 1 / (1 + math.exp(-score))
    return leaves(x, forks, 2 * node, p * left) | leaves(x, forks, 2 * node + 1, p * right)


def softmax(logits):
    exponentials = np.exp(logits - np.max(logits))
    return exponentials / exponentials.sum()


def adaptive(x, tree, identities):
    """Return the probability of every identity by the definition of the adaptive softmax."""
    weights = {key: value.detach().double().numpy() for key, value in tree.named_parameters()}
    ends = [*tree.softmax.cutoffs]
    head = softmax(weights["softmax.head.weight"] @ x)
    p = list(head[: ends[0]])
    for cluster in range(len(ends) - 1):
        down, out = (weights[f"softmax.tail.{cluster}.{layer}.weight"] for layer in (0, 1))
        p.extend(head[ends[0] + cluster] * softmax(out @ (down @ x)))
    assert len(p) == identities
    return p


@pytest.mark.parametrize("identities", [7, 8, 9, 37])
def test_value_of_the_binary_tree(identities, make_head, agrees):
    head = make_head("hierarchical_softmax", identities=identities)
    forks = head.tree.forks.detach().numpy().copy()

    def oracle(x, W, labels):
        assert W is None
        each = [leaves(row, forks)[identities + y] for row, y in zip(x, labels, strict=True)]
        return -sum(math.log(p) for p in each) / len(labels)

    agrees(head, oracle)


@pytest.mark.parametrize("identities", [2, 7, 60])
def test_value_of_the_adaptive_tree(identities, make_head, batch):
    head = make_head("hierarchical_softmax", identities=identities, tree="adaptive")
    x, labels = batch[0], torch.arange(identities - 6, identities) % identities
    for labels_of in (labels, torch.arange(6) % identities):
        wanted = -np.mean(
            [
                math.log(adaptive(row, head.tree, max(identities, 2))[y])
                for row, y in zip(x.numpy(), labels_of.tolist(), strict=True)
            ]
        )
        assert head(x, labels_of).loss.item() == pytest.approx(wanted, rel=1e-10)
        single = head.float()(x.float(), labels_of).loss
        assert single.item() == pytest.approx(wanted, rel=1e-5)
        head.double()


@pytest.mark.parametrize("tree", ["binary", "adaptive"])
@pytest.mark.parametrize("identities", [2, 3, 7, 33])
def test_the_probabilities_of_all_identities_add_up_to_1(tree, identities, make_head, batch):
    head = make_head("hierarchical_softmax", identities=identities, tree=tree)
    log_p = head.tree(batch[0][:1].expand(identities, 5), torch.arange(identities))
    assert log_p.exp().sum().item() == pytest.approx(1, rel=1e-12)
    both = head(batch[0][:1].expand(2, 5), torch.tensor([1, 0])).stats["target_probability"]
    assert both.item() == pytest.approx(log_p[:2].exp().mean().item())


def test_paths_are_as_long_as_the_logarithm(make_head):
    head = make_head("hierarchical_softmax", identities=1000)
    with torch.no_grad():
        head.tree.forks.zero_()  # every decision is 1/2
    x, labels = torch.ones(1000, 5, dtype=torch.float64), torch.arange(1000)
    steps = (head.tree(x, labels) / -math.log(2)).round()
    assert set(steps.tolist()) == {9.0, 10.0}


def test_only_the_forks_on_the_path_learn(make_head, batch):
    head = make_head("hierarchical_softmax", identities=16)
    head(batch[0][:1], torch.tensor([5])).loss.backward()  # leaf 21: 10101
    moved = head.tree.forks.grad.abs().sum(1).nonzero()[:, 0] + 1
    assert moved.tolist() == [0b1, 0b10, 0b101, 0b1010]


def test_its_vectors_are_no_prototypes(make_head):
    assert make_head("hierarchical_softmax").prototypes is None


def test_confident_wrong_decisions_cost_what_they_should(make_head):
    head = make_head("hierarchical_softmax", identities=2).float()
    with torch.no_grad():
        head.tree.forks.fill_(1.0)
    x = torch.tensor([[200.0, 0, 0, 0, 0]], requires_grad=True)
    loss = head(x, torch.tensor([0])).loss
    assert loss.item() == 200
    loss.backward()
    assert x.grad.tolist() == [[1.0] * 5]
    head.zero_grad()
    head(x.detach() / 2.5, torch.tensor([1])).loss.backward()  # e^-80 is a gradient of none
    assert (head.tree.forks.grad == 0).all()


def test_small_embeddings_leave_every_cluster_a_dimension():
    tree = create_head("hierarchical_softmax", embedding_size=2, identities=100, tree="adaptive")
    assert all(parameter.numel() for parameter in tree.parameters())
    wide = create_head("hierarchical_softmax", embedding_size=32, identities=100, tree="adaptive")
    assert [len(wide.tree.softmax.tail[i][0].weight) for i in (0, 1)] == [8, 2]
    assert wide.tree.softmax.cutoffs == [5, 25, 100]


@pytest.mark.parametrize("tree", ["binary", "adaptive"])
def test_certain_decisions_leave_no_denormals(tree, make_head):
    head = make_head("hierarchical_softmax", identities=60, tree=tree).float()
    x = (60 * torch.randn(40, 5, generator=torch.Generator().manual_seed(0))).requires_grad_()
    head(x, torch.arange(40)).loss.backward()
    for parameter in [x, *head.parameters()]:
        small = parameter.grad[parameter.grad != 0].abs()
        assert len(small)
        assert small.min() > 1e-31
