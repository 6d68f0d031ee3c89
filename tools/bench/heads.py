"""What each head costs over the matrix products that nobody can avoid.

In one run, B 256 embeddings of D 512 and C identities, float32:

- time: forward + backward over three products of the same shape (B x D x C, each result newly
  allocated as in a training step), medians of rounds in which the two are timed in turns;
- memory: what PyTorch has allocated at the peak over the size of the logits, B x C, the gradients
  of the head's own parameters not counted (one tensor of a parameter's size is taken for its
  gradient);
- saturated: a batch on its prototypes, with the scale (or length of the embeddings) that leaves the
  most denormals among the probabilities, over an ordinary batch of the same head; heads without
  logits have none;
- rbf: against the form that makes a [B, C, D] tensor, at B 64.

Heads without a matrix over identities (pairs, center) are measured once, over products and a matrix
of B x D x B. Heads that need more than embeddings and labels, and families, are left out unless
named with --heads (as pml:ArcFaceLoss).

    python tools/bench/heads.py --classes 10000 100000 --json
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from unittest.mock import patch

import torch
import torch.nn.functional as F
from _figures import Figure, Rounds, as_json, as_table, at_least, at_most
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from facever.errors import ConfigError
from facever.heads import HEADS, Head, create_head, head_names
from facever.heads.classes.losses import CrossEntropy, Loss, OneVsAll
from facever.heads.registry import is_family

B, D = 256, 512
SLOWER = {"curricular", "circle", "sphereface2"}
"""Heads that change every wrong similarity."""
MEMORY, SATURATED = 4.0, 1.3
SCALES = (30.0, 64.0, 95.0, 110.0, 150.0, 250.0, 760.0)
LENGTHS = (1.0, 95.0, 110.0, 150.0, 250.0)


def wanted_time(name: str, identities: int) -> float:
    """Return how many times the three products a prototype head may take."""
    if name in SLOWER:
        return 3.0
    return 2.0 if identities <= 10_000 else 2.5


def batch(identities: int, device: str, rows: int = B) -> tuple[Tensor, Tensor]:
    """Return random embeddings, and labels of four images each."""
    people = torch.randperm(identities)[: rows // 4]
    return torch.randn(rows, D, device=device), people.repeat_interleave(4).to(device)


def synchronize(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def products(columns: int, device: str) -> Callable[[], None]:
    """Return the three products of a B x D x columns head."""
    x, weight = torch.randn(B, D, device=device), torch.randn(columns, D, device=device)
    gradient = torch.randn(B, columns, device=device)

    def multiply() -> None:
        _ = x @ weight.T
        _ = gradient @ weight
        _ = gradient.T @ x

    return multiply


def step(head: Head, embeddings: Tensor, labels: Tensor) -> None:
    """Run forward and backward; the gradients are left."""
    leaf = embeddings.clone().requires_grad_()
    head(leaf, labels).loss.backward()


def ratio(
    work: Callable[[], None],
    over: Callable[[], None],
    between: Callable[[], None],
    rounds: int,
    device: str,
) -> tuple[Rounds, Rounds]:
    """Return the median of work's time over the other's, each pair timed in turn, and its own."""

    def seconds(action: Callable[[], None]) -> float:
        synchronize(device)
        start = time.perf_counter()
        action()
        synchronize(device)
        return time.perf_counter() - start

    ratios, own = [], []
    for number in range(rounds + 1):
        below = seconds(over)
        between()
        taken = seconds(work)
        between()
        if number:  # the first is warming up
            ratios.append(taken / below)
            own.append(taken)
    return Rounds(ratios), Rounds(own)


def peak_bytes(work: Callable[[], None], gradients: Counter[int], device: str) -> int:
    """Return the most bytes allocated at once.

    Args:
        work: What to watch.
        gradients: How many live tensors of a size (in bytes) not to count.
        device: "cpu" or "cuda".
    """
    kind = torch.device(device).type.upper()
    with profile(
        activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True
    ) as watched:
        work()
    events = [
        event
        for event in watched.profiler.kineto_results.events()
        if event.name() == "[memory]" and event.device_type().name == kind
    ]
    live, own, most = 0, Counter[int](), 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        size, sign = abs(event.nbytes()), 1 if event.nbytes() > 0 else -1
        live += sign * size
        if size in gradients:
            own[size] += sign
        spared = sum(min(own[size], count) * size for size, count in gradients.items())
        most = max(most, live - spared)
    return most


def over_products(
    name: str, head: Head, columns: int, rounds: int, device: str, wanted: float | None
) -> list[Figure]:
    """Return the rows of one head: time and memory."""
    embeddings, labels = batch(head.identities, device)
    work = partial(step, head, embeddings, labels)
    clear = partial(head.zero_grad, set_to_none=True)
    time_over, seconds = ratio(work, products(columns, device), clear, rounds, device)
    gradients = Counter(p.numel() * p.element_size() for p in head.parameters())
    memory = peak_bytes(work, gradients, device) / (B * columns * 4)
    clear()
    limit = None if wanted is None else MEMORY
    return [
        Figure(f"{name}: forward + backward", 1e3 * seconds, "ms"),
        at_most(f"{name}: over three products", time_over, "x", wanted),
        at_most(f"{name}: memory over logits", memory, "x", limit),
    ]


def saturated(name: str, identities: int, rounds: int, device: str) -> list[Figure]:
    """Return the row of a saturated batch, where the head's logits can be made to saturate."""
    share, head, embeddings, labels = most_denormal(name, identities, device)
    if not share:
        return []
    ordinary, other = batch(identities, device)
    clear = partial(head.zero_grad, set_to_none=True)
    over, _ = ratio(
        partial(step, head, embeddings, labels),
        partial(step, head, ordinary, other),
        clear,
        rounds,
        device,
    )
    label = f"{name}: saturated ({100 * share:.0f} % denormal)"
    return [at_most(label, over, "x", SATURATED)]


