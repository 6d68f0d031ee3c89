"""Adversarial hard-triplet generation as a step: discriminator, generator and embedder in turn."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from facever.core.processes import all_sum, gather, gather_rows, world
from facever.data.loading import Batch
from facever.errors import ConfigError, TrainingError
from facever.heads.base import HeadOutput, Metric
from facever.heads.common.distances import mean_pair_cosine
from facever.heads.common.mining import Miner, Triplets
from facever.training.computing.optimization import (
    Schedule,
    load_optimizer,
    make_optimizer,
    parameter_groups,
)
from facever.training.computing.parallel import Agreement
from facever.training.htg import diagnosis, losses
from facever.training.htg.alarms import Adversaries
from facever.training.htg.config import NAME, AdversarialConfig, NetworkConfig
from facever.training.htg.discriminator import Discriminator
from facever.training.htg.generator import Generator
from facever.training.htg.normalization import BatchNorm, frozen
from facever.training.monitoring.history import Figures, Subject
from facever.training.steps import EmbeddingStep


class Player:
    """The generator or the discriminator, with an optimizer and a schedule of its own.

    Args:
        network: What is trained, on its device; it stays in training mode.
        config: How.
        epochs: Length of its training.
        updates_per_epoch: Updates in an epoch.
    """

    def __init__(
        self, network: nn.Module, config: NetworkConfig, epochs: int, updates_per_epoch: int
    ) -> None:
        self.network = network.train()
        groups = parameter_groups(network, (), config.optimizer.weight_decay, head_lr_scale=1.0)
        self.optimizer = make_optimizer(groups, config.optimizer)
        self._schedule = Schedule(self.optimizer, config.schedule, epochs, updates_per_epoch)
        self._parameters = list(network.parameters())

    def learn(self, loss: Tensor, number: int, clip_norm: float | None) -> Tensor:
        """Make the update that follows `number` others; return the norm of the gradients.

        With several processes the gradient is the mean of theirs.
        """
        self._schedule.set(number)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        for gradient in gradients:
            all_sum(gradient).div_(world())
        norm = nn.utils.get_total_norm(gradients)
        if clip_norm is not None:
            nn.utils.clip_grads_with_norm_(self._parameters, clip_norm, norm)
        self.optimizer.step()
        return norm.detach()

    def state_dict(self) -> dict[str, Any]:
        """Return the network's and the optimizer's state."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state that `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        load_optimizer(self.optimizer, state["optimizer"])


