"""Softmax over the own identity and a sample of the others."""

import math
from typing import Literal

from pydantic import Field, model_validator
from torch import Tensor

from facever.heads.base import Head, HeadConfig, HeadOutput, mean_norm
from facever.heads.classes.sampling import Sampler, Selection, select
from facever.heads.classes.scores import cosine_scores, dot_scores
from facever.heads.classes.vectors import Prototypes
from facever.heads.common.bounds import warn_below
from facever.heads.registry import register

DEFAULT_SCALE = 30.0


@register
class SampledSoftmax(Head):
    """Cross-entropy over the own identity and S others, drawn for each step.

    The S identities are drawn uniformly, distinct, and shared by the batch; one that is an image's
    own counts once for it, as its own (an accidental hit is masked). With S of all identities it is
    the full softmax. Only the prototypes of drawn and own identities have a gradient.

    With `log_q` each drawn identity's logit is lowered by the logarithm of its expected count, S/C;
    the own is always there, with an expected count of 1. The sum of exponentials is then an
    unbiased estimate of the full softmax's (its logarithm, the loss, only nearly so). Without it,
    wrong identities weigh as if there were S of them.

    There is no log-uniform sampler: it needs labels in order of frequency, and facever numbers
    identities in the order of their names.

    Reference:
        Bengio and Senecal, Adaptive Importance Sampling to Accelerate Training of a Neural
        Probabilistic Language Model, IEEE Transactions on Neural Networks 2008; Jean et al., On
        Using Very Large Target Vocabulary for Neural Machine Translation, ACL 2015. The cosine in
        it is our choice.
    """

    class Config(HeadConfig):
        """Parameters of `sampled_softmax`."""

        name: Literal["sampled_softmax"] = "sampled_softmax"
        negatives: int = Field(
            1000, ge=1, description="S, identities drawn for each step; all, if there are fewer"
        )
        log_q: bool = Field(True, description="lower each drawn logit by log(S / identities)")
        similarity: Literal["cosine", "dot"] = Field(
            "cosine", description="what the logits are made from"
        )
        scale: float | None = Field(
            None, gt=0, description="factor of the cosines, 30 unless given; none with dot"
        )

        @model_validator(mode="after")
        def _scale_of_cosines(self) -> "SampledSoftmax.Config":
            if self.similarity == "dot" and self.scale is not None:
                raise ValueError("scale is the factor of cosines; similarity 'dot' takes none")
            return self

    paper = "Bengio and Senecal, IEEE TNN 2008; Jean et al., ACL 2015"
    config: Config

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        self.prototypes: Prototypes = Prototypes(identities, embedding_size)
        self.sampler = Sampler(identities, config.negatives)
        self.metric = config.similarity
        self._scale = DEFAULT_SCALE if config.scale is None else config.scale
        if config.similarity == "cosine":
            against = identities if config.log_q else self.sampler.count + 1
            warn_below(self.name, self._scale, min(against, identities))

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the mean cross-entropy over the step's sample."""
        sample = select(self.sampler.draw(), labels)
        rows = self.prototypes.rows(labels).only(sample.rows, sample.labels)
        shift = self._shift(sample, embeddings)
        if self.config.similarity == "dot":
            scores = dot_scores(rows, embeddings, shift=shift)
            own = (embeddings * rows.weight[sample.labels].to(embeddings.dtype)).sum(1)
        else:
            scores = cosine_scores(rows, embeddings, self._scale, shift=shift)
            own = self._scale * scores.target
        loss = scores.softmax_loss(own)
        stats = {"prototype_norm": scores.prototype_norm}
        if self.config.similarity != "dot":
            cosine, scale = scores.target.detach().mean(), own.new_tensor(self._scale)
            stats = {"target_cosine": cosine, **stats, "scale": scale}
        stats["accuracy"] = (scores.target > scores.hardest).to(loss.dtype).mean()
        stats["embedding_norm"] = mean_norm(embeddings)
        return HeadOutput(loss, stats)

    def loss_at_chance(self) -> float:
        """Return log C."""
        return math.log(self.identities)

    def step_completed(self) -> None:
        """Draw other identities from the next step on."""
        self.sampler.advance()

    def _shift(self, sample: Selection, like: Tensor) -> Tensor:
        """Return what is added to the wrong logits [R]: -inf for what was not drawn."""
        drawn = -math.log(self.sampler.count / self.identities) if self.config.log_q else 0.0
        row = like.new_full((len(sample.rows),), -math.inf)
        return row.masked_fill(sample.drawn, drawn)
