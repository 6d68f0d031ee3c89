"""Gradient checkpointing, torch.compile and fused optimizers: the same model for less."""

import copy

import pytest
import torch
from torch import nn

from facever.config import parse
from facever.errors import ConfigError
from facever.models.embedder import Embedder, ModelConfig
from facever.training.computing import thrift
from facever.training.computing.optimization import (
    NetworkOptimizerConfig,
    load_optimizer,
    make_optimizer,
)
from facever.training.computing.precision import Precision
from facever.training.computing.thrift import buffers_kept, checkpoint_gradients, compile_module
from facever.training.trainer import Trainer

CPU = torch.device("cpu")


def kept_bytes(module: nn.Module, images: torch.Tensor) -> int:
    """Return how much a forward pass keeps for its backward pass."""
    sizes = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        sizes[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        module(images)
    return sum(sizes.values())


# ---------------------------------------------------------------------- checkpointing


def test_checkpointing_trains_the_same_model(make_config, tmp_path, figures):
    runs = [
        Trainer.start(make_config(gradient_checkpointing=on), tmp_path / str(on)).fit()
        for on in (False, True)
    ]
    assert figures(runs[0]) == figures(runs[1])
    assert runs[0].model.read_bytes() == runs[1].model.read_bytes()


def test_checkpointing_keeps_less():
    config = parse(ModelConfig, {"backbone": "resnet10t", "embedding_size": 8})
    embedder = Embedder(config).train()
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    before = kept_bytes(embedder, images)
    checkpoint_gradients(embedder)
    assert kept_bytes(embedder, images) < 0.6 * before


def test_running_statistics_would_take_a_batch_in_twice():
    embedder = Embedder(parse(ModelConfig, {"backbone": "test_resnet", "embedding_size": 8}))
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    plain = copy.deepcopy(embedder).train()
    plain(images).sum().backward()
    checkpoint_gradients(embedder)
    embedder.train()
    loss = embedder(images).sum()
    once = {name: value.clone() for name, value in embedder.named_buffers()}
    twice = copy.deepcopy(embedder)
    twice(images).sum().backward()
    with buffers_kept(embedder):
        loss.backward()
    for name, value in plain.named_buffers():
        assert torch.equal(value, once[name])
        assert torch.equal(value, dict(embedder.named_buffers())[name])
    assert not torch.equal(
        dict(twice.named_buffers())["backbone.bn1.running_mean"], once["backbone.bn1.running_mean"]
    )


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"backbone": "test_mambaout"}, "has no gradient checkpointing"),
        (
            {"backbone": "resnet10t", "local": {}},
            "gradient_checkpointing cannot be used with model.local",
        ),
    ],
)
def test_what_cannot_be_checkpointed_is_refused(model, message):
    embedder = Embedder(parse(ModelConfig, {"embedding_size": 8, **model}))
    if "local" not in model:

        def refuse(_on: bool = True) -> None:
            raise AssertionError("gradient checkpointing not supported")

        embedder.backbone.set_grad_checkpointing = refuse
    with pytest.raises(ConfigError, match=message):
        checkpoint_gradients(embedder)


# ---------------------------------------------------------------------- compile


