import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from facever.config import parse
from facever.errors import ModelError
from facever.models import ModelConfig, load_embedder, model_hash, save_embedder


@pytest.fixture
def saved(make_embedder, tmp_path: Path):
    embedder = make_embedder(pretrained=False, dropout=0.1)
    path = tmp_path / "run" / "model.safetensors"
    return embedder, path, save_embedder(embedder, path, metric="dot")


def rewrite(path: Path, change_header=lambda header: header, **tensors: torch.Tensor) -> None:
    """Write the file again with a changed header and changed tensors."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["facever"])
    save_file(load_file(path) | tensors, path, {"facever": json.dumps(change_header(header))})


def test_round_trip(saved, images):
    embedder, path, identity = saved
    for model in (path, path.parent, str(path)):
        loaded, card = load_embedder(model)
        assert torch.equal(loaded(images), embedder(images))
        assert not loaded.training
        assert loaded.preprocessing == embedder.preprocessing
        assert card.config == loaded.config == embedder.config
        assert card.model_hash == identity == model_hash(loaded) == model_hash(embedder)
        assert card.metric == "dot"
        assert card.trained_on is None


def test_loading_needs_no_pretrained_weights(make_embedder, tmp_path: Path):
    embedder = make_embedder()
    embedder.config = embedder.config.model_copy(update={"pretrained": "gone.pth"})
    save_embedder(embedder, tmp_path / "m.safetensors", metric="cosine")
    assert load_embedder(tmp_path / "m.safetensors")[1].config.pretrained == "gone.pth"


def test_a_model_on_the_device_in_any_layout_is_the_same(make_embedder):
    embedder = make_embedder()
    before = model_hash(embedder)
    assert model_hash(embedder.to(memory_format=torch.channels_last)) == before


def test_the_hash_covers_weights_buffers_preprocessing_and_architecture(make_embedder):
    base = model_hash(make_embedder())
    assert model_hash(make_embedder()) == base
    trained_otherwise = make_embedder()
    changes = {"dropout": 0.5, "pretrained": True}
    trained_otherwise.config = trained_otherwise.config.model_copy(update=changes)
    assert model_hash(trained_otherwise) == base
    assert model_hash(make_embedder(preprocessing={"size": 32, "color": "bgr"})) != base
    assert model_hash(make_embedder(neck="bnneck")) != base
    for change in ("neck.linear.weight", "neck.norm.running_var", "backbone.conv1.0.weight"):
        embedder = make_embedder()
        embedder.state_dict()[change].view(-1)[0] += 1e-6
        assert model_hash(embedder) != base, change


def test_a_setting_added_later_leaves_the_hash_as_it_is(make_embedder):
    class Later(ModelConfig):
        added: bool = False

    embedder = make_embedder()
    before = model_hash(embedder)
    values = embedder.config.model_dump()
    embedder.config = parse(Later, values)
    assert model_hash(embedder) == before
    embedder.config = parse(Later, {**values, "added": True})
    assert model_hash(embedder) != before


def test_a_model_file_is_as_readable_as_any_file(make_embedder, tmp_path):
    (tmp_path / "ordinary").touch()
    save_embedder(make_embedder(), tmp_path / "m.safetensors", metric="cosine")
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_whom_it_was_trained_on(saved):
    _, path, _ = saved
    people = pd.DataFrame({"identity": ["a", "b"], "dataset": ["x", "x"], "images": [3, 4]})
    people.to_parquet(path.parent / "identities.parquet")
    for model in (path.parent, path):
        trained_on = load_embedder(model)[1].trained_on
        pd.testing.assert_frame_equal(trained_on, people[["identity", "dataset"]])
    (path.parent / "identities.parquet").write_text("no")
    with pytest.raises(ModelError, match=r"identities.parquet is damaged or has no columns"):
        load_embedder(path)


def test_nothing_there(tmp_path: Path):
    with pytest.raises(ModelError) as error:
        load_embedder(tmp_path / "no")
    assert str(error.value) == (
        f"no model at {tmp_path}/no: give a run folder, a .safetensors or .onnx file, or the name "
        "of a public model (facever models list)"
    )
    with pytest.raises(ModelError, match=r"no model at sfac; did you mean 'sface'\? give"):
        load_embedder(Path("sfac"))
    with pytest.raises(ModelError, match=r"is not a run folder: there is no model.safetensors in"):
        load_embedder(tmp_path)
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ModelError, match=r"^the training in .* has not finished: .*--resume"):
        load_embedder(tmp_path)


def test_files_that_are_no_models(saved, tmp_path: Path):
    _, path, _ = saved
    other = tmp_path / "last.pt"
    torch.save({"a": 1}, other)
    with pytest.raises(ModelError, match=r"last.pt is not a whole safetensors file"):
        load_embedder(other)
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ModelError, match=r"foreign.safetensors was not saved by facever"):
        load_embedder(tmp_path / "foreign.safetensors")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ModelError, match=r"is not a whole safetensors file"):
        load_embedder(path)


def test_damaged_weights(saved):
    _, path, _ = saved
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"is damaged: its weights do not match"):
        load_embedder(path)


def test_weights_of_another_architecture(saved):
    _, path, _ = saved
    rewrite(path, **{"neck.linear.weight": torch.zeros(16, 96)})
    with pytest.raises(ModelError) as error:
        load_embedder(path)
    assert str(error.value) == (
        f"{path} does not fit this architecture: neck.linear.weight is [16, 96] where [8, 96] is "
        "needed"
    )


def test_a_configuration_of_another_version(saved):
    _, path, _ = saved

    def newer(header):
        header["config"]["sharpness"] = True
        header["versions"]["facever"] = "9.9"
        return header

    rewrite(path, newer)
    with pytest.raises(ModelError, match=r"unknown key 'sharpness'.*written by facever 9.9, this"):
        load_embedder(path)
    rewrite(path, lambda header: {"config": {}})
    with pytest.raises(ModelError, match=r"^the header of .* is damaged$"):
        load_embedder(path)


def test_a_failed_write_leaves_the_old_file(saved, monkeypatch: pytest.MonkeyPatch):
    embedder, path, _ = saved
    before = path.read_bytes()

    def fails(path, content):
        path.open("wb").write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(OSError, match="disk full"):
        save_embedder(embedder, path, metric="cosine")
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]


def test_a_header_nested_without_end(saved):
    _, path, _ = saved
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, {"facever": 100_000 * "["})
    with pytest.raises(ModelError, match=r"the header of .* is damaged"):
        load_embedder(path)
