"""A stranger's first hour: an empty environment, the wheel, the commands of the Start pages.

Each page gets a folder of its own with the files that its commands name: generated people, and real
ones where FACEVER_DATA and FACEVER_MODELS have them: photos and crops of LFW, and crops of
Market-1501 for the page of ReID. Every `facever` command and Python block of
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
CROP_FOLDERS = ("FACES", "OTHER_FACES")
PHOTO_FOLDERS = ("PEOPLE", "DEVELOPMENT", "PHOTOS")
NAMES = ("ada", "bob", "cleo", "dan")  # people that pages name
FIRST_QUERY = 42  # the person of the query that the page of ReID names
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
    """Return the pages of a start: the README, installation, Python, ReID, and docs/start."""
    named = [PROJECT / "docs" / f"{name}.md" for name in ("install", "python", "reid")]
    return [PROJECT / "README.md", *named, *sorted(PROJECT.glob("docs/start/*.md"))]


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
    run = runner(folder.parent)
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    copy = folder / "checkout"  # so that nothing is built in the checkout itself
    copy.mkdir()
    for name in ("facever", "configs", "pyproject.toml", "README.md", "LICENSE"):
        source = PROJECT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, copy / name, ignore=ignored, symlinks=True)
        else:
            shutil.copy(source, copy / name)
    run(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, copy)
    shutil.rmtree(copy)
    [wheel] = folder.glob("*.whl")
    constraints = PROJECT / "constraints.txt"
    run(python, "-m", "pip", "install", "--quiet", "-c", constraints, f"{wheel}[{EXTRAS}]")


def runner(place: Path) -> Callable[..., None]:
    """Return a function that runs a command in a folder and ends the script where it fails."""

    def run(*words: object) -> None:
        command = [str(word) for word in words]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{shlex.join(command)}: {done.stderr[-2000:]}")

    return run


def generated(place: Path, program: Path, crops: bool) -> None:
    """Write generated people under the names of the pages, and the crops of cameras on request."""
    for seed, name in enumerate((*CROP_FOLDERS, *PHOTO_FOLDERS)):
        runner(place)(program, "data", "synthesize", name, "--identities", 40, "--seed", seed)
    some = sorted((place / "OTHER_FACES").rglob("*.jpg"))
    for name, image in zip(("a", "b", "c", "someone", "group"), some, strict=False):
        shutil.copy(image, place / f"{name}.jpg")
    if not crops:
        return
    for subset, folder in (("train", "FACES"), ("test", "OTHER_FACES")):
        for number, images in enumerate(_by_person(place / folder, 1), FIRST_QUERY):
            seen = [(2 - index % 2, image) for index, image in enumerate(images)]
            _add_crops(place, subset, number + 1000 * (subset == "train"), seen)


def real(place: Path, data: Path, crops: bool) -> None:
    """Copy photos and crops of people under the names of the pages, and the crops of cameras."""
    photos, faces = _by_person(data / "lfw/raw_sample", 1), _by_person(data / "lfw/images", 4)
    _copy_people(photos, place, PHOTO_FOLDERS)
    some = [images[:6] for images in faces[:100]]
    _copy_people(some[:60], place, CROP_FOLDERS[:1])
    _copy_people(some[60:], place, CROP_FOLDERS[1:])
    two = next(images for images in photos if len(images) > 1)
    for name, image in (("a", 0), ("b", 1), ("c", 0), ("someone", 0), ("group", 0)):
        shutil.copy(two[image], place / f"{name}.jpg")
    models = Path(os.environ["FACEVER_MODELS"])
    shutil.copy(next(models.glob("*sface*int8bq*.onnx")), place / "model.onnx")
    if crops:
        _real_crops(place, data / "market1501")
    for path in place.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _by_person(folder: Path, least: int) -> list[list[Path]]:
    """Return the images of each person who has at least so many; those with several come first."""
    people = [sorted(one.glob("*.jpg")) for one in sorted(folder.iterdir()) if one.is_dir()]
    enough = [images for images in people if len(images) >= least]
    return sorted(enough, key=lambda images: len(images) < 2)


def _copy_people(people: list[list[Path]], place: Path, folders: tuple[str, ...]) -> None:
    """Copy people into folders; the first ones get the names that pages use."""
    for folder in folders:
        for number, images in enumerate(people):
            name = NAMES[number] if number < len(NAMES) else images[0].parent.name
            (place / folder / name).mkdir(parents=True)
            for image in images:
                shutil.copy(image, place / folder / name)


def _real_crops(place: Path, market: Path) -> None:
    """Copy crops of Market-1501: 100 people to train on, and 40 others."""
    people: dict[str, list[tuple[int, Path]]] = {}
    for image in sorted((market / "train").glob("*.jpg")):
        person, seen = image.name.split("_")[:2]
        people.setdefault(person, []).append((int(seen[1]), image))
    several = [seen for seen in people.values() if {1, 2} <= {camera for camera, _ in seen}]
    for number, seen in enumerate(several[:100]):
        _add_crops(place, "train", 1000 + number, seen)
    for number, seen in enumerate(several[100:140]):
        _add_crops(place, "test", FIRST_QUERY + number, seen)


def _add_crops(place: Path, subset: str, number: int, seen: list[tuple[int, Path]]) -> None:
    """Copy a person's crops under names with the identity, the camera and the track.

    The first one of camera 2 is the query of a person of the test, the others are the gallery.
    """
    query = None if subset == "train" else next(image for camera, image in seen if camera == 2)
    for index, (camera, image) in enumerate(seen):
        part, track, place_in_track = subset, 10 * number + camera, index
        if subset == "test":
            part = "query" if image == query else "gallery"
        if image == query:
            track, place_in_track = 10 * number, 0
        name = f"{number:04d}_c{camera}_t{track:04d}_{place_in_track:02d}.jpg"
        (place / "CROPS" / part).mkdir(parents=True, exist_ok=True)
        shutil.copy(image, place / "CROPS" / part / name)


def play(page: Path, images: str, place: Path, program: Path) -> Iterator[Step]:
    """Run the commands of a page in a folder; stop at the first that fails."""
    bin_folder = program.parent
    # a stranger has no settings, and no models but those of the wheels
    foreign = ("PYTHON", "FACEVER_", "OMP_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    environment["PATH"] = f"{bin_folder}{os.pathsep}{environment['PATH']}"
    environment["FACEVER_CACHE"] = str(place / "cache")
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
    has_photos = data is not None and "FACEVER_MODELS" in os.environ
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
            crops = "CROPS/query" in text  # of cameras; other pages write a folder of this name
            kinds = [] if _ON_PHOTOS.search(text) else ["generated"]
            for images in [*kinds, *(["real"] if has_photos else [])]:
                place = Path(tempfile.mkdtemp(dir=folder))
                if images == "generated":
                    generated(place, program, crops)
                else:
                    assert data is not None
                    real(place, Path(data), crops)
                if not options.json:
                    print(f"{page.relative_to(PROJECT)} ({images})")
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
