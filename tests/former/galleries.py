"""What `make` writes of galleries, and asks of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from facever import EmbeddingSet
from tests.former import evaluation
from tests.former.evaluation import people
from tests.former.replay import ask

SETTINGS = {
    "float32-all-flat": "--index flat",
    "float32-all-auto": "",
    "float32-all-hnsw": "--index HNSW8",
    "float32-all-ivf": "--index IVF4,Flat:nprobe=4",
    "float32-mean": "--templates mean",
    "float32-quality-mean": "--templates quality_mean",
    "float32-medoids": "--templates medoids:2",
    "float16-all-flat": "--storage float16",
    "float16-mean-hnsw": "--storage float16 --templates mean --index HNSW8",
    "float16-medoids-ivf": "--storage float16 --templates medoids:2 --index IVF2,Flat:nprobe=2",
    "int8-all-flat": "--storage int8 --index flat",
    "int8-all-hnsw": "--storage int8 --index HNSW8",
    "int8-quality-mean": "--storage int8 --templates quality_mean",
    "float32-all-pq": "--index PQ4x4",
}
"""Galleries by name, as `facever gallery create` is told."""

POLICIES = ("all", "mean", "quality_mean", "medoids:2")

ENROLLED = 16
"""People in a gallery."""


def enrolled() -> EmbeddingSet:
    """Return the people of the galleries, with what else is kept of them."""
    faces = people("p", 24, 0)
    kept = (faces.rows["identity"] < f"p{ENROLLED}") & (faces.rows["subset"] == "gallery")
    faces = faces.select(kept.to_numpy())
    number = np.arange(len(faces)) // (evaluation.EACH - 1)
    rows = faces.rows.assign(site=np.where(number % 2, "B", "A"), floor=number % 3)
    return replace(faces, rows=rows)


def probes() -> EmbeddingSet:
    """Return one image of each person, enrolled or not, one of which failed."""
    faces = people("p", 24, 0)
    first = faces.select((faces.rows["subset"] == "query").to_numpy())
    failed = np.arange(len(first)) == 5
    vectors = np.where(failed[:, None], np.float32(0), first.vectors)
    error = first.rows["error"].copy()
    error[5] = "is truncated"
    return replace(first, vectors=vectors, rows=first.rows.assign(error=error))


def fill(folder: Path, name: str, options: str) -> None:
    """Make a gallery as a person does, and change it in the ways that leave a trace."""

    def gallery(verb: str, *words: str) -> None:
        said = ask(["gallery", verb, name, *words], folder)
        assert said["status"] == 0, (name, verb, words)

    gallery("create", "--from-embeddings", "enrolled", *options.split())
    gallery("enroll", "enrolled", "--metadata-columns", "site,floor", "--conflicts", "ignore")
    gallery("rebuild")
    if name == "float32-all-flat":
        gallery("update", "p03", "note=late", "--rename", "renamed")
        gallery("merge", "p04", "p05")
        gallery("split", "p06", "apart", "p06/1.jpg")
        gallery("remove", "p07", "--source", "p07/2.jpg")
        gallery("remove", "p08")
        gallery("enroll", "late", "--conflicts", "ignore")
    policy = SETTINGS[name].partition("--templates ")[2].partition(" ")[0] or "all"
    gallery("threshold", f"identify-{policy}.json", "--name", "identify")
    gallery("calibration", f"likely-first-{policy}.json", "--name", "likely-first")
    if policy == "all":
        gallery("threshold", "one-to-one.json")
        gallery("calibration", "likely.json")


def questions(name: str) -> dict[str, str]:
    """Return what is asked of a gallery, by name."""
    asked = {
        "info": f"info {name}",
        "people": f"people {name}",
        "people-where": f"people {name} --where site=A --where floor=1",
        "images": f"images {name} p01",
        "audit": f"audit {name}",
        "threshold": f"threshold {name}",
        "calibration": f"calibration {name}",
        "search": f"search {name} --embeddings probes -k 3",
        "search-point": f"search {name} --embeddings probes -k 2 --operating-point identify",
        "search-file": f"search {name} --embeddings probes --operating-point identify-all.json",
        "search-likely": f"search {name} --embeddings probes -k 2 --calibration likely-first",
        "search-decide": f"search {name} --embeddings probes -k 1 --decide",
        "search-mean": f"search {name} --embeddings probes -k 2 --rule mean",
        "search-where": f"search {name} --embeddings probes -k 2 --where site=A",
        "verify": f"verify {name} p01 --embeddings probes",
        "verify-point": f"verify {name} p01 --embeddings probes --operating-point one-to-one",
        "verify-mean": f"verify {name} p01 --embeddings probes --rule mean",
        "verify-likely": f"verify {name} p01 --embeddings probes --calibration likely",
        "check": f"check {name}",
    }
    return {question: f"gallery {words} --json" for question, words in asked.items()}


def write(folder: Path) -> dict[str, Any]:
    enrolled().save(folder / "enrolled")
    probes().save(folder / "probes")
    people("late", 2, 5).save(folder / "late")
    measured = [
        "verification enrolled --save-operating-point one-to-one.json --at-far 0.01",
        "calibration enrolled --prior 0.1 --save-calibration likely.json",
        *(
            f"identification probes enrolled --fpir 0.25 --templates {policy} "
            f"--save-operating-point identify-{policy}.json --calibrate logistic --prior 0.5 "
            f"--save-calibration likely-first-{policy}.json"
            for policy in POLICIES
        ),
    ]
    for words in measured:
        assert ask(["evaluate", *words.split()], folder)["status"] == 0, words
    for name, options in SETTINGS.items():
        fill(folder, name, options)
    answers = {
        f"{name}/{question}": ask(words.split(), folder)
        for name in SETTINGS
        for question, words in questions(name).items()
    }
    assert ask(["gallery", "export", "float32-all-flat", "export"], folder)["status"] == 0
    return answers
