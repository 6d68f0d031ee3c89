"""What a step of adversarial hard-triplet generation costs over one of the plain triplet.

Both are the trainer's own steps, with softmax and batch-hard triplets of the same P x K batch of
random images: the plain one trains with the heads softmax and triplet, the other with softmax and
`adversarial`, past its pre-training. They are timed in turns; the ratio is the median over rounds.

    python tools/bench/htg.py --backbones resnet18 resnet50 --json
"""

import argparse
import statistics
import time

import torch
from _figures import Figure, Rounds, as_json, as_table, at_most

from facever.data.loading import Batch
from facever.heads import create_head
from facever.heads.weighted_sum import WeightedSum
from facever.models.embedder import Embedder, ModelConfig
from facever.models.precision import choose_device
from facever.training.computing.optimization import (
    OptimizerConfig,
    Schedule,
    ScheduleConfig,
    make_optimizer,
    parameter_groups,
)
from facever.training.computing.precision import Precision, choose_memory_format
from facever.training.htg.config import AdversarialConfig
from facever.training.htg.step import AdversarialStep
from facever.training.steps import EmbeddingStep
from facever.training.supervision.targets import Targets

WANTED = 1.25


def make_step(adversarial: bool, backbone: str, options: argparse.Namespace) -> EmbeddingStep:
    """Return the plain step, or the adversarial one."""
    torch.manual_seed(0)
    device = choose_device(options.device)
    embedder = Embedder(
        ModelConfig.model_validate(
            {
                "backbone": backbone,
                "embedding_size": options.embedding_size,
                "preprocessing": {"size": options.size},
            }
        )
    )
    layout = choose_memory_format("auto", embedder, options.precision, device)
    embedder.to(device).to(memory_format=layout)
    heads = ["softmax"] if adversarial else ["softmax", "triplet"]
    summed = WeightedSum(
        create_head(
            name,
            embedding_size=options.embedding_size,
            identities=options.identities,
            **({"mining": "batch_hard", "distance": "squared"} if name == "triplet" else {}),
        )
        for name in heads
    ).to(device)
    config = OptimizerConfig(name="sgd", lr=1e-4)
    groups = parameter_groups(embedder, summed.heads, config.weight_decay, 1.0)
    optimizer = make_optimizer(groups, config)
    schedule = Schedule(optimizer, ScheduleConfig(name="constant", warmup_epochs=0.0), 100, 100)
    precision = Precision(options.precision, device)
    parts = (embedder, summed, optimizer, schedule, precision, layout, 5.0, Targets({}, {}, ""))
    if not adversarial:
        return EmbeddingStep(*parts)
    method = AdversarialConfig(pretraining=0.0)
    return AdversarialStep(*parts, config=method, epochs=100, updates_per_epoch=100)


def batch(options: argparse.Namespace) -> Batch:
    """Return P x K random images."""
    people, each = options.batch // options.each, options.each
    labels = torch.randperm(options.identities)[:people].repeat_interleave(each)
    images = torch.randint(0, 256, (len(labels), 3, *options.size), dtype=torch.uint8)
    return Batch(images, labels, torch.arange(len(labels)), [])


def seconds(step: EmbeddingStep, given: Batch, number: int) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    step.update([given], number)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(backbone: str, options: argparse.Namespace) -> list[Figure]:
    plain, adversarial = (make_step(kind, backbone, options) for kind in (False, True))
    given, times = batch(options), []
    for number in range(options.rounds + 1):
        below, above = (seconds(step, given, number) for step in (plain, adversarial))
        if number:  # the first is warming up
            times.append((below, above))
    below, above = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = Rounds([over / under for under, over in times])
    return [
        Figure(f"{backbone}: step of the plain triplet", 1e3 * below, "ms"),
        Figure(f"{backbone}: step of HTG", 1e3 * above, "ms"),
        at_most(f"{backbone}: HTG over plain", ratio, "x", WANTED),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbones", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--size", nargs=2, type=int, default=[64, 32], help="height and width")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--each", type=int, default=4, help="images of one identity")
    parser.add_argument("--identities", type=int, default=500)
    parser.add_argument("--embedding-size", type=int, default=512)
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"], default="fp32")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.size = tuple(options.size)

    figures = [figure for name in options.backbones for figure in measure(name, options)]
    print(as_json(figures) if options.json else as_table(figures))


if __name__ == "__main__":
    main()
