"""What `make` writes of embedding sets and files of scores, and asks `facever evaluate` of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from facever import EmbeddingSet
from tests.former.replay import ask

DIMENSION, MODEL, OTHER_MODEL = 16, "model-1", "model-2"
EACH = 5  # images of a person


def people(
    prefix: str, count: int, seed: int, *, noise: float = 0.8, fingerprint: str = MODEL
) -> EmbeddingSet:
    """Return made-up people with columns of every kind."""
    random = np.random.default_rng(seed)
    who = np.repeat(np.arange(count), EACH)
    shot = np.tile(np.arange(EACH), count)
    vectors = random.normal(size=(count, DIMENSION))[who]
    names = [f"{prefix}{number:02d}" for number in who]
    made = EmbeddingSet.from_arrays(
        vectors + noise * random.normal(size=vectors.shape),
        names,
        fingerprint=fingerprint,
        path=[f"{name}/{number}.jpg" for name, number in zip(names, shot, strict=True)],
        subset=np.where(shot == 0, "query", "gallery"),
        part=np.where(who < count // 2, "one", "two"),
        camera=shot % 3,
        template=[f"{name}-{number % 2}" for name, number in zip(names, shot, strict=True)],
        clip=shot // 2,
        quality=0.5 + random.random(len(who)),
        age=20 + who,
    )
    return replace(made, meta=replace(made.meta, dataset="made-up"))


def with_failures(faces: EmbeddingSet) -> EmbeddingSet:
    """Return a set with images that could not be embedded, by a model trained on some of it."""
    failed = np.isin(np.arange(len(faces)), [3, 17, 40])
    vectors = np.where(failed[:, None], np.float32(0), faces.vectors)
    why = pd.array([None if not bad else "is truncated" for bad in failed], dtype="string")
    norms = np.where(failed, np.float32(0), faces.rows["norm"]).astype(np.float32)
    known = pd.DataFrame({"identity": ["p01", "p02"], "dataset": ["made-up", "made-up"]})
    rows = faces.rows.assign(norm=norms, error=why, site=["A", "B"] * (len(faces) // 2))
    return replace(faces, vectors=vectors, rows=rows, trained_on=known)


def fill(folder: Path) -> None:
    """Write the embedding sets, and tables of scores, pairs and templates."""
    faces = people("p", 24, 0)
    faces.save(folder / "faces")
    other = people("p", 24, 0, noise=1.2, fingerprint=OTHER_MODEL)
    other.save(folder / "by-other-model")
    people("q", 20, 1).save(folder / "others")
    with_failures(faces).save(folder / "failures")
    EmbeddingSet.from_arrays(faces.vectors, faces.rows["identity"]).save(folder / "bare")
    first = (faces.rows["subset"] == "query").to_numpy()
    known = (faces.rows["identity"] < "p16").to_numpy()
    faces.select(first).save(folder / "probes")
    faces.select(~first & known).save(folder / "enrolled")

    names = faces.identities
    a, b = np.triu_indices(len(faces), 1)
    same = names[a] == names[b]
    kept = same | ((a + b) % 17 == 0)
    a, b, same = a[kept], b[kept], same[kept]
    paths = faces.rows["path"].to_numpy()
    pairs = pd.DataFrame({"a": paths[a], "b": paths[b], "same": same.astype(int)})
    pairs.to_csv(folder / "pairs.csv", index=False)
    pairs.assign(fold=(a + b) % 4).to_csv(folder / "folds.csv", index=False)
    scores = pd.DataFrame(
        {
            "score": np.einsum("nd,nd->n", faces.vectors[a], faces.vectors[b]).astype(float),
            "label": same.astype(int),
            "identity_a": names[a],
            "identity_b": names[b],
        }
    )
    scores.to_csv(folder / "scores.csv", index=False)
    scores.to_parquet(folder / "scores.parquet")
    np.savez(folder / "scores.npz", score=scores["score"], label=scores["label"])
    scores.assign(score=1 - scores["score"]).to_csv(folder / "distances.csv", index=False)
    listed = faces.rows.assign(template=[f"t{row // 2:02d}" for row in range(len(faces))])
    listed = listed[listed["identity"] < "p12"].assign(media=listed["clip"])
    columns = ["template", "path", "media"]
    whole = listed.groupby("template")["identity"].transform("nunique") == 1
    listed.loc[whole, columns].to_csv(folder / "templates.csv", index=False)


VERIFICATION = {
    "plain": "faces",
    "far": "faces --far 0.1 0.01",
    "bare": "bare",
    "failures": "failures --far 0.05",
    "failures-overlap": "failures --far 0.05 --allow-overlap",
    "where": "faces --where part=one --where camera=0 --where camera=1 --far 0.05",
    "against": "faces --against faces --where subset=query --against-where subset=gallery",
    "exclude": "faces --exclude camera --far 0.01",
    "groups": "faces --group part --group camera --group-far 0.05 --far 0.05",
    "pairs": "faces --pairs pairs.csv --far 0.05",
    "folds": "faces --pairs folds.csv --far 0.05",
    "templates": "faces --templates template --far 0.05",
    "templates-media": "faces --templates template --media clip --far 0.05",
    "templates-quality": "faces --templates template --quality quality --far 0.05",
    "templates-norm": "failures --templates template --quality norm --far 0.05",
    "templates-list": "faces --templates templates.csv --far 0.05",
    "cohort": "faces --cohort others --far 0.05",
    "cohort-s": "faces --cohort others --snorm s --far 0.05",
    "cohort-top": "faces --cohort others --snorm as --cohort-top 20 --far 0.05",
    "detail": "faces --detail --far 0.05",
    "dot": "faces --similarity dot --far 0.05",
    "euclidean": "faces --similarity euclidean --far 0.05",
    "unsupported": "faces --far 1e-7",
}
SCORES = {
    "csv": "scores.csv --far 0.01",
    "parquet": "scores.parquet --far 0.01",
    "npz": "scores.npz --far 0.01",
    "distances": "distances.csv --distances --far 0.01",
    "unsupported": "scores.csv --far 1e-6",
}
IDENTIFICATION = {
    "plain": "probes enrolled --fpir 0.25",
    "ranks": "probes enrolled --fpir 0.25 0.5 --rank 1 5 20",
    "mean": "probes enrolled --fpir 0.25 --rule mean",
    "templates-mean": "probes enrolled --fpir 0.25 --templates mean",
    "templates-quality": "probes enrolled --fpir 0.25 --templates quality_mean",
    "templates-medoids": "probes enrolled --fpir 0.25 --templates medoids:2",
    "euclidean": "probes enrolled --fpir 0.25 --similarity euclidean",
    "index": "probes enrolled --fpir 0.25 --index flat HNSW8 IVF4,Flat:nprobe=4",
    "candidates": "probes enrolled --fpir 0.25 --index IVF4,Flat:nprobe=1 --candidates 20",
    "calibrate": "probes enrolled --fpir 0.25 --calibrate logistic",
    "isotonic": "probes enrolled --fpir 0.25 --calibrate isotonic --prior 0.3",
    "unsupported": "probes enrolled --fpir 0.001",
}
RETRIEVAL = {
    "plain": "faces",
    "camera": "faces --camera camera",
    "parts": "faces --queries camera=0 --gallery camera=1 --gallery camera=2",
    "euclidean": "faces --similarity euclidean",
    "rerank": "faces --camera camera --rerank --k1 8 --k2 3 --lambda 0.2",
    "expand": "faces --expand 3 --alpha 2 --expand-gallery",
}
COMPARE = {
    "plain": "faces by-other-model --far 0.05 0.01",
    "pairs": "faces by-other-model --pairs pairs.csv --far 0.05",
    "folds": "faces by-other-model --pairs folds.csv --far 0.05",
    "templates": "faces by-other-model --templates template --far 0.05",
    "where": "faces by-other-model --where part=two --exclude camera --far 0.05",
    "retrieval": "faces by-other-model --retrieval --camera camera",
}
CALIBRATION = {
    "plain": "faces",
    "isotonic": "faces --method isotonic --prior 0.2",
    "pairs": "faces --pairs pairs.csv",
    "templates": "faces --templates template --method isotonic --prior 0.2",
    "separable": "faces --templates template",
    "scores": "scores.csv --prior 0.1",
    "distances": "distances.csv --distances",
}
TRANSFER = {
    "sets": "others faces --far 0.05 0.01",
    "pairs": "others faces --far 0.05 --pairs pairs.csv",
    "templates": "others faces --far 0.05 --templates template",
    "where": "others faces --far 0.05 --where part=one --similarity euclidean",
}
WRITING = {
    "verification-saves": ("verification faces --save-operating-point {} --at-far 0.01", "11.json"),
    "templates-save": (
        "verification faces --templates template --save-operating-point {} --at-far 0.02",
        "11-template.json",
    ),
    "identification-saves": (
        "identification probes enrolled --fpir 0.25 --save-operating-point {}",
        "1n.json",
    ),
    "calibration-saves": (
        "calibration faces --prior 0.1 --save-calibration {}",
        "calibration.json",
    ),
    "identification-calibrates": (
        "identification probes enrolled --fpir 0.25 --calibrate logistic --prior 0.5 "
        "--save-calibration {}",
        "calibration-1n.json",
    ),
}
"""What is asked, by verb and name; and what is written, by name, with its file."""

READING = {
    "transfer-file": "transfer point-11.json others",
    "transfer-templates-file": "transfer point-11-template.json others --templates template",
    "identification-judges": "identification probes enrolled --fpir 0.25 --operating-point "
    "point-1n.json",
}
"""What is asked of the files that were written."""


def write(folder: Path) -> dict[str, Any]:
    fill(folder)
    verbs = {
        "verification": VERIFICATION,
        "scores": SCORES,
        "identification": IDENTIFICATION,
        "retrieval": RETRIEVAL,
        "compare": COMPARE,
        "calibration": CALIBRATION,
        "transfer": TRANSFER,
    }
    answers = {}
    for verb, questions in verbs.items():
        for name, words in questions.items():
            asked = ["evaluate", verb, *words.split(), "--json"]
            answers[f"{verb}-{name}"] = ask(asked, folder)
    for name, (words, file) in WRITING.items():
        asked = ["evaluate", *words.format(f"written-{file}").split(), "--json"]
        answers[name] = ask(asked, folder, [f"written-{file}"])
        point = file if "calibration" in file else f"point-{file}"
        (folder / f"written-{file}").rename(folder / point)
    for name, words in READING.items():
        answers[name] = ask(["evaluate", *words.split(), "--json"], folder)
    return answers
