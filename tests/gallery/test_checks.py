"""Enrolment checks against slow loops over every pair, one product at a time."""

import numpy as np
import pytest

import facever.gallery.checks as room
from facever.errors import GalleryError
from facever.gallery.answers import Conflict
from facever.gallery.checks import Findings, Rules, examine, refuse, rules_for
from facever.gallery.records import NewImages


def images_of(vectors, people, norms=None) -> NewImages:
    size = len(vectors)
    return NewImages(
        list(people),
        np.asarray(vectors, np.float32),
        norms if norms is not None else [1.0] * size,
        [f"{i}.jpg" for i in range(size)],
        [None] * size,
    )


class Slow:
    """Who is enrolled, as a list of vectors and people."""

    def __init__(self, vectors=(), people=()) -> None:
        self.enrolled = list(zip(np.asarray(vectors).tolist(), people, strict=True))

    def nearest(self, vectors):
        found = [max(self._scores(vector), default=(-np.inf, "")) for vector in vectors]
        return np.array([s for s, _ in found], np.float32), [p for _, p in found]

    def others(self, vectors, people, rule):
        found = []
        for vector, own in zip(vectors, people, strict=True):
            scores = {}
            for score, person in self._scores(vector):
                if person != own:
                    scores.setdefault(person, []).append(score)
            best = max if rule == "max" else np.mean
            found.append(max(((best(s), p) for p, s in scores.items()), default=(-np.inf, "")))
        return np.array([s for s, _ in found], np.float32), [p for _, p in found]

    def _scores(self, vector):
        return [(dot(vector, other), person) for other, person in self.enrolled]


def dot(one, other) -> float:
    return sum(float(a) * float(b) for a, b in zip(one, other, strict=True))


@pytest.fixture(params=[(1024, 8192), (7, 5)], ids=["whole", "blocks"])
def blocks(request, monkeypatch):
    monkeypatch.setattr(room, "_ROWS", request.param[0])
    monkeypatch.setattr(room, "_COLUMNS", request.param[1])


@pytest.fixture
def crowd(units):
    """Sixty images of nine people in four dimensions: many are near each other."""
    return images_of(units(60, dimension=4), [chr(ord("a") + i % 9) for i in range(60)])


def rules(**changes) -> Rules:
    values = {"duplicates": "skip", "near": None, "conflicts": "warn", "point": None,
              "templates": "all"}  # fmt: skip
    return Rules(**{**values, **changes})


@pytest.mark.parametrize("policy", ["skip", "keep", "refuse"])
def test_near_duplicates_are_those_of_a_loop(crowd, units, blocks, policy: str) -> None:
    known = Slow(units(10, seed=5, dimension=4), [f"old{i % 3}" for i in range(10)])
    already = {4, 17}
    found = examine(crowd, already, known, rules(near=0.9, duplicates=policy)).duplicates
    expected, enrolled = [], list(known.enrolled)
    for row, (vector, person) in enumerate(zip(crowd.vectors, crowd.people, strict=True)):
        if row in already:
            continue
        score, whose = max((dot(vector, other), other_person) for other, other_person in enrolled)
        if score > 0.9:
            expected.append((row, person, whose, score))
        if not (score > 0.9 and policy == "skip"):
            enrolled.append((vector.tolist(), person))
    assert 5 < len(expected) < 50
    assert [(d.index, d.person, d.known_as) for d in found] == [e[:3] for e in expected]
    assert [d.score for d in found] == pytest.approx([e[3] for e in expected], abs=1e-6)
    assert found[0].source == f"{found[0].index}.jpg"


