"""Number format and layout follow from the device and the model, and a run keeps them."""

from pathlib import Path

import pytest
import torch

from facever.config import load
from facever.errors import ConfigError
from facever.models.embedder import Embedder
from facever.training.computing import precision as module
from facever.training.computing.precision import settled
from facever.training.config import TrainConfig, require_same
from facever.training.train import train
from facever.training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture(params=[True, False], ids=["bf16", "no bf16"])
def multiplies_bfloat16(request, monkeypatch) -> bool:
    monkeypatch.setattr(module, "multiplies_bfloat16", lambda: request.param)
    return bool(request.param)


def model(make_config, **changes) -> dict[str, object]:
    """Return one whose last maps are wider than a pixel."""
    return {**make_config().model.model_dump(), "preprocessing": {"size": [96, 96]}, **changes}


def chosen(config: TrainConfig, device: torch.device = CPU) -> tuple[str, str]:
    named = settled(config, Embedder(config.model), device)
    assert (
        named.model_copy(
            update={"precision": config.precision, "memory_format": config.memory_format}
        )
        == config
    )
    return named.precision, named.memory_format


def test_a_cpu_computes_in_bf16_where_it_has_the_instructions(
    make_config, multiplies_bfloat16, capsys
) -> None:
    config = make_config(precision="auto", model=model(make_config))
    wanted = ("bf16", "channels_last") if multiplies_bfloat16 else ("fp32", "contiguous")
    assert chosen(config) == wanted
    assert chosen(config) == wanted  # every time
    line = capsys.readouterr().err.splitlines()[0]
    assert f"precision {wanted[0]}, memory_format {wanted[1]}" in line
    assert ("no bfloat16 instructions" in line) != multiplies_bfloat16


@pytest.mark.usefixtures("multiplies_bfloat16")
def test_depthwise_convolutions_stay_fp32_on_a_cpu(make_config, capsys) -> None:
    depthwise = model(make_config, backbone="test_efficientnet")
    assert chosen(make_config(precision="auto", model=depthwise)) == ("fp32", "contiguous")
    named = make_config(precision="bf16", model=depthwise)
    capsys.readouterr()
    assert chosen(named) == ("bf16", "contiguous")
    assert capsys.readouterr().err == ""


def test_bf16_is_left_out_where_it_reads_memory_that_was_never_written(
    make_config, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(module, "multiplies_bfloat16", lambda: True)
    config = make_config(precision="auto")  # of 32 pixels one is left after five halvings
    assert chosen(config) == ("fp32", "contiguous")
    assert "maps one pixel wide" in capsys.readouterr().err
    forced = make_config(precision="auto", memory_format="channels_last")
    assert chosen(forced) == ("bf16", "channels_last")  # fp32 could crash in it


@pytest.mark.usefixtures("multiplies_bfloat16")
def test_what_is_named_is_taken(make_config, capsys) -> None:
    for precision, layout in (("fp32", "contiguous"), ("bf16", "contiguous")):
        config = make_config(precision=precision, memory_format=layout)
        assert chosen(config) == (precision, layout)
    assert chosen(make_config()) == ("fp32", "contiguous")
    assert capsys.readouterr().err == ""
    with pytest.raises(ConfigError, match="can crash on the CPU"):
        chosen(make_config(memory_format="channels_last"))


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_computes_in_bf16_where_it_has_the_instructions(
    make_config, monkeypatch, native
) -> None:
    def is_supported(including_emulation: bool) -> bool:
        assert not including_emulation
        return native

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    gpu = torch.device("cuda")
    expected = ("bf16" if native else "fp32", "channels_last")
    assert chosen(make_config(precision="auto"), gpu) == expected
    assert chosen(make_config(), gpu) == ("fp32", "channels_last")


@pytest.mark.usefixtures("multiplies_bfloat16")
def test_nothing_but_the_configuration_changes(make_config) -> None:
    config = make_config(precision="auto", model=model(make_config))
    embedder = Embedder(config.model).train()
    state = {name: value.clone() for name, value in embedder.state_dict().items()}
    random = torch.get_rng_state()
    settled(config, embedder, CPU)
    assert embedder.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(state[name], value) for name, value in embedder.state_dict().items())
    assert not any(part._forward_hooks for part in embedder.modules())


def test_a_run_keeps_its_choice(make_config, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "multiplies_bfloat16", lambda: True)
    wide = model(make_config)
    config = make_config(precision="auto", model=wide, epochs=1, ema_decay=None)
    run = train(config, tmp_path / "run")
    saved = load(TrainConfig, run.config)
    assert (saved.precision, saved.memory_format) == ("bf16", "channels_last")
    require_same(config, saved, run.path)
    with pytest.raises(ConfigError, match="was trained with precision = bf16, not fp32"):
        require_same(make_config(model=wide, epochs=1, ema_decay=None), saved, run.path)

    monkeypatch.setattr(module, "multiplies_bfloat16", lambda: False)  # on another machine
    resumed = Trainer.resume(run.path)
    assert resumed._precision.name == "bf16"
    assert resumed.step._memory_format == torch.channels_last
    run.config.write_text(run.config.read_text().replace("precision: bf16", "precision: auto"))
    with pytest.raises(ConfigError, match="fp32 or bf16"):
        Trainer.resume(run.path)


@pytest.mark.parametrize("layout", ["auto", "contiguous"])
def test_a_run_of_before_goes_on_in_what_it_names(make_config, tmp_path: Path, layout) -> None:
    """Earlier versions chose by a trial, and left `memory_format: auto` where there was none."""
    run = train(make_config(epochs=1), tmp_path / "run")
    text = run.config.read_text()
    assert "memory_format: contiguous" in text
    run.config.write_text(text.replace("memory_format: contiguous", f"memory_format: {layout}"))
    assert Trainer.resume(run.path).step._memory_format == torch.contiguous_format
