"""A stranger's first hour: an empty environment, the wheel, the commands of the Start pages.

Each page gets a folder of its own with the files that its commands name: generated people, and real
photos where FACEVER_DATA and FACEVER_MODELS have some. Every `facever` command and Python block of
a page runs in order, as it is printed; a block after `<!-- not run: WHY -->` does not. The times of
the commands are printed; status 1 where one fails or a page takes more than ten minutes.

    python tools/stranger.py [--environment FOLDER] [--json] [PAGE...]
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

PROJECT = Path(__file__).parent.parent
EXTRAS = "cpu,faces,onnx,pml"
LONGEST = 600.0  # seconds for a page
PEOPLE_FOLDERS = ("FACES", "OTHER_FACES", "PEOPLE", "DEVELOPMENT", "PHOTOS", "DATA")
NAMES = ("ada", "bob", "cleo", "dan")  # people that pages name
_BLOCK = re.compile(r"(<!-- not run: [^>]*-->\n)?```(bash|python)\n(.*?)```", re.DOTALL)
_ON_PHOTOS = re.compile(r"\b(sface|yunet|PHOTOS)\b")


@dataclass(frozen=True)
class Step:
    """A command of a page, and how it went."""

    page: str
    images: str
    command: str
    seconds: float
    failed: str


def pages() -> list[Path]:
    """Return the pages of a start: the README, Python, ReID, and those of docs/start."""
    named = [PROJECT / "README.md", *(PROJECT / "docs" / f"{one}.md" for one in ("python", "reid"))]
    return [page for page in named if page.is_file()] + sorted(PROJECT.glob("docs/start/*.md"))


def commands(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each command of a page."""
    for excused, language, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if excused:
            continue
        if language == "python":
            yield "python", text
            continue
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["facever"]:
                yield "bash", shlex.join(words)


def make_environment(folder: Path) -> None:
    """Install the wheel of this checkout into an empty environment."""
    run = partial_run(folder.parent)
    run([sys.executable, "-m", "venv", str(folder)])
    python = str(folder / "bin" / "python")
    run([python, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(PROJECT)])
    shutil.rmtree(PROJECT / "build", ignore_errors=True)
    [wheel] = folder.glob("*.whl")
    constraints = ["--constraint", str(PROJECT / "constraints.txt")]
    run([python, "-m", "pip", "install", "--quiet", *constraints, f"{wheel}[{EXTRAS}]"])


def partial_run(place: Path) -> Callable[[list[str]], None]:
    """Return a function that runs a command in a folder and ends the script where it fails."""

    def run(words: list[str]) -> None:
        done = subprocess.run(words, cwd=place, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{shlex.join(words)}: {done.stderr[-2000:]}")

    return run


def generated(place: Path, program: Path) -> None:
    """Write generated people under the names of the pages."""
    for seed, name in enumerate(PEOPLE_FOLDERS):
        words = [program, "data", "synthesize", name, "--identities", "40", "--seed", str(seed)]
        partial_run(place)([str(word) for word in words])
    some = sorted((place / "OTHER_FACES").rglob("*.jpg"))
    for name, image in zip(("a", "b", "someone", "group"), some, strict=False):
        shutil.copy(image, place / f"{name}.jpg")


def real(place: Path, photos: Path) -> None:
    """Copy photos of people under the names of the pages; the first people get their names."""
    people = sorted(one for one in photos.iterdir() if len(list(one.glob("*.jpg"))) > 1)
    alone = [one for one in sorted(photos.iterdir()) if one.is_dir() and one not in people]
    chosen = [*people, *alone][:60]
    for folder in PEOPLE_FOLDERS:
        for number, person in enumerate(chosen):
            name = NAMES[number] if number < len(NAMES) else person.name
            shutil.copytree(person, place / folder / name)
    images = sorted(people[0].glob("*.jpg"))
    for name, image in (("a", 0), ("b", 1), ("someone", 0), ("group", 0)):
        shutil.copy(images[image], place / f"{name}.jpg")
    models = Path(os.environ["FACEVER_MODELS"])
    shutil.copy(next(models.glob("*sface*int8bq*.onnx")), place / "model.onnx")
    for path in place.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def play(page: Path, images: str, place: Path, program: Path) -> Iterator[Step]:
    """Run the commands of a page in a folder; stop at the first that fails."""
    bin_folder = program.parent
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment["PATH"] = f"{bin_folder}{os.pathsep}{environment['PATH']}"
    environment["FACEVER_DATA"] = str(place)
    for language, text in commands(page):
        words = ["python", "-c", text] if language == "python" else ["bash", "-c", text]
        began = time.monotonic()
        done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True)
        seconds = time.monotonic() - began
        # verify: 1 is a "no", 2 without an error means that nothing decides
        answers = (0, 1, 2) if text.startswith("facever verify") else (0,)
        bad = done.returncode not in answers or "error:" in done.stderr
        shown = text if language == "bash" else text.strip().splitlines()[0] + " ..."
        failed = (done.stderr.strip().splitlines() or ["no message"])[-1] if bad else ""
        yield Step(str(page.relative_to(PROJECT)), images, shown, round(seconds, 1), failed)
        if bad:
            return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environment", type=Path, help="an environment that has the wheel")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("pages", nargs="*", type=Path)
    options = parser.parse_args()
    data = os.environ.get("FACEVER_DATA")
    photos = None if data is None else Path(data) / "lfw" / "raw_sample"
    has_photos = photos is not None and photos.is_dir() and "FACEVER_MODELS" in os.environ
    steps: list[Step] = []
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        environment = options.environment or Path(folder) / "environment"
        if options.environment is None:
            make_environment(environment)
        installing = time.monotonic() - began
        program = environment.absolute() / "bin" / "facever"
        for page in [one.absolute() for one in options.pages] or pages():
            text = "\n".join(command for _, command in commands(page))
            kinds = [] if _ON_PHOTOS.search(text) else ["generated"]
            for images in [*kinds, *(["real"] if has_photos else [])]:
                place = Path(tempfile.mkdtemp(dir=folder))
                if images == "generated":
                    generated(place, program)
                else:
                    assert photos is not None
                    real(place, photos)
                for step in play(page, images, place, program):
                    steps.append(step)
                    if not options.json:
                        said = f"FAILED: {step.failed}" if step.failed else ""
                        print(f"{step.seconds:7.1f} s  {step.command[:100]}  {said}", flush=True)
                shutil.rmtree(place)
    totals: dict[str, float] = {}
    for step in steps:
        key = f"{step.page} ({step.images})"
        totals[key] = totals.get(key, 0.0) + step.seconds
    slow = [name for name, seconds in totals.items() if seconds > LONGEST]
    failed = [step for step in steps if step.failed]
    if options.json:
        print(
            json.dumps({"installing": installing, "pages": totals, "steps": [*map(asdict, steps)]})
        )
    else:
        for name, seconds in totals.items():
            print(f"{seconds:7.1f} s  {name}")
        print(f"installed in {installing:.0f} s; {len(failed)} failed; {len(slow)} pages too slow")
    return int(bool(failed or slow or not steps))


if __name__ == "__main__":
    sys.exit(main())