class AdversarialStep(EmbeddingStep):
    """Pre-training by mined triplets and heads; then D, G and F learn in turn from one batch.

    One forward pass of the embedder F serves all three: D and G get its detached features, and F's
    own phase goes on with its graph, through the frozen G. The features are those before
    normalising. With accumulation, D and G learn from each micro-batch as it comes, and F from the
    sum of all: so F's phase always meets the G that its own features have just trained, and one
    graph of F is held at a time (our choice; order and losses are the paper's).

    The generator and the discriminator compute in float32 (float64 for float64 features), also
    under autocast. With several processes each compares its own images, and gradients are averaged;
    or each does the same with the images of all.

    Args:
        plain: As EmbeddingStep takes them, in order.
        config: The method's parameters.
        epochs: Of the whole training.
        updates_per_epoch: Updates in an epoch.
        whole_batch: Whether each process sees the images of all.

    Raises:
        ConfigError: No head with prototypes, or embeddings of fewer than 4 components.

    Reference:
        Zhao et al., An Adversarial Approach to Hard Triplet Generation, ECCV 2018.
    """

    heads_loss = f"{NAME}/heads"

    def __init__(
        self,
        *plain: Any,
        config: AdversarialConfig,
        epochs: int,
        updates_per_epoch: int,
        whole_batch: bool = False,
    ) -> None:
        super().__init__(*plain)
        prototypes = self.heads.prototypes
        if prototypes is None:
            raise ConfigError(
                "adversarial training needs a head with a prototype for each identity: add "
                "{name: softmax} to heads"
            )
        self._config, self._prototypes = config, prototypes
        self._whole_batch = whole_batch
        updates = epochs * updates_per_epoch
        self.pretraining = config.first_update(updates)
        self._begin = self.pretraining - config.pretraining_updates  # of G and D
        if self._begin < 0:
            raise ConfigError(
                f"{NAME}.pretraining_updates is {config.pretraining_updates}, and the pre-training "
                f"has {self.pretraining} updates: lower it, or raise {NAME}.pretraining"
            )
        size, device = self.embedder.embedding_size, prototypes.weight.device
        left = max(1, math.ceil((updates - self._begin) / updates_per_epoch))

        def player(network: nn.Module, training: NetworkConfig) -> Player:
            for part in network.modules():
                if isinstance(part, BatchNorm):
                    part.whole_batch = whole_batch
            return Player(network.to(device), training, left, updates_per_epoch)

        generator = Generator(size, config.last_activation, config.generator_start)
        self.generator = player(generator, config.generator)
        self.discriminator = (
            None
            if config.without_discriminator
            else player(Discriminator(size, len(prototypes.weight)), config.discriminator)
        )
        self._miner = Miner(config.mining, size, squared=True, margin=config.margin).to(device)

    @property
    def metric(self) -> Metric:
        """Cosine: the triplets are compared on the unit sphere."""
        return "cosine"

    def watched(self, figures: Figures) -> list[Subject]:
        """See EmbeddingStep."""
        return [Adversaries(figures, self._config.margin, len(self._prototypes.weight))]

    def update(
        self, batches: Sequence[Batch], number: int, agreement: Agreement | None = None
    ) -> dict[str, Tensor]:
        """See Step."""
        stats = super().update(batches, number, agreement)
        if not stats.get("overflow", 0):
            self._miner.step_completed()
        return stats

    def _objective(
        self, embeddings: Tensor, labels: Tensor, heads: HeadOutput, number: int, local: float
    ) -> HeadOutput:
        """Train D and G, and return F's loss: equation 6."""
        if self._whole_batch:
            embeddings, labels, local = gather_rows(embeddings), gather(labels), 1.0
        between = losses.square_distances(embeddings)
        triplets = self._miner(between, labels) if len(labels) else _none(labels)
        features = embeddings.detach()
        violation, margin = diagnosis.hardness(between, triplets, self._config.margin)
        stats = {
            "mined_violation": violation,
            "mined_margin": margin,
            "real_kept": diagnosis.kept(features, self._prototypes.weight, labels),
            "pair_cosine": mean_pair_cosine(features),
        }
        if number >= self._begin:
            since = number - self._begin
            stats |= self.train_adversaries(features, labels, triplets, since, local)
        if number < self.pretraining:
            triplet = losses.embedder_triplet(between, triplets, self._config.margin)
        else:
            triplet = self._through_generator(embeddings, triplets)
        stats["triplet"] = triplet.detach()
        if local != 1.0:
            stats = {name: _weighed(name, value, local) for name, value in stats.items()}
        stats["heads"] = heads.loss.detach()
        loss = losses.embedder_loss(triplet * local, heads.loss, self._config.mu)
        _require_finite(stats, number)
        named = {f"{NAME}/{name}": value for name, value in stats.items()}
        return HeadOutput(loss, {**heads.stats, **named})

    def train_adversaries(
        self,
        features: Tensor,
        labels: Tensor,
        triplets: Triplets,
        number: int,
        local: float = 1.0,
    ) -> dict[str, Tensor]:
        """Update D, then G, from features of F, which stays as it is.

        Args:
            features: [B, L], not normalised, without gradients: of a batch, or kept ones.
            labels: int64 [B].
            triplets: Indices into them.
            number: Updates of D and G before this one.
            local: How many times as many images this process has as the mean one.

        Returns:
            The figures of docs/htg.md that are about D and G, without `adversarial/`.
        """
        shares = losses.shares(triplets, len(labels), features.dtype)
        judged = self._train_discriminator(features, labels, shares, number, local)
        return judged | self._train_generator(features, labels, triplets, shares, number, local)

    def _train_discriminator(
        self, features: Tensor, labels: Tensor, shares: Tensor, number: int, local: float = 1.0
    ) -> dict[str, Tensor]:
        """Update D by equation 4. Real and generated features are two batches (our choice)."""
        if self.discriminator is None:
            return {}
        with torch.no_grad(), frozen(self.generator.network):
            generated = self.generator.network(features)
        network = self.discriminator.network
        real, fake = network(features), network(generated)
        loss = losses.discriminator_loss(real, fake, labels, shares, self._config.beta)
        own, found, apart = diagnosis.verdicts(real, fake, labels)
        return {
            "discriminator": loss.detach(),
            "real_accuracy": own,
            "generated_accuracy": found,
            "told_apart": apart,
            "discriminator_grad_norm": self.discriminator.learn(
                loss * local, number, self._clip_norm
            ),
        }

    def _train_generator(
        self,
        features: Tensor,
        labels: Tensor,
        triplets: Triplets,
        shares: Tensor,
        number: int,
        local: float = 1.0,
    ) -> dict[str, Tensor]:
        """Update G by equations 2 and 5."""
        generated = self.generator.network(features)
        between = losses.square_distances(generated)
        triplet = losses.generator_triplet(between, triplets, self._config.margin)
        classification, stats = None, {}
        if self.discriminator is not None:
            with frozen(self.discriminator.network):
                judged = self.discriminator.network(generated)
            classification = losses.cross_entropy(judged, labels, shares)
            stats["generator_classification"] = classification.detach()
        loss = losses.generator_loss(triplet, classification, self._config.gamma)
        violation, margin = diagnosis.hardness(between, triplets, self._config.margin)
        return stats | {
            "generator_triplet": triplet.detach(),
            "generated_violation": violation,
            "generated_margin": margin,
            "generated_kept": diagnosis.kept(generated, self._prototypes.weight, labels),
            "offset": diagnosis.relative_offset(features, generated),
            "generator_grad_norm": self.generator.learn(loss * local, number, self._clip_norm),
        }

    def _through_generator(self, embeddings: Tensor, triplets: Triplets) -> Tensor:
        """Return equation 3, whose gradient goes through the frozen G into F."""
        with frozen(self.generator.network):
            between = losses.square_distances(self.generator.network(embeddings))
        return losses.embedder_triplet(between, triplets, self._config.margin)

    def state_dict(self) -> dict[str, Any]:
        """See Step."""
        discriminator = self.discriminator
        return {
            **super().state_dict(),
            "generator": self.generator.state_dict(),
            "discriminator": None if discriminator is None else discriminator.state_dict(),
            "miner": self._miner.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See Step."""
        super().load_state_dict(state)
        self.generator.load_state_dict(state["generator"])
        if self.discriminator is not None:
            self.discriminator.load_state_dict(state["discriminator"])
        self._miner.load_state_dict(state["miner"])


def _none(labels: Tensor) -> Triplets:
    """Return no triplets, where there is no image."""
    return Triplets(labels, labels, labels)


def _weighed(name: str, value: Tensor, local: float) -> Tensor:
    """Return a figure of this process's images so that the mean over processes is that of all.

    That of no images is not a number, and counts for nothing. The norms of averaged gradients are
    the same everywhere.
    """
    return value if name.endswith("grad_norm") else value.nan_to_num() * local


def _require_finite(stats: dict[str, Tensor], step: int) -> None:
    """Stop the training when a loss or gradient of the adversaries is not finite.

    Raises:
        TrainingError: Names the step and the first such figure.
    """
    if not bool(torch.stack([value.float() for value in stats.values()]).isfinite().all()):
        name = next(name for name, value in stats.items() if not bool(value.isfinite()))
        raise TrainingError(
            f"step {step}: {NAME}/{name} is {stats[name].item()}. Lower "
            f"{NAME}.generator.optimizer.lr and {NAME}.discriminator.optimizer.lr, or use "
            "precision fp32"
        )