@pytest.mark.parametrize("policy", ["all", "mean", "medoids:1"])
@pytest.mark.parametrize("rule", ["max", "mean"])
def test_conflicts_are_those_of_a_loop(
    crowd, units, blocks, make_point, rule: str, policy: str
) -> None:
    known = Slow(units(20, seed=5, dimension=4), [chr(ord("c") + i % 9) for i in range(20)])
    point = make_point("1:N", threshold=0.85 if rule == "max" else 0.55, score_rule=rule)
    found = examine(crowd, {3}, known, rules(point=point, templates=policy))
    assert found.duplicates == []
    kept = [row for row in range(60) if row != 3]
    entries = {}
    for person in set(crowd.people):
        own = [crowd.vectors[row] for row in kept if crowd.people[row] == person]
        if policy == "mean":
            total = np.sum(own, axis=0, dtype=float)
            own = [total / np.linalg.norm(total)]
        if policy == "medoids:1":
            own = [max(own, key=lambda one: sum(dot(one, other) for other in own))]
        entries[person] = own
    expected = {}
    for row in kept:
        vector, person = crowd.vectors[row], crowd.people[row]
        (enrolled,), (name,) = known.others([vector], [person], rule)
        best = (float(enrolled), name)
        for other, own in entries.items():
            if other != person:
                scores = [dot(vector, one) for one in own]
                best = max(best, (max(scores) if rule == "max" else float(np.mean(scores)), other))
        if best[0] > point.threshold:
            expected[row] = best
    assert 3 < len(expected) < 57
    assert [c.index for c in found.conflicts] == list(expected)
    for conflict in found.conflicts:
        score, other = expected[conflict.index]
        assert (conflict.person, conflict.matches) == (crowd.people[conflict.index], other)
        assert conflict.score == pytest.approx(score, abs=1e-6)
        assert conflict.source == f"{conflict.index}.jpg"


def test_what_is_left_out_is_in_no_conflict(make_point) -> None:
    """Of three alike, two are left out as duplicates of the first: nobody is left to match."""
    alike = images_of([[1, 0], [1, 0], [1, 0], [0, 1]], ["ada", "bob", "cy", "dee"])
    strict = make_point(threshold=0.5)
    skipped = examine(alike, set(), Slow(), rules(near=0.9, point=strict))
    assert [d.index for d in skipped.duplicates] == [1, 2]
    assert skipped.conflicts == []
    kept = examine(alike, set(), Slow(), rules(near=0.9, point=strict, duplicates="keep"))
    assert [d.index for d in kept.duplicates] == [1, 2]
    assert [c.index for c in kept.conflicts] == [0, 1, 2]
    # what is known by its hash is left out with skip, and enrolled with keep
    by_hash = examine(alike, {1, 2}, Slow(), rules(point=strict))
    assert by_hash.conflicts == []
    by_hash = examine(alike, {1, 2}, Slow(), rules(point=strict, duplicates="keep"))
    assert [c.index for c in by_hash.conflicts] == [0, 1, 2]


def test_a_match_is_strictly_above(make_point) -> None:
    pair = images_of([[1, 0], [0.6, 0.8]], ["ada", "bob"])
    score = float(np.float32(0.6))
    at = examine(pair, set(), Slow(), rules(point=make_point(threshold=score), near=score))
    assert at == Findings([], [])
    below = make_point(threshold=float(np.nextafter(np.float32(score), np.float32(0))))
    assert len(examine(pair, set(), Slow(), rules(point=below)).conflicts) == 2


def test_a_person_does_not_conflict_with_themself(make_point) -> None:
    alone = images_of([[1, 0], [1, 0]], ["ada", "ada"])
    known = Slow([[1, 0]], ["ada"])
    assert examine(alone, set(), known, rules(point=make_point())).conflicts == []


def test_nothing_is_compared_where_nothing_is_asked(crowd) -> None:
    assert examine(crowd, set(), None, rules()) == Findings([], [])
    assert examine(images_of(np.empty((0, 4)), []), set(), None, rules(near=0.5)).duplicates == []
    assert not rules().compares
    assert rules(near=0.5).compares


def test_qualities_weigh_what_comes_together(make_point) -> None:
    """The heavy image of bob is far from ada's, the light one is hers."""
    together = images_of([[1, 0], [1, 0], [0, 1]], ["ada", "bob", "bob"], [1.0, 0.1, 9.9])
    point = make_point("1:N", threshold=0.5)
    weighed = examine(together, set(), Slow(), rules(point=point, templates="quality_mean"))
    assert [c.index for c in weighed.conflicts] == [1]  # bob's light image matches ada, not she him
    given = NewImages(**{**together.__dict__, "qualities": [None, 5.0, None]})
    assert [
        c.index
        for c in examine(given, set(), Slow(), rules(point=point, templates="mean")).conflicts
    ] == [0, 1]


