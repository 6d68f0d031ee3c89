"""Plug-ins: the package of docs/plug-ins.md, by entry points, by `imports:` and by a variable.

Commands run in processes of their own: what a plug-in registers stays in its process.
"""

import json
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import facever
from facever import plugins
from facever.data.synthesize import synthesize
from tests import forked
from tests.plugins.package import PROJECT, blocks, install, write_package

Run = Callable[..., subprocess.CompletedProcess[str]]
IN_ONE_PROCESS = """
import contextlib, io, json, sys
from facever.cli.main import main
said = []
for words in json.loads(sys.argv[1]):
    sys.argv, out, err, status = ["facever", *words], io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
    said.append([words, status, out.getvalue(), err.getvalue()])
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package alone: only `imports:` makes it known."""
    return write_package(tmp_path_factory.mktemp("imported"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package and its entry points, as pip leaves it."""
    folder = write_package(tmp_path_factory.mktemp("installed"))
    project = tomllib.loads(blocks("toml")[0])["project"]
    install(folder, project["name"], project["entry-points"])
    return folder


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with STUDIO in the layout of the document's reader, and its configuration."""
    folder = tmp_path_factory.mktemp("work")
    synthesize(folder / "drawn", 10, 4, size=32)
    (folder / "STUDIO").mkdir()
    (folder / "STUDIO" / "studio.txt").touch()
    people = sorted(one for one in (folder / "drawn").iterdir() if one.is_dir())
    for number, person in enumerate(people):
        part = folder / "STUDIO" / ("train" if number < 6 else "test")
        part.mkdir(exist_ok=True)
        for k, image in enumerate(sorted(person.glob("*.jpg"))):
            cv2.imwrite(str(part / f"p{number}-{k}.png"), cv2.imread(str(image)))
    for name, shot in zip("ab", sorted((folder / "STUDIO" / "test").iterdir()), strict=False):
        (folder / f"{name}.png").write_bytes(shot.read_bytes())
    text = blocks("yaml")[0] + "device: cpu\nworkers: 0\ntensorboard: false\n"
    (folder / "studio.yaml").write_text(text)
    return folder


def environment(site: Path | None, **more: str) -> dict[str, str]:
    path = os.pathsep.join([str(PROJECT), *([] if site is None else [str(site)])])
    kept = {key: value for key, value in os.environ.items() if key != plugins.VARIABLE}
    return {**kept, "PYTHONPATH": path, "NO_ALBUMENTATIONS_UPDATE": "1", **more}


@pytest.fixture
def run(studio: Path) -> Run:
    """Run the command line in a process of its own, with a package on the path."""

    def call(site: Path | None, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
        return forked.run(["-m", "facever", *words], cwd=studio, env=environment(site, **more))

    return call


def refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """Assert one line of error with these parts, and status 2."""
    errors = [line for line in done.stderr.splitlines() if not line.startswith("warning")]
    assert done.returncode == 2, done.stderr
    assert errors[-1].startswith("error: "), done.stderr
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in errors[-1]


def run_together(
    folder: Path, site: Path, commands: list[list[str]], **more: str
) -> dict[tuple[str, ...], tuple[int, str, str]]:
    """Run commands one after another in one new process: status, output and errors of each."""
    words = ["-c", IN_ONE_PROCESS, json.dumps(commands)]
    done = forked.run(words, cwd=folder, env=environment(site, **more))
    assert done.returncode == 0, done.stderr
    return {tuple(words): (status, out, err) for words, status, out, err in json.loads(done.stdout)}


@pytest.mark.slow
def test_the_commands_of_the_document(installed: Path, studio: Path) -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True)[1:] for line in lines]
    assert len(commands) >= 10
    configured = [one for one in commands if {"studio.yaml", "RUN"} & set(one)]
    said = {}
    for group in (configured, [one for one in commands if one not in configured]):
        for words, (status, out, err) in run_together(studio, installed, group).items():
            assert status == (2 if words[0] == "verify" else 0), (words, err)
            assert "error" not in err, words
            said[words[:2]] = out + err
    assert "layout: studio" in said["data", "inspect"]
    assert "Wang et al., NormFace" in said["heads", "normface"]
    assert "colours: " in said["models", "list"]
    assert "normface" in said["bakeoff", "studio.yaml"]
    assert "score:" in said["verify", "mypackage.models:MeanColour"]
    saved = (studio / "RUN" / "config.yaml").read_text()
    for part in ("mypackage.heads", "mypackage.nets:TinyNet", "mypackage.augmentation.Fog"):
        assert part in saved
    colours = facever.EmbeddingSet.load(studio / "COLOURS")
    pixels = cv2.imread(str(studio / "STUDIO" / colours.rows["path"][0]))[..., ::-1]
    first = [part.mean((0, 1)) for row in np.split(pixels, 2) for part in np.split(row, 2, axis=1)]
    expected = np.concatenate(first) + 1
    np.testing.assert_allclose(
        colours.vectors[0], expected / np.linalg.norm(expected), rtol=0, atol=1e-5
    )


@pytest.fixture(scope="module")
def trained(imported: Path, studio: Path) -> Path:
    """A run of the document's configuration, by `imports:` alone, two epochs without a break."""
    words = ["train", "studio.yaml", "data.layout=studio", "epochs=2", "--out", "WHOLE"]
    done = forked.run(["-m", "facever", *words], cwd=studio, env=environment(imported))
    assert done.returncode == 0, done.stderr
    return studio / "WHOLE"


@pytest.mark.slow
def test_a_resume_in_a_new_process_goes_on_bit_for_bit(
    run: Run, imported: Path, trained: Path, studio: Path
) -> None:
    half = ("train", "studio.yaml", "data.layout=studio", "epochs=1", "--out", "HALF")
    assert run(imported, *half).returncode == 0
    assert run(imported, "train", "--resume", "HALF", "epochs=2").returncode == 0
    whole, resumed = (_tensors(one / "model.safetensors") for one in (trained, studio / "HALF"))
    assert whole.keys() == resumed.keys()
    assert any(name.startswith("backbone.stages") for name in whole)
    refused(run(None, "train", "--resume", "HALF", "epochs=3"), "HALF", "imports", "'mypackage'")


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


@pytest.mark.slow
def test_a_run_is_used_where_its_package_is(
    run: Run, imported: Path, trained: Path, studio: Path, tmp_path: Path
) -> None:
    images = (str(studio / "STUDIO" / "test"), "--layout", "images", "--out")
    bare = tmp_path / "model.safetensors"
    bare.write_bytes((trained / "model.safetensors").read_bytes())
    commands = [
        ["embed", str(trained), *images, str(tmp_path / "E")],
        ["embed", str(bare), *images, str(tmp_path / "F")],
    ]
    own, alone = run_together(studio, imported, commands).values()
    assert own[0] == 0, own[2]
    assert "imports mypackage.nets" in own[2]
    assert alone[0] == 2
    assert plugins.VARIABLE in alone[2].splitlines()[-1]
    refused(run(None, "embed", trained, *images, tmp_path / "F"), "mypackage", str(trained))
    allowed = run(
        imported, "embed", bare, *images, tmp_path / "G", FACEVER_IMPORTS="mypackage.nets"
    )
    assert allowed.returncode == 0, allowed.stderr
    same = [facever.EmbeddingSet.load(tmp_path / name).vectors for name in "EG"]
    np.testing.assert_array_equal(*same)


@pytest.mark.slow
def test_two_processes_train_it(imported: Path, studio: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    words = ("train", "studio.yaml", "data.layout=studio", "--out", "TWO", "--json")
    done = subprocess.run(
        [sys.executable, *torchrun, "-m", "facever", *words],
        cwd=studio,
        env=environment(imported),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["epochs"] == 1
    assert json.loads((studio / "TWO" / "environment.json").read_text())["processes"] == 2


@pytest.mark.slow
def test_a_variable_names_modules_for_commands_without_a_configuration(
    run: Run, imported: Path, studio: Path
) -> None:
    named = {"FACEVER_IMPORTS": "mypackage.heads, mypackage.readers"}
    commands = [["data", "inspect", "STUDIO"], ["heads"]]
    (_, inspected, _), (_, heads, _) = run_together(studio, imported, commands, **named).values()
    assert "layout: studio" in inspected
    assert "normface: Softmax" in heads
    refused(run(None, "heads", **named), plugins.VARIABLE, "'mypackage'", "install")
    refused(run(imported, "heads", "normface"), "normface")  # nobody named it
    refused(run(None, "train", "studio.yaml"), "studio.yaml", "imports", "'mypackage'", "install")


@pytest.mark.slow
def test_a_distribution_that_fails_is_named(studio: Path, tmp_path: Path) -> None:
    install(
        tmp_path,
        "broken",
        {
            "facever.heads": {"gone": "nowhere.heads:Gone"},
            "facever.readers": {"lost": "nowhere.readers"},
        },
    )
    commands = [
        ["heads", "gone"],
        ["heads"],
        ["data", "inspect", "STUDIO/test", "--layout", "lost"],
        ["data", "inspect", "STUDIO/test"],
    ]
    gone, every, lost, read = run_together(studio, tmp_path, commands).values()
    for status, _, err in (gone, lost):
        assert status == 2
        assert "error: " in err
        for part in ("broken 1.0", "'nowhere'", "install"):
            assert part in err.splitlines()[-1]
    assert (every[0], read[0]) == (0, 0)
    assert "broken 1.0" in every[2]
    assert "cosface" in every[1]
    assert read[2].count("broken 1.0") == 1
