"""Modules that have another name now are found by their former ones, with a warning."""

import subprocess
import sys
from importlib import import_module

import pytest

from facever.deprecated import MOVED
from facever.models import ModelCard, ModelConfig
from tests import forked


def test_every_former_name_is_the_present_module_and_warns() -> None:
    code = f"""
import warnings
from importlib import import_module
for former, present in {MOVED!r}.items():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert import_module(former) is import_module(present), former
    words = [str(one.message) for one in said if one.category is DeprecationWarning]
    assert any(said.startswith(f"{{former}} is now {{present}};") for said in words), former
    assert import_module(present).__spec__.name == present
"""
    done = forked.run(["-c", code])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("former", "present", "name"),
    [
        ("facever.vectors.embedding_set", "facever.embeddings.embedding_set", "EmbeddingSet"),
        ("facever.embedding.extractor", "facever.models.extractor", "Extractor"),
    ],
)
def test_what_is_in_a_moved_package_is_the_same(former: str, present: str, name: str) -> None:
    code = f"""
import warnings; warnings.simplefilter("always", DeprecationWarning)
from {former} import {name} as a; from {present} import {name} as b; assert a is b"""
    shown = forked.run(["-c", code])
    assert shown.returncode == 0, shown.stderr
    assert f"<string>:3: DeprecationWarning: {former} is now {present};" in shown.stderr


def test_the_package_itself_uses_no_former_name() -> None:
    code = """
import pkgutil, importlib, facever
for module in pkgutil.walk_packages(facever.__path__, "facever."):
    if module.name != "facever.__main__":
        importlib.import_module(module.name)
"""
    options = ["-W", "error:facever.*is now facever:DeprecationWarning"]
    command = [sys.executable, *options, "-c", code]  # a process that has imported nothing yet
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("module", "former", "present"),
    [
        ("facever.studies.bakeoff.result", "RunRecord", "BakeoffRun"),
        ("facever.studies.bakeoff.judging", "Judged", "RunFigures"),
        ("facever.report.measured", "Measured", "MeasuredEmbeddings"),
        ("facever.studies.index_tuning", "Tuning", "IndexTuning"),
        ("facever.studies.index_tuning", "TuningRow", "IndexRow"),
    ],
)
def test_a_former_name_in_a_module_is_the_present_class_and_warns(
    module: str, former: str, present: str
) -> None:
    home = import_module(module)
    with pytest.warns(DeprecationWarning, match=f"{former} is now .*{present}"):
        assert getattr(home, former) is getattr(home, present)


def test_a_former_attribute_gives_the_present_one_and_warns() -> None:
    card = ModelCard("abc", "cosine", ModelConfig(backbone="test_resnet"), None)
    with pytest.warns(DeprecationWarning, match=r"ModelCard is now \.model_hash"):
        assert card.fingerprint == "abc"