def test_which_point_tells_a_conflict(make_point) -> None:
    many, one, mean = make_point("1:N"), make_point(), make_point("1:N", templates="mean")

    def ask(stored, name=None, templates="all", people=12, conflicts="warn"):
        return rules_for("skip", None, conflicts, name, stored, templates, people)

    assert ask({"many": many, "one": one}).point is many
    assert ask({"one": one}).point is one
    assert ask({"many": many, "mean": mean}).point is many
    assert ask({"many": many, "mean": mean}, templates="mean").point is mean
    assert ask({"many": many, "one": one}, "one").point is one
    assert (ask({}).point, ask({}).note) == (None, "")
    assert ask({"many": many}, conflicts="ignore") == Rules("skip", None, "ignore", None, "all")
    two = ask({"many": many, "more": many, "one": one})
    assert two.point is None
    assert two.note == "conflicts were not checked: name one of many, more"
    other = ask({"mean": mean})
    assert other.point is None
    assert other.note.startswith("conflicts were not checked: the operating point was measured")
    outgrown = ask({"many": many}, people=25)
    assert outgrown.point is many
    assert "with 12 people, but the gallery has 25" in outgrown.note
    assert outgrown.rule == "max"
    assert ask({"m": make_point("1:N", score_rule="mean")}).rule == "mean"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"duplicates": "drop"}, "duplicates is 'drop' (allowed: skip, keep, refuse)"),
        ({"conflicts": "no"}, "conflicts is 'no' (allowed: ignore, warn, refuse)"),
        ({"near": 1.0}, "near is 1.0 (allowed: a cosine similarity between 0 and 1, such as 0.99)"),
        ({"near": 0}, "near is 0 (allowed: a cosine similarity between 0 and 1, such as 0.99)"),
        (
            {"near": True},
            "near is True (allowed: a cosine similarity between 0 and 1, such as 0.99)",
        ),
        (
            {"near": float("nan")},
            "near is nan (allowed: a cosine similarity between 0 and 1, such as 0.99)",
        ),
        (
            {"conflicts": "ignore", "conflict_point": "many"},
            "a conflict point is given, but conflicts are ignored: omit one of them",
        ),
        (
            {"conflicts": "refuse"},
            "conflicts cannot be refused: the gallery has no operating point",
        ),
        ({"conflict_point": "door"}, "unknown operating point 'door' (allowed: )"),
    ],
)
def test_what_is_not_allowed(change: dict, message: str) -> None:
    given = {"duplicates": "skip", "near": None, "conflicts": "warn", "conflict_point": None}
    with pytest.raises(GalleryError) as refusal:
        rules_for(**{**given, **change}, stored={}, templates="all", people=3)
    assert str(refusal.value) == message


def test_a_named_point_must_fit(make_point) -> None:
    stored = {"many": make_point("1:N"), "more": make_point("1:N")}
    with pytest.raises(GalleryError, match="uses 'mean'"):
        rules_for("skip", None, "warn", "many", stored, "mean", 12)
    with pytest.raises(GalleryError, match=r"^conflicts cannot be refused: .* one of many, more$"):
        rules_for("skip", None, "refuse", None, stored, "all", 12)


def test_a_refusal_names_the_first() -> None:
    refuse([])
    one = Conflict(4, "ada", "bob", 0.71239, "a.jpg")
    with pytest.raises(GalleryError) as refusal:
        refuse([one])
    assert str(refusal.value) == "'a.jpg' of 'ada' matches 'bob' (0.7124); nothing was enrolled"
    with pytest.raises(GalleryError) as refusal:
        refuse([Conflict(4, "ada", "bob", 0.5, None), one, one])
    assert str(refusal.value) == (
        "image 4 of 'ada' matches 'bob' (0.5000) (and 2 more); nothing was enrolled"
    )
