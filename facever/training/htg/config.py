"""What adversarial hard-triplet generation is told."""

from typing import Literal

from pydantic import Field

from facever.config import Config
from facever.heads.common.mining import Mining


class MethodConfig(Config):
    """The method's own parameters; Zhao et al. publish none of the values (our choice).

    The pre-training alone (`pretraining` 1) is the plain training by triplets and heads.
    """

    pretraining: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of all updates in which the embedder learns from mined triplets and "
        "heads alone; 1: to the end",
    )
    mining: Mining = Field("batch_hard", description="which triplets of the batch are taken")
    margin: float = Field(
        0.2, ge=0, description="m of every triplet loss, in squared distances of unit vectors"
    )
    beta: float = Field(0.3, ge=0, description="weight of generated features in L_D")
    gamma: float = Field(0.1, ge=0, description="weight of keeping the identity in L_G")
    mu: float = Field(1.0, ge=0, description="weight of the sum of heads in L_F")
    last_activation: Literal["relu", "none"] = Field(
        "relu",
        description="after the generator's last layer; relu, the paper's, can only raise "
        "coordinates",
    )
    without_discriminator: bool = Field(
        False, description="ablation: no D, so that L_G is its triplet loss alone"
    )
