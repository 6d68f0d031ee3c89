"""What the README shows, runs."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from facever.cli.main import main
from facever.data.synthesize import synthesize

PROJECT = Path(__file__).parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")


def block(heading: str, language: str) -> str:
    """The first code block of that language under a heading."""
    section = README.split(f"## {heading}\n", 1)[1]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found, heading
    return found[1]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with faces, other faces, and the configurations with fewer epochs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACEVER_DATA", raising=False)
    synthesize(tmp_path / "FACES", 40, 4, size=64)
    synthesize(tmp_path / "OTHER_FACES", 6, 3, size=64, seed=1)
    shutil.copytree(PROJECT / "configs", tmp_path / "recipes")
    config = tmp_path / "recipes" / "folder.yaml"
    config.write_text(config.read_text().replace("epochs: 20", "epochs: 2"))
    monkeypatch.setattr("facever.training.recipes.FOLDER", tmp_path / "recipes")
    for name in ("a", "b"):
        shot = next((tmp_path / "OTHER_FACES").rglob("*.jpg"))
        shutil.copy(shot, tmp_path / f"{name}.jpg")
    shutil.copy(tmp_path / "a.jpg", tmp_path / "someone.jpg")
    return tmp_path


@pytest.mark.slow
def test_the_python_of_the_readme(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = block("All steps in Python", "python")
    assert len([line for line in code.splitlines() if line]) <= 20
    exec(compile(code, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "1e-2" in out  # the FAR, in the short table of the result
    assert "Candidate(person=" in out


@pytest.mark.slow
def test_the_commands_of_the_readme(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in block("All steps on the command line", "bash").splitlines():
        words = shlex.split(line, comments=True)
        assert words[0] == "facever"
        monkeypatch.setattr(sys, "argv", words)
        status = 0
        try:
            main()
        except SystemExit as left:
            status = int(left.code or 0)
        captured = capsys.readouterr()
        allowed = (0, 1) if words[1] == "verify" else (0,)
        assert status in allowed, f"{line}: {captured.err}"
    for made in ("RUN/model.safetensors", "EMBEDDINGS/meta.json", "report.html", "GALLERY"):
        assert (place / made).exists(), made


def test_every_file_that_the_readme_links_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (PROJECT / target).exists(), target


def test_the_two_commands_are_there_and_executable() -> None:
    for name in re.findall(r"^(tools/\w+\.sh)", README, re.MULTILINE):
        assert (PROJECT / name).stat().st_mode & 0o111
