"""Plug-ins in one process: heads, readers, backbones and transforms, and what is refused."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import facever
from facever import plugins
from facever.config import parse
from facever.data import readers
from facever.data.augmentation import Augmentation, AugmentationConfig
from facever.data.loading import training_batches
from facever.data.manifest import Manifest
from facever.data.preprocessing import Preprocessing
from facever.data.samplers import ShuffleSampler
from facever.data.synthesize import synthesize
from facever.errors import ConfigError, DataError, ModelError
from facever.heads import HEADS, Head, HeadConfig, create_head, head_names, register
from facever.models.embedder import Embedder, ModelConfig
from facever.models.saving import load_embedder, save_embedder
from facever.training.config import TrainConfig
from facever.training.supervision.teacher import open_teacher
from tests.plugins.package import PROJECT, install


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path; what its modules register is forgotten at the end."""
    before, heads, own = set(sys.modules), dict(HEADS), dict(readers._registered)
    monkeypatch.delenv(plugins.VARIABLE, raising=False)
    monkeypatch.setattr(plugins, "_named", set())
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for table, kept in ((HEADS, heads), (readers._registered, own)):
        table.clear()
        table.update(kept)
    for name in set(sys.modules) - before:
        if name.startswith("my"):
            del sys.modules[name]


def training(**values: Any) -> TrainConfig:
    return parse(TrainConfig, {"data": {"root": "X"}, "heads": [{"name": "cosface"}], **values})


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        (None, ["package 'mylost'", "not installed", "PYTHONPATH"]),
        ("import nowhere_at_all", ["mylost.parts", "'nowhere_at_all'", "install it"]),
        ("x = 1\n1 / 0", ["mylost.parts", "ZeroDivisionError", "parts.py, line 2"]),
        ("x = (", ["mylost.parts", "SyntaxError", "parts.py, line 1"]),
        ("from . import other", ["mylost.parts", "other"]),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line(
    site: Path, code: str | None, parts: list[str]
) -> None:
    if code is not None:
        (site / "mylost").mkdir()
        (site / "mylost" / "__init__.py").touch()
        (site / "mylost" / "parts.py").write_text(code)
    with pytest.raises(ConfigError) as error:
        training(imports=["mylost.parts"])
    for part in ("configuration: imports", *parts):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("wrong", ["mypackage.parts", [3], ["my package"], [""], [".parts"]])
def test_imports_are_names_of_modules(site: Path, wrong: object) -> None:
    with pytest.raises(ConfigError, match="imports"):
        training(imports=wrong)


HEAD = """
from typing import Literal
from facever.heads import Head, HeadConfig, HeadOutput, register
{decorator}
class Own(Head):
    \"\"\"One's own.\"\"\"
    {config}
    def compute(self, embeddings, labels):
        return HeadOutput(loss=embeddings.sum())
"""
NAMED = (
    'class Config(HeadConfig):\n        name: Literal["myown"] = "myown"\n        factor: int = 2'
)


def write_head(site: Path, config: str = NAMED, decorator: str = "@register") -> None:
    (site / "myheads.py").write_text(HEAD.format(config=config, decorator=decorator))


def test_a_head_of_imports_is_a_choice_as_those_of_facever(site: Path) -> None:
    write_head(site)
    with pytest.raises(ConfigError, match=r"heads\.0\.name 'myown'"):
        training(heads=[{"name": "myown"}])
    config = training(imports=["myheads"], heads=[{"name": "myown", "factor": 3}])
    assert config.heads[0].factor == 3  # type: ignore[attr-defined]
    assert parse(TrainConfig, config.model_dump(mode="json")) == config
    assert create_head("myown", embedding_size=4, identities=3).config.name == "myown"
    with pytest.raises(ConfigError, match=r"'heads\.0\.facto'; did you mean 'factor'"):
        training(heads=[{"name": "myown", "facto": 3}])
    with pytest.raises(ConfigError, match=r"heads\.0\.factor"):
        training(heads=[{"name": "myown", "factor": "three"}])