def most_denormal(name: str, identities: int, device: str) -> tuple[float, Head, Tensor, Tensor]:
    """Return the share of probabilities that are denormal, and the head and batch with the most."""
    _, labels = batch(identities, device)
    found: tuple[float, Head, Tensor, Tensor] | None = None
    factor = "gamma" if name == "circle" else "scale"
    for parameters in ({}, *({factor: scale} for scale in SCALES)):
        try:
            head = make(name, identities, device, **parameters)
        except ConfigError:  # it takes no scale
            break
        assert head.prototypes is not None
        own = head.prototypes.weight.detach()[labels]
        for length in LENGTHS:
            embeddings = length * own
            shares = probabilities(head, embeddings, labels)
            if shares is None:
                return 0.0, head, embeddings, labels
            share = ((shares > 1e-45) & (shares < 1e-38)).double().mean().item()
            if found is None or share > found[0]:
                found = (share, head, embeddings, labels)
    assert found is not None
    return found


@torch.no_grad()
def probabilities(head: Head, embeddings: Tensor, labels: Tensor) -> Tensor | None:
    """Return the softmax [B, C] in float64 of the logits that a loss sees, if it has some."""
    blocks, given = [], []
    with ExitStack() as stack:
        for kind in (CrossEntropy, OneVsAll):

            def record(loss: Loss, z: Tensor, add=kind.add) -> None:
                blocks.append(z.double())
                given.append(loss.given)
                add(loss, z)

            stack.enter_context(patch.object(kind, "add", record))
        head(embeddings, labels)
    if not blocks:
        return None
    logits = torch.cat(blocks, 1)
    if head.name == "sphereface2":  # its blocks are without the own logits
        logits.scatter_(1, labels[:, None], given[0].double()[:, None])
    return logits.softmax(1)


def rbf_over_broadcast(identities: int, device: str) -> list[Figure]:
    """Return how much faster and smaller `rbf` is than the form with a [B, C, D] tensor."""
    head = create_head("rbf", embedding_size=D, identities=identities, gamma=1000.0).to(device)
    embeddings, labels = batch(identities, device, rows=64)

    def broadcast() -> None:
        leaf = embeddings.clone().requires_grad_()
        distances = (leaf[:, None] - head.prototypes.weight).square().sum(2)
        F.cross_entropy(14 * torch.exp(-distances / 1000), labels).backward()

    ours = partial(step, head, embeddings, labels)
    clear = partial(head.zero_grad, set_to_none=True)
    faster, _ = ratio(broadcast, ours, clear, 5, device)
    gradients = Counter(p.numel() * p.element_size() for p in head.parameters())
    theirs = peak_bytes(broadcast, gradients, device)
    clear()
    smaller = theirs / peak_bytes(ours, gradients, device)
    return [
        at_least("rbf: faster than with [B, C, D], B 64", faster, "x", 100.0),
        at_least("rbf: smaller than with [B, C, D], B 64", smaller, "x", 100.0),
    ]


def make(name: str, identities: int, device: str, **parameters: float) -> Head:
    return create_head(name, embedding_size=D, identities=identities, **parameters).to(device)


def over_identities(head: Head) -> bool:
    """Return whether the head trains a vector for each identity."""
    return any(p.numel() >= head.identities for p in head.parameters())


def measurable() -> list[str]:
    """Return the heads that need embeddings and labels only."""
    return [name for name in head_names() if not is_family(name) and HEADS[name].beside is None]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", nargs="+", help="names; all that can be measured unless given")
    parser.add_argument("--classes", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = options.heads or measurable()
    torch.manual_seed(0)

    figures: list[Figure] = []
    for some in measure(names, options.classes, options.rounds, options.device):
        figures += some
        if some and not options.json:
            print(as_table(some), flush=True)
    left_out = sorted({*head_names()} - {*names})
    if options.json:
        print(as_json(figures, left_out=left_out))
    else:
        print(f"left out: {', '.join(left_out) or 'none'}")


def measure(
    names: list[str], classes: list[int], rounds: int, device: str
) -> Iterator[list[Figure]]:
    """Measure one thing after the other."""
    for identities in classes:
        for name in names:
            head = make(name, identities, device)
            if over_identities(head):
                label, wanted = f"{name}, C {identities}", wanted_time(name, identities)
                yield over_products(label, head, identities, rounds, device, wanted)
            elif identities == classes[0]:
                yield over_products(f"{name}, no class matrix", head, B, rounds, device, None)
    for name in names:
        if make(name, 4, "cpu").prototypes is not None:
            yield saturated(name, classes[0], rounds, device)
    if "rbf" in names:
        yield rbf_over_broadcast(10_000, device)


if __name__ == "__main__":
    main()