def test_a_compiled_training_is_the_same(make_config, tmp_path, figures, monkeypatch):
    """By the compiler's first half, which captures graphs and leaves the kernels as they are."""
    monkeypatch.setattr(thrift, "COMPILER", "eager")
    compiled = Trainer.start(make_config(compile=True), tmp_path / "compiled")
    assert compiled.step._parallel._forward._compiled_call_impl is not None
    runs = [compiled.fit(), Trainer.start(make_config(), tmp_path / "plain").fit()]
    losses = [[line["loss"] for line in figures(run) if "loss" in line] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_frozen_norms_are_compiled_as_they_are_used(make_config, tmp_path, monkeypatch):
    graphs = []

    def counted(graph, example):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(thrift, "COMPILER", counted)
    frozen = {"compile": True, "distributed": {"batch_norm": "frozen"}, "batch": {"size": 7}}
    trainer = Trainer.start(make_config(**frozen, epochs=1), tmp_path / "run")
    tried = len(graphs)
    trainer.fit()
    assert tried == len(graphs) > 0


@pytest.mark.slow
def test_compiled_kernels_give_the_same_loss_and_gradients():
    embedder = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
    plain, images = copy.deepcopy(embedder), torch.randn(6, 8)
    assert compile_module(embedder, images, Precision("fp32", CPU))
    before = plain.state_dict()
    for name, value in embedder.state_dict().items():
        assert torch.equal(value, before[name]), name  # trying it out left nothing behind
    for module in (embedder, plain):
        module(images).square().sum().backward()
    for one, other in zip(embedder.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)


def test_without_a_compiler_training_goes_on_and_says_so(
    make_config, tmp_path, figures, monkeypatch, capsys
):
    def broken(graph, example):
        raise RuntimeError("no compiler on this machine\nand more")

    monkeypatch.setattr(thrift, "COMPILER", broken)
    run = Trainer.start(make_config(compile=True), tmp_path / "left out").fit()
    told = [line for line in capsys.readouterr().err.splitlines() if "compile" in line]
    assert len(told) == 2
    assert told[0].startswith("torch.compile builds kernels for this model; ")
    assert told[1].startswith("warning: torch.compile failed and is not used: ")
    assert "no compiler on this machine" in told[1]
    plain = Trainer.start(make_config(), tmp_path / "plain").fit()
    assert figures(run) == figures(plain)
    assert run.model.read_bytes() == plain.model.read_bytes()


# ---------------------------------------------------------------------- fused


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "momentum"])
def test_a_fused_optimizer_makes_the_same_steps(name):
    torch.manual_seed(0)
    start = torch.randn(5, 3)
    ends = []
    for fused in (False, True):
        parameter = nn.Parameter(start.clone())
        config = parse(NetworkOptimizerConfig, {"name": name, "lr": 0.1, "fused": fused})
        groups = [{"params": [parameter], "weight_decay": 0.1}]
        optimizer = make_optimizer(groups, config)
        assert bool(optimizer.defaults["fused"]) == fused
        for _ in range(5):
            parameter.grad = parameter.detach() ** 3
            optimizer.step()
        ends.append(parameter.detach())
    torch.testing.assert_close(*ends)


@pytest.mark.parametrize("name", ["adamw", "momentum"])
def test_a_fused_optimizer_goes_on_in_another_memory_layout(name):
    start = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    config = parse(NetworkOptimizerConfig, {"name": name, "lr": 0.1, "fused": True})
    ends = []
    for layout in (torch.contiguous_format, torch.channels_last):
        state = None
        parameter = nn.Parameter(start.clone())
        for number in range(3):
            optimizer = make_optimizer([{"params": [parameter]}], config)
            if state is not None:
                load_optimizer(optimizer, state)
            (parameter**3 * (number + 1)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            state = optimizer.state_dict()
            parameter = nn.Parameter(parameter.detach().clone(memory_format=layout))
        ends.append(parameter.detach())
    torch.testing.assert_close(*ends)


def test_auto_is_fused_where_the_optimizer_can_and_what_has_no_fused_form_is_refused():
    groups = [{"params": [nn.Parameter(torch.ones(2))]}]
    for name, fused in (("adamw", True), ("momentum", True), ("lamb", False)):
        optimizer = make_optimizer(groups, parse(NetworkOptimizerConfig, {"name": name}))
        assert bool(optimizer.defaults.get("fused")) == fused
    with pytest.raises(ConfigError, match=r"^optimizer 'lamb' has no fused form: set fused to a"):
        make_optimizer(groups, parse(NetworkOptimizerConfig, {"name": "lamb", "fused": True}))