def test_a_head_by_its_entry_point_needs_no_decorator(site: Path) -> None:
    write_head(site, decorator="")
    install(site, "myheads", {"facever.heads": {"myown": "myheads:Own"}})
    assert "myheads" not in sys.modules
    assert training(heads=[{"name": "myown"}]).heads[0].name == "myown"
    assert "myown" in head_names()


@pytest.mark.parametrize(
    ("point", "parts"),
    [
        ("other = myheads:Own", ["'other'", "myheads 1.0", "Config.name"]),
        ("other = myheads:Lost", ["'other'", "myheads 1.0", "Lost"]),
        ("other = mygone:Own", ["'other'", "myheads 1.0", "'mygone'"]),
        ("other = json", ["'other'", "myheads 1.0", "Config.name"]),
    ],
)
def test_an_entry_point_that_brings_no_such_head(site: Path, point: str, parts: list[str]) -> None:
    write_head(site, decorator="")
    name, value = point.split(" = ")
    install(site, "myheads", {"facever.heads": {name: value}})
    with pytest.raises(ConfigError) as error:
        training(heads=[{"name": "other"}])
    for part in ("heads.0", *parts):
        assert part in str(error.value)


def test_two_distributions_with_one_name(site: Path) -> None:
    install(site, "myone", {"facever.heads": {"twice": "myone:A"}})
    install(site, "mytwo", {"facever.heads": {"twice": "mytwo:A"}})
    with pytest.raises(ConfigError, match=r"'twice'.*myone 1\.0.*mytwo 1\.0|mytwo.*myone"):
        create_head("twice", embedding_size=4, identities=3)


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ("", "no Config"),
        ("class Config: pass", "no Config"),
        ("class Config(HeadConfig): pass", "Config.name"),
        (NAMED.replace("myown", "cosface"), "'cosface'"),
    ],
)
def test_a_head_without_a_usable_config_is_one_line(site: Path, config: str, part: str) -> None:
    write_head(site, config)
    with pytest.raises(ConfigError) as error:
        training(imports=["myheads"])
    for expected in ("imports", "myheads.Own", part):
        assert expected in str(error.value)
    assert HEADS["cosface"].__module__ == "facever.heads.cosface"


def test_only_heads_are_registered_and_a_cell_may_run_again(site: Path) -> None:
    with pytest.raises(ConfigError, match="not a head"):
        register(dict)  # type: ignore[type-var]

    def cell() -> type[Head]:
        class Again(Head):
            class Config(HeadConfig):
                name: str = "again"

            def compute(self, embeddings, labels):
                raise NotImplementedError

        return register(Again)

    assert cell() is not (second := cell())
    assert HEADS["again"] is second


# Readers.


def test_readers_are_asked_before_those_of_any_folder(site: Path) -> None:
    shown = site / "data"
    synthesize(shown, 2, 2, size=32)
    (shown / "manifest.csv").unlink()
    (shown / "mine.txt").touch()

    def read_mine(root: Path, on_error: str = "skip") -> Manifest:
        return Manifest.from_folder(root)

    readers.register_reader("mine", read_mine, lambda root: (root / "mine.txt").is_file())
    assert readers.read(shown).layout == "mine"
    assert readers.read(shown, "folder").layout == "folder"
    readers.register_reader("silent", read_mine)
    assert readers.read(shown, "silent").layout == "silent"
    with pytest.raises(DataError, match=r"unknown layout 'min'; did you mean 'mine'"):
        readers.read(shown, "min")


