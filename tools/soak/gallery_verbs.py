"""What a soak does to a gallery, and a dictionary that says what must come of it.

A verb is three functions: `draw` chooses what to do in a state (or None: nothing can be done),
`act` does it to a gallery, `note` does it to the state. Vectors are made of an image's number and
the number of the model, so that a state is small and is written as JSON.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from facever.core.seeding import stream
from facever.gallery.gallery import Gallery
from facever.gallery.records import Binding

State = dict[str, Any]
Given = dict[str, Any]
Random = np.random.Generator

DIMENSIONS = (16, 24)  # of even and of odd models
KINDS = ["auto", "flat", "IVF16,Flat:nprobe=12", "HNSW16:efSearch=64", "SQ8"]
_BLOCK = 4096
_FEW, _MANY = 300, 3000  # images: below the one only enrol, above the other only remove


class Verb(NamedTuple):
    draw: Callable[[State, Random], Given | None]
    act: Callable[[Gallery, Given], object]
    note: Callable[[State, Given], None]


def begin() -> State:
    """Return the state of an empty gallery."""
    return {
        "model": 0,
        "migrating": False,
        "migrated": 0,  # images that the new model has embedded, at least
        "next": 0,  # image
        "people": {},  # by id: metadata, and images by number
        "gone": [],  # images, since the last purge
        "gone people": [],
        "templates": "all",
        "storage": "float32",
        "rounded": False,  # whether some vectors went through another storage
        "index": "auto",
    }


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


def image_of(where: str) -> int:
    return int(where.removeprefix("/images/").removesuffix(".jpg"))


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
    gone = person["images"] if image is None else [image]
    state["gone"] += gone
    state["migrated"] = max(0, state["migrated"] - len(gone))
    if image is None:
        del state["people"][given["person"]]
        state["gone people"].append(given["person"])
    else:
        person["images"].remove(image)


# -- update, merge, split: who is who -----------------------------------------------------------


def _draw_update(state: State, random: Random) -> Given | None:
    person, number = _person(state, random), int(random.integers(10**6))
    if person is None:
        return None
    known = sorted(state["people"][person]["metadata"])
    return {
        "person": person,
        "metadata": {"seen": number},
        "remove": [key for key in known if key == "site" and random.random() < 0.5],
        "new": f"renamed {number}-{state['next']}" if random.random() < 0.5 else None,
    }


def _update(gallery: Gallery, given: Given) -> None:
    gallery.update(given["person"], given["metadata"], given["remove"], given["new"])


def _note_update(state: State, given: Given) -> None:
    person = state["people"].pop(given["person"])
    for key in given["remove"]:
        del person["metadata"][key]
    person["metadata"] |= given["metadata"]
    state["people"][given["new"] or given["person"]] = person
    if given["new"]:
        state["gone people"].append(given["person"])


def _draw_merge(state: State, random: Random) -> Given | None:
    person, into = _person(state, random), _person(state, random)
    return None if person == into else {"person": person, "into": into}


def _merge(gallery: Gallery, given: Given) -> None:
    gallery.merge(given["person"], given["into"])


def _note_merge(state: State, given: Given) -> None:
    person, into = state["people"].pop(given["person"]), state["people"][given["into"]]
    into["images"] += person["images"]
    into["metadata"] = {**person["metadata"], **into["metadata"]}
    state["gone people"].append(given["person"])


def _draw_split(state: State, random: Random) -> Given | None:
    several = sorted(name for name, p in state["people"].items() if len(p["images"]) > 1)
    if not several:
        return None
    person = several[random.integers(len(several))]
    images = state["people"][person]["images"]
    some = random.choice(images, random.integers(1, len(images)), replace=False).tolist()
    return {"person": person, "images": some, "new": f"split {some[0]}-{random.integers(10**6)}"}


def _split(gallery: Gallery, given: Given) -> None:
    gallery.split(given["person"], [source(image) for image in given["images"]], given["new"])


def _note_split(state: State, given: Given) -> None:
    person = state["people"][given["person"]]
    person["images"] = [image for image in person["images"] if image not in given["images"]]
    state["people"][given["new"]] = {"metadata": {}, "images": given["images"]}


# -- templates and storage: all entries become others -------------------------------------------


def _draw_templates(state: State, random: Random) -> Given:
    return {"policy": "mean" if state["templates"] == "all" else "all"}


def _templates(gallery: Gallery, given: Given) -> None:
    gallery.set_templates(given["policy"])


def _note_templates(state: State, given: Given) -> None:
    state["templates"] = given["policy"]


def _draw_storage(state: State, random: Random) -> Given:
    return {"kind": "float32" if state["storage"] == "float16" else "float16"}


def _storage(gallery: Gallery, given: Given) -> None:
    gallery.set_storage(given["kind"])


def _note_storage(state: State, given: Given) -> None:
    state["storage"], state["rounded"] = given["kind"], True


# -- migration: begun, added to, finished -------------------------------------------------------


def _draw_migrate(state: State, random: Random) -> Given:
    step = "begin"
    if state["migrating"]:
        step = "add" if random.random() < 0.7 else "finish"
    return {"step": step, "to": state["model"] + 1, "count": int(random.choice([50, 500, 5000]))}


def _migrate(gallery: Gallery, given: Given) -> None:
    model = given["to"]
    if given["step"] == "begin":
        gallery.begin_migration(Binding(fingerprint(model), DIMENSIONS[model % 2]))
        return
    count = None if given["step"] == "finish" else given["count"]
    some = list(islice(gallery.pending_images(), count))
    if some:
        new = vectors([image_of(str(image.source)) for image in some], model)
        numbers = [image.image for image in some]
        gallery.add_migrated(numbers, new, [1.0] * len(some), fingerprint=fingerprint(model))
    if given["step"] == "finish":
        gallery.finish_migration(fingerprint(model))


def _note_migrate(state: State, given: Given) -> None:
    step, before = given["step"], state["migrated"]
    state["migrating"] = step != "finish"
    state["migrated"] = min(before + given["count"], images_in(state)) if step == "add" else 0
    if step == "finish":
        state |= {"model": given["to"], "rounded": state["storage"] != "float32"}


# -- purge and index: what the gallery holds is as before ---------------------------------------


def _draw_purge(state: State, random: Random) -> Given:
    return {}


def _purge(gallery: Gallery, given: Given) -> None:
    gallery.purge()


def _note_purge(state: State, given: Given) -> None:
    state |= {"gone": [], "gone people": []}


def _draw_index(state: State, random: Random) -> Given:
    return {"kind": str(random.choice(KINDS))}


def _index(gallery: Gallery, given: Given) -> None:
    gallery.rebuild(given["kind"])


def _note_index(state: State, given: Given) -> None:
    state["index"] = given["kind"]


VERBS: dict[str, Verb] = {
    "enroll": Verb(_draw_enroll, _enroll, _note_enroll),
    "remove": Verb(_draw_remove, _remove, _note_remove),
    "update": Verb(_draw_update, _update, _note_update),
    "merge": Verb(_draw_merge, _merge, _note_merge),
    "split": Verb(_draw_split, _split, _note_split),
    "templates": Verb(_draw_templates, _templates, _note_templates),
    "storage": Verb(_draw_storage, _storage, _note_storage),
    "migrate": Verb(_draw_migrate, _migrate, _note_migrate),
    "purge": Verb(_draw_purge, _purge, _note_purge),
    "index": Verb(_draw_index, _index, _note_index),
}
