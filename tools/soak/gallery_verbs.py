"""What a soak does to a gallery, and a dictionary that says what must come of it.

A verb is three functions: `draw` chooses what to do in a state (or None: nothing can be done),
`act` does it to a gallery, `note` does it to the state. Vectors are made of an image's number and
the number of the model, so that a state is small and is written as JSON.
"""

from collections.abc import Callable
from contextlib import closing
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from facever.gallery.gallery import Gallery
from facever.gallery.index.index import Index
from facever.gallery.store.store import Store
from facever.seeding import stream

State = dict[str, Any]
Given = dict[str, Any]
Random = np.random.Generator

DIMENSIONS = (16, 24)  # of even and of odd models
_BLOCK = 4096
_FEW, _MANY = 300, 3000  # images: below the one only enrol, above the other only remove


class Verb(NamedTuple):
    draw: Callable[[State, Random], Given | None]
    act: Callable[[Gallery, Given], object]
    note: Callable[[State, Given], None]


def begin() -> State:
    """Return the state of an empty gallery."""
    return {"model": 0, "next": 0, "people": {}, "gone": []}


def fingerprint(model: int) -> str:
    return f"model-{model}"


@lru_cache(maxsize=64)
def _block(model: int, block: int) -> np.ndarray:
    random = stream(model, "soak", block)
    rows = random.standard_normal((_BLOCK, DIMENSIONS[model % 2]))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def vectors(images: list[int], model: int) -> np.ndarray:
    """Return the unit vectors of images, by their numbers."""
    rows = [_block(model, image // _BLOCK)[image % _BLOCK] for image in images]
    return np.array(rows, np.float32).reshape(len(images), DIMENSIONS[model % 2])


def source(image: int) -> str:
    return f"/images/{image}.jpg"


def images_in(state: State) -> int:
    return sum(len(person["images"]) for person in state["people"].values())


def _person(state: State, random: Random) -> str | None:
    names = sorted(state["people"])
    return names[random.integers(len(names))] if names else None


# -- enroll: images of people old and new -------------------------------------------------------


def _draw_enroll(state: State, random: Random) -> Given | None:
    if images_in(state) > _MANY:
        return None
    count = int(random.choice([1, 3, 40, 400], p=[0.2, 0.3, 0.3, 0.2]))
    images = list(range(state["next"], state["next"] + count))
    known, new = sorted(state["people"]), [f"person {images[0]}-{n}" for n in range(count)]
    names = [*known, *new[: max(1, count // 3)]]
    people = [names[each] for each in random.integers(len(names), size=count)]
    metadata = {people[0]: {"seen": images[0], "site": "AB"[count % 2]}}
    return {"model": state["model"], "images": images, "people": people, "metadata": metadata}


def _enroll(gallery: Gallery, given: Given) -> None:
    images, model = given["images"], given["model"]
    gallery.enroll(
        vectors(images, model),
        given["people"],
        fingerprint=fingerprint(model),
        sources=[source(image) for image in images],
        metadata=given["metadata"],
    )


def _note_enroll(state: State, given: Given) -> None:
    for image, person in zip(given["images"], given["people"], strict=True):
        there = state["people"].setdefault(person, {"metadata": {}, "images": []})
        there["images"].append(image)
    for person, values in given["metadata"].items():
        state["people"][person]["metadata"] |= values
    state["next"] = max(state["next"], given["images"][-1] + 1)


# -- remove: a person, or one of their images ---------------------------------------------------


def _draw_remove(state: State, random: Random) -> Given | None:
    person = _person(state, random)
    if person is None or images_in(state) < _FEW:
        return None
    images = state["people"][person]["images"]
    one = int(random.choice(images)) if images and random.random() < 0.4 else None
    return {"person": person, "image": one}


def _remove(gallery: Gallery, given: Given) -> None:
    image = given["image"]
    gallery.remove(given["person"], None if image is None else source(image))


def _note_remove(state: State, given: Given) -> None:
    person, image = state["people"][given["person"]], given["image"]
    state["gone"] += person["images"] if image is None else [image]
    if image is None:
        del state["people"][given["person"]]
    else:
        person["images"].remove(image)


# -- index: written anew ------------------------------------------------------------------------


def _draw_index(state: State, random: Random) -> Given:
    return {}


def _index(gallery: Gallery, given: Given) -> None:
    with closing(Store.open(gallery.path, 10.0)) as store:
        Index(store, begins=True).write()


def _note_nothing(state: State, given: Given) -> None:
    """Note that what the gallery holds is as before."""


VERBS: dict[str, Verb] = {
    "enroll": Verb(_draw_enroll, _enroll, _note_enroll),
    "remove": Verb(_draw_remove, _remove, _note_remove),
    "index": Verb(_draw_index, _index, _note_nothing),
}
