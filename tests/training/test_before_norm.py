"""Heads that learn from what the neck's BatchNorm is given, through a whole training."""

import pytest
import torch

from facever.data.loading import Batch
from facever.errors import ConfigError
from facever.models.saving import load_embedder
from facever.training.train import train
from facever.training.trainer import Trainer

BNNECK = {
    "backbone": "test_resnet",
    "embedding_size": 16,
    "neck": "bnneck",
    "preprocessing": {"size": [32, 32]},
}
BASELINE = [
    {"name": "softmax", "label_smoothing": 0.1},
    {"name": "triplet", "mining": "batch_hard", "normalize": False, "input": "before_norm"},
    {"name": "center", "weight": 0.0005, "input": "before_norm"},
]
PAIRS = {"size": 8, "images_per_identity": 4}


def test_each_head_learns_from_its_place(make_config, tmp_path):
    config = make_config(model=BNNECK, heads=BASELINE, batch=PAIRS)
    trainer = Trainer.start(config, tmp_path / "run")
    step, seen = trainer.step, {}
    for name, head in zip(step.heads.names, step.heads.heads, strict=True):
        head.register_forward_hook(
            lambda _, inputs, __, name=name: seen.update({name: inputs[0].detach()})
        )
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    step.update([Batch(images, labels, torch.arange(8), [])], 0)
    assert torch.equal(seen["triplet"], seen["center"])
    normal = seen["softmax"]  # training BatchNorm: mean 0, deviation 1
    torch.testing.assert_close(normal.mean(0), torch.zeros(16), atol=1e-5, rtol=0)
    before = seen["triplet"]
    centred = before - before.mean(0)
    wanted = centred / (centred.square().mean(0) + 1e-5).sqrt()
    torch.testing.assert_close(normal, wanted, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(before, normal, atol=0.1)


def test_the_metric_can_be_named(make_config, tmp_path):
    changes = {"model": BNNECK, "heads": BASELINE, "batch": PAIRS, "epochs": 1}
    plain = train(make_config(**changes), tmp_path / "plain")
    named = train(make_config(**changes, metric="cosine"), tmp_path / "named")
    assert load_embedder(plain.model)[1].metric == "dot"
    assert load_embedder(named.model)[1].metric == "cosine"


def test_a_neck_without_norm_is_refused(make_config):
    with pytest.raises(ConfigError) as error:
        make_config(model={**BNNECK, "neck": "linear"}, heads=BASELINE, batch=PAIRS)
    assert str(error.value) == (
        "configuration: head 'triplet' has input before_norm, but model.neck 'linear' has no "
        "BatchNorm: take bnneck or linear_bn"
    )


def test_attributes_are_read_off_embeddings(make_config):
    heads = [
        {"name": "softmax"},
        {"name": "attributes", "columns": ["glasses"], "input": "before_norm"},
    ]
    with pytest.raises(ConfigError) as error:
        make_config(model=BNNECK, heads=heads)
    assert str(error.value) == (
        "configuration: head 'attributes' reads labels from embeddings: its input must be embedding"
    )