def test_a_reader_that_fails_to_recognise_stops_no_other(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def detect(root: Path) -> bool:
        raise RuntimeError("no such thing")

    def read(root: Path, on_error: str = "skip") -> Manifest:
        raise AssertionError

    synthesize(site / "faces", 2, 2, size=32)
    (site / "faces" / "manifest.csv").unlink()
    readers.register_reader("lame", read, detect)
    assert readers.read(site / "faces").layout == "folder"
    said = capsys.readouterr().err
    assert "'lame'" in said
    assert "no such thing" in said


def test_readers_that_cannot_be_used(site: Path) -> None:
    def read(root: Path, on_error: str = "skip") -> dict[str, str]:
        return {}

    readers.register_reader("empty", read)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"'empty'.*dict.*Manifest"):
        readers.read(site, "empty")
    with pytest.raises(ConfigError, match="folder"):
        readers.register_reader("folder", read)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="twice"):
        readers.register_reader("empty", lambda root, on_error: read(root))  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigError, match="on_error"):
        readers.register_reader("short", lambda root: read(root))  # type: ignore[arg-type, return-value]
    install(site, "myreaders", {"facever.readers": {"none": "json:loads"}})
    with pytest.raises(ConfigError, match=r"'none'.*myreaders 1\.0.*read"):
        readers.read(site, "none")


# Backbones.

NETS = """
from torch import nn

class Map(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, stride=2)
    def forward(self, images):
        return self.conv(images)

class Pooled(Map):
    def forward(self, images):
        return self.conv(images).amax((2, 3))

class Fixed(Map):
    def forward(self, images):
        return images.reshape(len(images), 3, 7, 7)

class Pair(Map):
    def forward(self, images):
        return images, images

def make(width):
    return Pooled(width)

def nothing():
    return None

def failing():
    raise RuntimeError("no such thing")
"""
BY_TIMM = """
from timm.models import register_model
from mynets import Map

@register_model
def mynet_of_timm(pretrained=False, width=4, **kwargs):
    return Map(width)
"""


@pytest.fixture
def nets(site: Path) -> Path:
    (site / "mynets.py").write_text(NETS)
    return site


def model(backbone: str, **values: Any) -> ModelConfig:
    values = {"embedding_size": 8, "preprocessing": {"size": [32, 32]}, **values}
    return parse(ModelConfig, {"backbone": backbone, **values})


@pytest.mark.parametrize("name", ["Map", "Pooled", "make"])
@pytest.mark.parametrize("pooling", ["backbone", "flatten"])
def test_any_module_is_a_backbone(nets: Path, name: str, pooling: str) -> None:
    config = model(f"mynets:{name}", backbone_options={"width": 6}, pooling=pooling)
    torch.manual_seed(0)
    embedder = Embedder(config).eval()
    maps = pooling == "flatten" and name == "Map"
    assert embedder.width == (6 * 15 * 15 if maps else 6)
    images = torch.randn(3, 3, 32, 32)
    features = embedder.backbone(images)
    pooled = features.flatten(1) if maps else features.mean((2, 3)) if name == "Map" else features
    torch.testing.assert_close(embedder(images), embedder.neck(pooled))


