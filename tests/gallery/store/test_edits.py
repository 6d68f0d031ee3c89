"""Edits of people, alone and in long random rows compared with a dictionary."""

import numpy as np
import pytest

from facever.errors import GalleryError


def test_update(make_store, some) -> None:
    store = make_store()
    store.enroll(some("ab"), {"a": {"site": "A", "age": 3}}, "keep")
    before = store.change().number
    store.update("a", {"age": 4, "new": [1]}, remove_keys=["site"])
    assert store.metadata("a") == {"age": 4, "new": [1]}
    assert store.change().number == before + 1
    store.update("a", {}, new_id="c")
    assert [each.person for each in store.people()] == ["c", "b"]
    assert store.metadata("c") == {"age": 4, "new": [1]}
    store.update("c", {}, new_id="c")
    assert len(store.audit()) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("z", {}), "^no person 'z' is enrolled$"),
        (("a", {"k": 2}, ["x"]), "^'a' has no metadata 'x'$"),
        (("a", {"k": 2}, [], "b"), "^the id 'b' is already taken$"),
        (("a", {"k": 2}, [], ""), "a person id must be a string"),
        (("a", {"k": float("nan")}), "^metadata of 'a' cannot be stored: "),
    ],
)
def test_an_update_that_cannot_be(make_store, some, call: tuple, message: str) -> None:
    store = make_store()
    store.enroll(some("ab"), {"a": {"k": 1}}, "keep")
    before = store.change()
    with pytest.raises(GalleryError, match=message):
        store.update(*call)
    assert (store.change(), store.metadata("a")) == (before, {"k": 1})


@pytest.mark.parametrize("policy", ["all", "mean"])
def test_merge(make_store, some, entries, policy: str) -> None:
    store = make_store(templates=policy)
    images = some(
        "abac", qualities=[0.5, None, None, None], times=["2020-01-01T00:00:00+00:00"] * 4
    )
    store.enroll(images, {"a": {"x": 1, "y": 1}, "b": {"y": 2, "z": 2}}, "keep")
    there = store.images("a")
    assert store.merge("a", "b") == 2
    assert store.metadata("b") == {"x": 1, "y": 2, "z": 2}
    moved = store.images("b")[1:]
    assert [i.image for i in moved] == [5, 6]  # numbers are never used twice
    for old, new in zip(there, moved, strict=True):
        assert {**old.to_dict(), "image": 0} == {**new.to_dict(), "image": 0}
    assert [tuple(each) for each in store.people()] == [("b", 3), ("c", 1)]
    if policy == "all":
        wanted = [("b", images.vectors[row].tobytes()) for row in range(3)]
        assert entries(store) == sorted([*wanted, ("c", images.vectors[3].tobytes())])
    assert list(store.check()) == []
    for refused in (("a", "b"), ("b", "a")):
        with pytest.raises(GalleryError, match=r"^no person 'a' is enrolled$"):
            store.merge(*refused)
    with pytest.raises(GalleryError, match=r"^'b' cannot be merged into the same person$"):
        store.merge("b", "b")


