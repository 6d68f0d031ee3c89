"""docs/gallery.md: every command and every line of Python in it runs."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from facever.data.synthesize import synthesize

GUIDE = Path(__file__).parents[3] / "docs" / "gallery.md"


@pytest.fixture
def place(models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the guide takes for granted: two models, faces, and other people."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACEVER_DATA", raising=False)
    for name, model in zip(("RUN", "NEW_RUN"), models, strict=True):
        run = tmp_path / name
        run.mkdir()
        shutil.copy(model, run / "model.safetensors")
    synthesize(tmp_path / "FACES", 30, 2, size=32, seed=1)
    synthesize(tmp_path / "DEVELOPMENT", 32, 2, size=32, seed=2)
    synthesize(tmp_path / "staff", 4, 1, size=32, seed=3)
    shots = sorted((tmp_path / "staff").rglob("*.jpg"))
    for shot, name in zip(shots, ("ada", "bob", "bob2", "someone"), strict=True):
        shot.rename(tmp_path / "staff" / f"{name}.jpg")
    shutil.copy("staff/ada.jpg", "ada.jpg")
    shutil.copy("staff/someone.jpg", "someone.jpg")
    Path("staff.csv").write_text(
        "path,identity,site,role\nstaff/bob.jpg,bob,A,guest\nstaff/bob2.jpg,bob,A,guest\n"
    )
    people = sorted(path for path in Path("DEVELOPMENT").iterdir() if path.is_dir())
    for number, person in enumerate(people):
        for shot, part in zip(sorted(person.iterdir()), ("ENROLLED", "PROBES"), strict=True):
            if part == "PROBES" or number < 20:
                folder = Path(part) / person.name
                folder.mkdir(parents=True)
                shutil.copy(shot, folder)
    return tmp_path


@pytest.mark.slow
def test_every_command_and_line_of_the_guide(facever, place: Path, capsys) -> None:
    blocks = re.findall(r"```(bash|python)\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    ran = 0
    for language, block in blocks:
        if language == "python":
            exec(compile(block, str(GUIDE), "exec"), {})
            assert "Candidate(person='" in capsys.readouterr().out
            continue
        for line in block.splitlines():
            program, *words = shlex.split(line, comments=True)
            assert program == "facever"
            status, _, told = facever(*words)
            allowed = (0, 1, 2) if words[1] == "verify" else (0,)
            assert status in allowed, f"{line}: {told}"
            assert not told.startswith("error: "), f"{line}: {told}"
            ran += 1
    assert ran > 40
