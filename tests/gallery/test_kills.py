"""The soak that kills a gallery's workers, in small; and it does see what is wrong."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from facever.gallery.gallery import Gallery

SOAK = Path(__file__).parents[2] / "tools" / "soak"


def run(out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SOAK / "gallery_kill.py", "--out", out, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_killed_at_thirty_random_moments_it_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    first = run(tmp_path, "--kills", "4")
    assert first.returncode == 0, first.stderr
    kept = json.loads((tmp_path / "soak.json").read_text())["kills"]
    done = run(tmp_path, "--kills", "30")  # goes on
    assert done.returncode == 0, done.stderr
    kills = json.loads((tmp_path / "soak.json").read_text())["kills"]
    assert kills[: len(kept)] == kept
    found = json.loads(done.stdout)
    assert (found["kills"], found["faults"]) == (30, [])
    assert found["changes acknowledged"] > 30
    assert len(found["by verb"]) >= 3
    other = run(tmp_path, "--kills", "30", "--seed", "1")
    assert "was made with other settings" in other.stderr


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The soak's modules, which find each other as scripts do."""
    monkeypatch.syspath_prepend(str(SOAK))
    import gallery_kill
    import gallery_verbs

    return SimpleNamespace(kill=gallery_kill, verbs=gallery_verbs)


@pytest.fixture
def filled(soak: SimpleNamespace, tmp_path: Path) -> tuple[Path, dict]:
    """A gallery and the state that it is in."""
    state, random = soak.verbs.begin(), soak.kill.stream(0, "test")
    enroll = soak.verbs.VERBS["enroll"]
    origin = {"fingerprint": "model-0", "dimension": soak.verbs.DIMENSIONS[0]}
    with Gallery.create(tmp_path / "gallery", **origin) as gallery:
        for _ in range(12):
            given = enroll.draw(state, random)
            enroll.act(gallery, given)
            enroll.note(state, given)
    return tmp_path / "gallery", state


def test_the_judge_takes_a_change_whole_or_not_at_all(soak, filled: tuple[Path, dict]) -> None:
    path, state = filled
    person = next(name for name, there in state["people"].items() if len(there["images"]) > 1)
    change = {"verb": "remove", "given": {"person": person, "image": None}}
    judged = soak.kill.judge(path, state, change, 0, 0)
    assert (judged["faults"], judged["in_flight_was"]) == ([], "done")
    images = state["people"][person]["images"]
    with Gallery.open(path) as gallery:
        gallery.remove(person, soak.verbs.source(images[0]))
    half = soak.kill.judge(path, state, change, 0, 0)["faults"]
    assert any(f"{person}: images" in fault for fault in half)
    with Gallery.open(path) as gallery:
        gallery.remove(person)
    judged = soak.kill.judge(path, state, change, 0, 0)
    assert (judged["faults"], judged["in_flight_was"]) == ([], "whole")
    assert person not in judged["state"]["people"]


def test_the_judge_compares_answers_with_every_image(
    soak, filled: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, state = filled
    ask = Gallery.search

    def forgets(gallery: Gallery, probes, k, **more):
        return ask(gallery, probes, k - 1, **more)

    monkeypatch.setattr(Gallery, "search", forgets)
    faults = soak.kill.judge(path, state, None, 0, 0)["faults"]
    assert len(faults) == 2 * (soak.kill.PROBES + 1)  # and how many they are, by each rule


def test_the_judge_looks_into_every_byte(soak, filled: tuple[Path, dict]) -> None:
    path, state = filled
    random, remove = soak.kill.stream(0, "test"), soak.verbs.VERBS["remove"]
    people = list(state["people"])[5:]
    with Gallery.open(path) as gallery:
        gallery.rebuild()
        for person in people:
            given = {"person": person, "image": None}
            remove.act(gallery, given)
            remove.note(state, given)
    person = people[-1]
    found = soak.kill.leftovers(path, state, random)
    assert any("index.snapshot" in fault and "image" in fault for fault in found)
    assert any(fault.endswith("pages are free") for fault in found)
    (path / ".index.1.tmp.snapshot").touch()
    with Gallery.open(path) as gallery:
        gallery.purge()
    assert soak.kill.leftovers(path, state, random) == []
    (path / "other").write_text(person)
    assert soak.kill.leftovers(path, state, random) == [
        f"id {person} is left in other",
        "other is left",
    ]
