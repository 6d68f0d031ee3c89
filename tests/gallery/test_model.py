"""Any order of changes leaves a gallery that answers as a plain dictionary does."""

from itertools import count
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from facever.gallery.gallery import Gallery

DIMENSION, MODEL = 6, "model-1"
TOLERANCE = 1e-5
NAMES = st.sampled_from(["Ada", "ada", "Ada ", "../Ada", "'; --", "Ä", "人"])


def unit(number: int) -> np.ndarray:
    row = np.random.default_rng(number).normal(size=DIMENSION).astype(np.float32)
    return row / np.linalg.norm(row)


class GalleryMachine(RuleBasedStateMachine):
    """Changes to a gallery, and to a dictionary of people with metadata and image numbers.

    Args:
        place: Where the gallery is made.
    """

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place

    people = Bundle("people")

    @initialize()
    def begin(self) -> None:
        self.gallery = Gallery.create(self.place, fingerprint=MODEL, dimension=DIMENSION)
        self.model: dict[str, tuple[dict, list[int]]] = {}
        self.next, self.templates, self.rounded = 0, "all", False

    def teardown(self) -> None:
        if hasattr(self, "gallery"):
            assert self.gallery.check() == []
            self.gallery.close()

    # -- changes ----------------------------------------------------------------------------

    @rule(target=people, name=NAMES, count=st.integers(1, 4), site=st.sampled_from("AB"))
    def enroll(self, name: str, count: int, site: str) -> str:
        images = list(range(self.next, self.next + count))
        self.next += count
        self.gallery.enroll(
            [unit(image) for image in images],
            name,
            fingerprint=MODEL,
            sources=[f"{image}.jpg" for image in images],
            metadata={name: {"site": site}},
        )
        name = name.strip()  # as it is kept
        known, there = self.model.setdefault(name, ({}, []))
        known["site"] = site
        there += images
        return name

    @rule(name=consumes(people))
    def remove(self, name: str) -> None:
        if name in self.model:
            assert self.gallery.remove(name) == len(self.model.pop(name)[1])

    @rule(name=people, data=st.data())
    def remove_an_image(self, name: str, data: st.DataObject) -> None:
        if name in self.model and self.model[name][1]:
            image = data.draw(st.sampled_from(self.model[name][1]))
            assert self.gallery.remove(name, f"{image}.jpg") == 1
            self.model[name][1].remove(image)

    @rule(target=people, name=people, new=NAMES, value=st.integers(0, 9))
    def update(self, name: str, new: str, value: int) -> str:
        if name not in self.model or (new in self.model and new != name):
            return name
        self.gallery.update(name, {"value": value}, new_id=new)
        known, images = self.model.pop(name)
        self.model[new] = {**known, "value": value}, images
        return new

    @rule(one=people, other=people)
    def merge(self, one: str, other: str) -> None:
        if one != other and {one, other} <= set(self.model):
            known, images = self.model.pop(one)
            assert self.gallery.merge(one, other) == len(images)
            kept, there = self.model[other]
            self.model[other] = {**known, **kept}, there + images

    @rule(target=people, name=people, new=NAMES, data=st.data())
    def split(self, name: str, new: str, data: st.DataObject) -> str:
        images = self.model.get(name, ({}, []))[1]
        if new in self.model or len(images) < 2:
            return name
        some = data.draw(
            st.lists(st.sampled_from(images), unique=True, min_size=1, max_size=len(images) - 1)
        )
        assert self.gallery.split(name, [f"{image}.jpg" for image in some], new) == len(some)
        self.model[name] = self.model[name][0], [i for i in images if i not in some]
        self.model[new] = {}, list(some)
        return new

    @rule(policy=st.sampled_from(["all", "mean"]))
    def set_templates(self, policy: str) -> None:
        self.gallery.set_templates(policy)
        self.templates = policy

    @rule(kind=st.sampled_from(["float32", "float16"]))
    def set_storage(self, kind: str) -> None:
        self.gallery.set_storage(kind)
        self.rounded |= kind != "float32"

    @rule(kind=st.sampled_from(["auto", "flat"]))
    def rebuild(self, kind: str) -> None:
        self.gallery.rebuild(kind)

    @rule()
    def purge(self) -> None:
        self.gallery.purge()

    @rule()
    def open_again(self) -> None:
        self.gallery.close()
        self.gallery = Gallery.open(self.place)

    # -- answers ----------------------------------------------------------------------------

    @invariant()
    def is_what_the_dictionary_is(self) -> None:
        if not hasattr(self, "gallery"):
            return
        info = self.gallery.info()
        assert info.people == len(self.model)
        assert info.images == sum(len(images) for _, images in self.model.values())
        assert {(p.person, p.images) for p in self.gallery.people()} == {
            (name, len(images)) for name, (_, images) in self.model.items()
        }
        for name, (known, _) in self.model.items():
            assert self.gallery.metadata(name) == known
        self.search(self.next, 8, "max", None)

    @rule(
        number=st.integers(0, 60),
        k=st.integers(1, 8),
        how=st.sampled_from(["max", "mean"]),
        site=st.sampled_from([None, "A", "B"]),
    )
    def ask(self, number: int, k: int, how: str, site: str | None) -> None:
        self.search(number, k, how, site)

    def search(self, number: int, k: int, how: str, site: str | None) -> None:
        where = None if site is None else {"site": site}
        probe = unit(number)
        found = self.gallery.search(probe, k, fingerprint=MODEL, rule=how, where=where)[0]
        wanted = {
            name: self.score(probe, images, how)
            for name, (known, images) in self.model.items()
            if images and (site is None or known.get("site") == site)
        }
        told = {candidate.person: candidate.score for candidate in found.candidates}
        assert len(told) == len(found.candidates) == min(k, len(wanted))
        for (person, score), best in zip(
            told.items(), sorted(wanted.values(), reverse=True), strict=False
        ):
            assert abs(score - wanted[person]) < self.tolerance
            assert abs(score - best) < self.tolerance

    @rule(name=people, number=st.integers(0, 60), how=st.sampled_from(["max", "mean"]))
    def verify(self, name: str, number: int, how: str) -> None:
        images = self.model.get(name, ({}, []))[1]
        if images:
            found = self.gallery.verify(unit(number), name, fingerprint=MODEL, rule=how)
            assert abs(found.scores[0] - self.score(unit(number), images, how)) < self.tolerance

    @property
    def tolerance(self) -> float:
        return 3e-3 if self.rounded else TOLERANCE

    def score(self, probe: np.ndarray, images: list[int], how: str) -> float:
        rows = [unit(image).astype(np.float64) for image in images]
        if self.templates == "mean":
            mean = sum(rows) / len(rows)
            rows = [mean / np.linalg.norm(mean)]
        cosines = [float(row @ probe) for row in rows]
        return max(cosines) if how == "max" else sum(cosines) / len(cosines)


EXAMPLES = {"folder": 20, "postgres": 6}


def test_any_order_of_changes(place: str | Path, where_kept: str) -> None:
    numbers = count()
    run_state_machine_as_test(
        lambda: GalleryMachine(f"{place}{next(numbers)}"),
        settings=settings(
            max_examples=EXAMPLES[where_kept],
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