@pytest.mark.parametrize("policy", ["all", "mean"])
def test_split(make_store, some, policy: str) -> None:
    store = make_store(templates=policy)
    images = some("aaab")
    store.enroll(images, {"a": {"x": 1}}, "keep")
    assert store.split("a", ["0", 3], "n") == 2
    assert [i.source for i in store.images("n")] == ["0", "2"]
    assert (store.metadata("n"), store.metadata("a")) == ({}, {"x": 1})
    assert np.allclose(store.vectors_of("a"), images.vectors[1:2], atol=1e-6)
    assert list(store.check()) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("z", ["0"], "n"), "^no person 'z' is enrolled$"),
        (("a", ["0"], "b"), "^the id 'b' is already taken$"),
        (("a", ["0"], ""), "a person id must be a string"),
        (("a", ["2"], "n"), "^'a' has no image from '2'$"),
        (("a", [3], "n"), "^'a' has no image number 3$"),
        (("a", [True], "n"), "^'a' has no image number True$"),
        (("a", [], "n"), "^give at least one image of 'a'"),
        (("a", ["0", 2], "n"), "^these are all images of 'a': rename the person instead$"),
    ],
)
def test_a_split_that_cannot_be(make_store, some, call: tuple, message: str) -> None:
    store = make_store()
    store.enroll(some("aab"), {}, "keep")
    before = store.change()
    with pytest.raises(GalleryError, match=message):
        store.split(*call)
    assert (store.change(), store.counts()) == (before, (2, 3))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_long_life(make_store, some, follower, seed: int) -> None:
    """Random edits; after each, what the store holds is what a dictionary says."""
    random = np.random.default_rng(seed)
    writer, reader = make_store(), make_store()
    following = follower(reader)
    people: dict[str, dict] = {}
    numbered, policy = 0, "all"

    def pick() -> str:
        return str(random.choice(sorted(people)))

    for step in range(60):
        verb = str(random.choice(["enroll", "enroll", "remove", "merge", "split", "rename", "set"]))
        person = pick() if people else ""
        if verb == "enroll" or len(people) < 3:
            who = "".join(random.choice(list("abcdefgh"), size=random.integers(1, 5)))
            images = some(who, seed=100 + step, first=numbered)
            writer.enroll(images, {who[0]: {"step": step}}, "keep")
            for at, one in enumerate(who):
                known = people.setdefault(one, {"metadata": {}, "images": {}})
                known["images"][images.sources[at]] = images.vectors[at]
            people[who[0]]["metadata"]["step"] = step
            numbered += len(who)
        elif verb == "remove":
            if random.random() < 0.5 and people[person]["images"]:
                source = str(random.choice(sorted(people[person]["images"])))
                writer.remove(person, source)
                del people[person]["images"][source]
            else:
                writer.remove_all([person])
                del people[person]
        elif verb == "merge" and (into := pick()) != person:
            writer.merge(person, into)
            gone = people.pop(person)
            people[into]["images"] |= gone["images"]
            people[into]["metadata"] = gone["metadata"] | people[into]["metadata"]
        elif verb == "split" and len(people[person]["images"]) > 1:
            source = sorted(people[person]["images"])[0]
            writer.split(person, [source], f"new {step}")
            vector = people[person]["images"].pop(source)
            people[f"new {step}"] = {"metadata": {}, "images": {source: vector}}
        elif verb == "rename":
            writer.update(person, {"renamed": step}, new_id=f"name {step}")
            people[f"name {step}"] = people.pop(person)
            people[f"name {step}"]["metadata"]["renamed"] = step
        elif verb == "set":
            policy = str(random.choice(["all", "mean", "medoids:2"]))
            writer.set_templates(policy)
        there = {each.person: each.images for each in reader.people()}
        assert there == {name: len(known["images"]) for name, known in people.items()}
        for name, known in people.items():
            assert reader.metadata(name) == known["metadata"]
            assert {i.source for i in reader.images(name)} == set(known["images"])
        held = following.refresh()
        numbers, owners, vectors, _ = reader.entries_after(0)
        wanted = zip(owners.tolist(), (v.tobytes() for v in vectors), strict=True)
        assert held == dict(zip(numbers.tolist(), wanted, strict=True))
        ids = reader.ids([owner for owner, _ in held.values()])
        if policy == "all":
            assert sorted((ids[owner], vector) for owner, vector in held.values()) == sorted(
                (n, v.tobytes()) for n, known in people.items() for v in known["images"].values()
            )
        else:
            most = 1 if policy == "mean" else 2
            counts = {n: sum(ids[owner] == n for owner, _ in held.values()) for n in people}
            assert counts == {n: min(most, len(k["images"])) for n, k in people.items()}
        if step % 10 == 9:
            assert list(writer.check()) == []
