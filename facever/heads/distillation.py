"""Distillation: learn a teacher's embeddings, or its soft targets."""

from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from facever.errors import ConfigError, TrainingError
from facever.heads.base import Head, HeadConfig, HeadOutput, mean_norm
from facever.heads.classes.vectors import EPSILON, Prototypes, normalize
from facever.heads.common.soft_targets import divergence
from facever.heads.registry import register


@register
class Distillation(Head):
    """Regression of a teacher's embedding of the same image, or its soft targets.

    With loss `cosine` the mean of 1 - cos(A x, t), with `euclidean` that of |A x - t|^2: x the
    embedding, t the teacher's, A a learned linear map where their widths differ (or `map` wants
    one), else left out.

    With `soft_targets` T^2 KL(softmax(z_t / T) || softmax(z_s / T)), with the student's logits
    z_s = s cos(x, W_j) against prototypes of this head's own, and the teacher's z_t = s cos(t, m_j)
    against m_j, the mean of the unit embeddings that the teacher gives to the training images of
    identity j. Teachers come as embeddings, without their own classifier: the class means are our
    choice. They are set once, by `set_class_means`, and are part of the state.

    A row of NaN among the teacher's embeddings is an image without one, and is left out.

    Reference:
        Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015, section 2.
        Embedding regression: Romero et al., FitNets, ICLR 2015, eq. 3 (there on hidden layers).
    """

    class Config(HeadConfig):
        """Parameters of `distillation`."""

        from_data: ClassVar[frozenset[str]] = frozenset({"teacher_size"})

        name: Literal["distillation"] = "distillation"
        teacher: str = Field(
            description="a model (a run folder, .safetensors or .onnx file, or a public model's "
            "name), run on every batch, or an embedding set of the training images"
        )
        loss: Literal["soft_targets", "cosine", "euclidean"] = Field(
            "cosine", description="soft_targets over identities, or regression of the embedding"
        )
        temperature: float = Field(4.0, gt=0, description="T of the soft targets")
        scale: float = Field(30.0, gt=0, description="s of the soft targets' cosines")
        map: bool | None = Field(
            None,
            description="a learned linear map onto the teacher's width, for regression; null: "
            "where the widths differ",
        )
        teacher_size: int | None = Field(
            None, ge=1, description="components of the teacher's embedding; null: from the teacher"
        )

        @model_validator(mode="after")
        def _of_this_loss(self) -> "Distillation.Config":
            soft = self.loss == "soft_targets"
            for name in ("map",) if soft else ("temperature", "scale"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"loss '{self.loss}' has no {name}")
            return self

    beside = "teacher"
    paper = "Hinton et al., Distilling the Knowledge in a Neural Network, 2015, section 2"
    config: Config
    class_means: Tensor

    def __init__(self, config: Config, embedding_size: int, identities: int) -> None:
        super().__init__(config, embedding_size, identities)
        self.teacher_size = config.teacher_size or embedding_size
        self.map: nn.Linear | None = None
        if config.loss == "soft_targets":
            self.prototypes = Prototypes(identities, embedding_size)
            unknown = torch.full((identities, self.teacher_size), torch.nan)
            self.register_buffer("class_means", unknown)
        elif config.map or (config.map is None and self.teacher_size != embedding_size):
            self.map = nn.Linear(embedding_size, self.teacher_size, bias=False)
        elif self.teacher_size != embedding_size:
            raise ConfigError(
                f"head '{self.name}': the teacher's embeddings have {self.teacher_size} components "
                f"and the model's {embedding_size}: set map to null, or make them equal"
            )

    @property
    def target_shape(self) -> tuple[int, ...]:
        """The teacher's width."""
        return (self.teacher_size,)

    @torch.no_grad()
    def set_class_means(self, means: Tensor) -> None:
        """Set the means of the teacher's unit embeddings of each identity's images.

        Args:
            means: Floating point [identities, teacher_size]; a row of zeros for an identity of
                which the teacher has seen no image.

        Raises:
            TrainingError: Another shape, or a head without soft targets.
        """
        wanted = [self.identities, self.teacher_size]
        if self.config.loss != "soft_targets" or list(means.shape) != wanted:
            raise TrainingError(
                f"head '{self.name}' with loss '{self.config.loss}' takes no class means "
                f"{list(means.shape)}"
                + (f", but {wanted}" if self.config.loss == "soft_targets" else "")
            )
        self.class_means.copy_(means)

    def compute(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """Return the loss against the teacher's embeddings [B, teacher_size] in `labels`."""
        known = labels.isfinite().all(1)
        teacher = labels.to(embeddings.dtype).masked_fill(~known[:, None], 0.0)
        if self.config.loss == "soft_targets":
            losses, stats = self._soft(embeddings, teacher)
        else:
            losses, stats = self._regression(embeddings, teacher)
        count = known.sum().clamp_min(1)

        def mean(values: Tensor) -> Tensor:
            return values.masked_fill(~known, 0.0).sum() / count

        stats = {name: mean(value) for name, value in stats.items()}
        stats["embedding_norm"] = mean_norm(embeddings)
        return HeadOutput(mean(losses), stats)

    def _regression(self, embeddings: Tensor, teacher: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        weight = None if self.map is None else self.map.weight.to(embeddings.dtype)
        mapped = embeddings if weight is None else nn.functional.linear(embeddings, weight)
        cosine = (normalize(mapped) * normalize(teacher)).sum(1)
        squared = (mapped - teacher).square().sum(1)
        losses = 1 - cosine if self.config.loss == "cosine" else squared
        return losses, {"teacher_cosine": cosine.detach()}

    def _soft(self, embeddings: Tensor, teacher: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        means = self.class_means.to(embeddings.dtype)
        if means.device.type == "cpu" and bool(means[0, 0].isnan()):
            raise TrainingError(
                f"head '{self.name}' has no class means of its teacher: call set_class_means "
                "before the first batch"
            )
        assert self.prototypes is not None
        weight = self.prototypes.weight.to(embeddings.dtype)
        lengths = (weight.square().sum(1) + EPSILON).sqrt()
        logits = self.config.scale * (normalize(embeddings) @ weight.T) / lengths
        wanted = self.config.scale * (normalize(teacher) @ normalize(means).T)
        losses = divergence(logits, wanted, self.config.temperature)
        agree = logits.detach().argmax(1) == wanted.argmax(1)
        return losses, {"agreement": agree.to(losses.dtype)}