@pytest.mark.parametrize(
    ("name", "options", "parts"),
    [
        ("mynets:Lost", {}, ["model.backbone", "Lost"]),
        ("mynowhere:Net", {}, ["model.backbone", "'mynowhere'", "install"]),
        ("mynets:Map", {"wdth": 3}, ["mynets:Map", "wdth"]),
        ("mynets:nothing", {}, ["mynets:nothing", "nn.Module"]),
        ("mynets:failing", {}, ["mynets:failing", "no such thing"]),
        ("mynets:Pair", {}, ["mynets:Pair", "tuple", "[B, width]"]),
        ("mynets:Fixed", {}, ["mynets:Fixed", "32 x 32"]),
        ("mynets:Map", {"width": 3, "pretrained": True}, ["mynets:Map", "pretrained"]),
    ],
)
def test_backbones_that_cannot_be_used(
    nets: Path, name: str, options: dict[str, Any], parts: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        Embedder(model(name, backbone_options=options))
    for part in parts:
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_keypoints_need_the_feature_maps_of_timm(nets: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.local.*mynets:Map"):
        Embedder(model("mynets:Map", local={}))


def test_pretrained_weights_of_an_own_backbone(nets: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(ConfigError, match=r"model\.pretrained.*file"):
        Embedder(model("mynets:Map", pretrained=True))
    first = Embedder(model("mynets:Map"))
    weights = dict(first.backbone.state_dict())
    save_file(weights, tmp_path / "weights.safetensors")
    again = Embedder(model("mynets:Map", pretrained=str(tmp_path / "weights.safetensors")))
    torch.testing.assert_close(dict(again.backbone.state_dict()), weights)


@pytest.mark.parametrize("way", ["path", "timm", "entry point"])
def test_a_model_file_imports_only_what_its_user_named(
    nets: Path, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = {"path": "mynets:Map", "timm": "mynet_of_timm", "entry point": "mynet"}[way]
    if way == "entry point":
        install(nets, "mynets", {"facever.backbones": {"mynet": "mynets:Map"}})
    needed = "mytimm" if way == "timm" else "mynets"
    if way == "timm":
        (nets / "mytimm.py").write_text(BY_TIMM)
        plugins.import_modules(["mytimm"])
    embedder = Embedder(model(name, neck="linear"))
    path = tmp_path / "file" / "model.safetensors"
    path.parent.mkdir()
    saved = save_embedder(embedder, path, metric="cosine")
    monkeypatch.setattr(plugins, "_named", set())
    if way != "entry point":
        with pytest.raises(ModelError, match=rf"{needed}.*{plugins.VARIABLE}={needed}"):
            load_embedder(path)
        monkeypatch.setenv(plugins.VARIABLE, needed)
    loaded, card = load_embedder(path)
    assert card.model_hash == saved
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(loaded(images), embedder.eval()(images))


def test_a_run_folder_names_the_packages_of_its_model(nets: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    save_embedder(Embedder(model("mynets:Map")), run / "model.safetensors", metric="cosine")
    (run / "config.yaml").write_text("model: {backbone: resnet10t}\n")
    with pytest.raises(ModelError, match="mynets"):
        load_embedder(run)
    (run / "config.yaml").write_text("model: {backbone: 'mynets:Map'}\n")
    assert load_embedder(run)[1].metric == "cosine"


def test_a_stranger_calls_nothing_of_the_standard_library(nets: Path, tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import save

    path = tmp_path / "model.safetensors"
    save_embedder(Embedder(model("test_resnet")), path, metric="cosine")
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["facever"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert "imports" not in header  # files of timm's backbones are as they were
    victim = tmp_path / "victim"
    header["config"] |= {
        "backbone": "subprocess:call",
        "backbone_options": {"args": f"touch {victim}", "shell": True},
    }
    path.write_bytes(save(tensors, {"facever": json.dumps(header)}))
    with pytest.raises(ModelError, match="subprocess"):
        load_embedder(path)
    assert not victim.exists()


# Augmentation.

TRANSFORMS = """
import albumentations, numpy as np

class Own(albumentations.ImageOnlyTransform):
    def __init__(self, most=40, p=0.5):
        super().__init__(p=p)
        self.most = most
    def get_params(self):
        return {"value": self.py_random.randint(0, self.most)}
    def apply(self, img, value, **params):
        return np.clip(img.astype(int) + value, 0, 255).astype(np.uint8)

class Unseeded(Own):
    def get_params(self):
        return {"value": np.random.randint(0, self.most)}

class Float(Own):
    def apply(self, img, value, **params):
        return img.astype(np.float32)

class Smaller(Own):
    def apply(self, img, value, **params):
        return img[1:]

class Failing(Own):
    def apply(self, img, value, **params):
        raise RuntimeError("no such thing")

class Other:
    pass
"""


@pytest.fixture
def transforms(site: Path) -> Path:
    (site / "mytransforms.py").write_text(TRANSFORMS)
    return site


def augmentation(*chosen: dict[str, Any]) -> AugmentationConfig:
    names = set(AugmentationConfig.model_fields) - {"transforms"}
    values: dict[str, Any] = {name: {"probability": 0} for name in names}
    return parse(AugmentationConfig, {**values, "transforms": list(chosen)})


OWN = augmentation(
    {"name": "mytransforms.Own", "probability": 0.7, "parameters": {"most": 90}},
    {"name": "albumentations.GaussNoise", "probability": 0.6, "parameters": {"std_range": [0, 1]}},
)


def test_own_transforms_are_seeded_by_sample(transforms: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    first, second = Augmentation(OWN, (32, 32)), Augmentation(OWN, (32, 32))
    second(image, 5, 5, 5)  # what was loaded before does not matter
    keys = [(0, 0, 0, 0), (0, 0, 1, 0), (0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 0, 1)]
    changed = [first(image, *key) for key in keys]
    for key, one in zip(keys, changed, strict=True):
        np.testing.assert_array_equal(second(image, *key), one)
    assert len({one.tobytes() for one in changed}) > 2


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_own_transforms_in_worker_processes(
    transforms: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesize(transforms / "faces", 4, 4, size=32)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PROJECT), str(transforms)]))
    manifest = Manifest.from_folder(transforms / "faces")
    before = torch.multiprocessing.get_start_method(allow_none=True)
    torch.multiprocessing.set_start_method(method, force=True)
    try:
        made = [_batches(manifest, workers) for workers in (0, 2)]
    finally:
        torch.multiprocessing.set_start_method(before, force=True)
    assert len(made[0]) == 4
    torch.testing.assert_close(made[1], made[0], rtol=0, atol=0)


def _batches(manifest: Manifest, workers: int) -> list[torch.Tensor]:
    batches = training_batches(
        manifest,
        Preprocessing(size=(32, 32)),
        OWN,
        ShuffleSampler(len(manifest), 4, seed=0),
        seed=7,
        workers=workers,
    )
    try:
        return [batch.images.clone() for batch in batches]
    finally:
        batches.close()


@pytest.mark.parametrize(
    ("chosen", "parts"),
    [
        ({"name": "mytransforms.Unseeded"}, ["Unseeded", "py_random"]),
        ({"name": "mytransforms.Float"}, ["Float", "float32"]),
        ({"name": "mytransforms.Smaller"}, ["Smaller", "[31, 32, 3]"]),
        ({"name": "mytransforms.Failing"}, ["Failing", "no such thing"]),
        ({"name": "mytransforms.Other"}, ["mytransforms.Other", "BasicTransform"]),
        ({"name": "mytransforms.Lost"}, ["Lost"]),
        ({"name": "mynowhere.Fog"}, ["'mynowhere'", "install"]),
        ({"name": "mytransforms.Own", "parameters": {"mst": 3}}, ["mytransforms.Own", "mst"]),
        ({"name": "albumentations.GaussNoise", "parameters": {"std": 3}}, ["GaussNoise", "std"]),
        (
            {"name": "albumentations.GaussNoise", "parameters": {"std_range": [3, 4]}},
            ["GaussNoise", "std_range"],
        ),
    ],
)
def test_transforms_that_cannot_be_used(
    transforms: Path, chosen: dict[str, Any], parts: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        Augmentation(augmentation(chosen), (32, 32))
    for part in ("augmentation.transforms.0", *parts):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "chosen",
    [{"name": "GaussNoise"}, {"name": "a.B", "parameters": {"p": 1}}, {"name": "a.B", "p": 1}],
)
def test_transforms_that_are_not_written_so(chosen: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"transforms\.0"):
        augmentation(chosen)


# Models.

MODELS = """
import numpy as np

class Plain:
    fingerprint, dimension = "mine 1", 3
    def embed(self, images):
        self.most = max(len(images), getattr(self, "most", 0))
        return np.array([image.mean((0, 1)) + 1 for image in images])

class Flips(Plain):
    def __init__(self, device, flip):
        self.fingerprint, self.device = f"mine flip {flip}", device

class Failing(Plain):
    def __init__(self):
        raise RuntimeError("no such thing")

ready = Plain()
nothing = object
"""


@pytest.fixture
def models(site: Path) -> Path:
    (site / "mymodels.py").write_text(MODELS)
    return site


def test_a_model_of_another_package(models: Path) -> None:
    install(models, "mymodels", {"facever.models": {"mine": "mymodels:Plain"}})
    synthesize(models / "faces", 3, 3, size=32)
    manifest = Manifest.from_folder(models / "faces")
    for name in ("mymodels:Plain", "mymodels:ready", "mine"):
        loaded = facever.load_model(name, batch_size=4)
        assert (loaded.fingerprint, loaded.dimension, loaded.metric) == ("mine 1", 3, "cosine")
        made = loaded.extract(manifest, models / name.replace(":", "-"))
        assert loaded.model.most == 4  # type: ignore[attr-defined]
        paths = [manifest.locate(row) for row in range(len(manifest))]
        np.testing.assert_allclose(made.vectors, loaded.embed(paths), atol=1e-6)
        np.testing.assert_allclose(loaded.embed_images(manifest).vectors, made.vectors, atol=1e-6)
    flips = facever.load_model("mymodels:Flips", flip=True, device="cuda:3")
    assert (flips.fingerprint, flips.device) == ("mine flip True", "cuda:3")


def test_an_extraction_by_an_own_model_goes_on(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesize(models / "faces", 3, 3, size=32)
    manifest = Manifest.from_folder(models / "faces")
    loaded = facever.load_model("mymodels:Plain", batch_size=2)
    own, calls = loaded.model, []  # type: ignore[attr-defined]
    embed = type(own).embed

    def counted(self: Any, images: Any) -> Any:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(images))
        return embed(self, images)

    monkeypatch.setattr(type(own), "embed", counted)
    with pytest.raises(KeyboardInterrupt):
        loaded.extract(manifest, models / "E")
    calls[:] = []
    monkeypatch.setattr(
        type(own), "embed", lambda self, images: calls.append(1) or embed(self, images)
    )
    made = loaded.extract(manifest, models / "E")
    assert len(calls) == 3  # of five batches
    np.testing.assert_allclose(made.vectors, loaded.embed_images(manifest).vectors, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "how", "parts"),
    [
        ("mymodels:Lost", {}, ["model", "Lost"]),
        ("mynowhere:Model", {}, ["'mynowhere'", "install"]),
        ("mymodels:Failing", {}, ["mymodels:Failing", "no such thing"]),
        ("mymodels:nothing", {}, ["fingerprint"]),
        ("mymodels:Plain", {"flip": True}, ["mymodels:Plain", "flip"]),
        ("mymodels:Plain", {"device": "cuda"}, ["mymodels:Plain", "device"]),
        ("mymodels:ready", {"precision": "bf16"}, ["mymodels:ready", "precision"]),
        ("mymodels:Plain", {"engine": "openvino"}, ["mymodels:Plain", "engine"]),
        ("mymodels:Plain", {"batch_size": 0}, ["batch size"]),
    ],
)
def test_models_that_cannot_be_used(
    models: Path, name: str, how: dict[str, Any], parts: list[str]
) -> None:
    with pytest.raises((ConfigError, ModelError)) as error:
        facever.load_model(name, **how)
    for part in parts:
        assert part in str(error.value)


def test_an_own_model_teaches_by_its_embedding_set(models: Path) -> None:
    synthesize(models / "faces", 2, 2, size=32)
    manifest, size = Manifest.from_folder(models / "faces"), Preprocessing(size=(32, 32))
    with pytest.raises(ConfigError, match=r"mymodels:Plain.*facever embed"):
        open_teacher(Path("mymodels:Plain"), manifest, size, "raise", torch.device("cpu"))
