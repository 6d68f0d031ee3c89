"""The seam: an engine of another make, kept outside of the process, answers the same."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from facever.gallery.index.embedded import EmbeddedEngine
from facever.gallery.index.engine import Engine, Entries, Scores, State
from facever.gallery.index.index import Index
from facever.gallery.index.writing import write_index
from facever.gallery.records import Keys, Vectors
from facever.operating_point import ScoreRule

Rows = dict[int, tuple[int, np.ndarray, int]]


class Service:
    """What a remote engine keeps: rows by their number, and the state that they are."""

    def __init__(self) -> None:
        self.rows: Rows = {}
        self.state: State | None = None
        self.upserts = 0


class RemoteEngine:
    """An engine over a service: slow, simple, and nothing of FAISS in it."""

    def __init__(self, service: Service) -> None:
        self._service, self._changed = service, dict(service.rows)

    def open(self, belongs: Callable[[State], bool]) -> State | None:
        state = self._service.state
        return state if state is not None and belongs(state) else None

    def create(self, dimension: int) -> None:
        self._service.rows, self._changed = {}, {}

    def upsert(self, entries: Entries) -> None:
        self._service.upserts += len(entries.numbers)
        for number, owner, vector, checksum in zip(*entries, strict=True):
            self._changed[int(number)] = int(owner), vector, checksum

    def delete(self, numbers: Keys) -> None:
        for number in numbers.tolist():
            self._changed.pop(number, None)

    def reach(self, state: State) -> None:
        self._service.rows, self._service.state = dict(self._changed), state

    def mend(self, numbers: Keys, entries: Entries) -> None:
        self.delete(numbers)
        self.upsert(entries)
        self._service.rows = dict(self._changed)

    def search(
        self, queries: Vectors, k: int, rule: ScoreRule, among: Keys | None = None
    ) -> tuple[Scores, Keys]:
        scores = np.full((len(queries), k), -np.inf, np.float32)
        keys = np.full((len(queries), k), -1)
        for row, query in enumerate(queries):
            each: dict[int, list[float]] = {}
            for owner, vector, _ in self._service.rows.values():
                if among is None or owner in among:
                    each.setdefault(owner, []).append(float(vector @ query))
            judged = {o: max(c) if rule == "max" else sum(c) / len(c) for o, c in each.items()}
            best = sorted(judged.items(), key=lambda pair: -pair[1])[:k]
            keys[row, : len(best)] = [owner for owner, _ in best]
            scores[row, : len(best)] = [score for _, score in best]
        return scores, keys

    def count(self) -> int:
        return len(self._service.rows)

    def last(self) -> int:
        return max(self._changed, default=0)

    def iterate(self) -> Iterator[Entries]:
        for number, (owner, vector, checksum) in sorted(self._service.rows.items()):
            columns = np.array([number]), np.array([owner]), vector[None], np.array([checksum])
            yield Entries(*columns)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("rule", ["max", "mean"])
def test_another_engine_gives_the_same_answers(store, add, units, rule: ScoreRule) -> None:
    service = Service()
    probes, engines = units(5, seed=9), []
    for step in range(6):
        add(store, units(12, seed=step), [f"p{(step * i) % 7}" for i in range(12)])
        if step % 2:
            store.remove(f"p{step}")
        if step == 3:
            write_index(store, 1, anew=True)
        engines = [RemoteEngine(service), EmbeddedEngine(store.path.parent, "flat", begins=True)]
        among = np.array([2, 3, 5, 8])
        answers = []
        for engine in engines:
            index = Index(store, engine)
            answers.append([index.search(probes, 4, rule), index.search(probes, 3, rule, among)])
        for (remote, right), (embedded, keys) in zip(*answers, strict=True):
            assert np.array_equal(right, keys)
            assert np.allclose(remote, embedded, atol=1e-6)
    # each entry once, for it went on from the state that was kept; six were gone before
    assert service.upserts == 66
    remote, embedded = engines
    assert remote.count() == embedded.count() > 0
    assert remote.last() == embedded.last() == 72
    one, other = (
        [np.concatenate(column) for column in zip(*engine.iterate(), strict=True)]
        for engine in engines
    )
    for column, same in zip(one, other, strict=True):
        assert np.array_equal(column, same)


def test_an_engine_is_filled_again_for_another_generation(store, add, units) -> None:
    service = Service()
    add(store, units(4), list("aabb"))
    Index(store, RemoteEngine(service)).refresh()
    store.set_templates("mean")
    index = Index(store, RemoteEngine(service))
    index.refresh()
    assert index.engine.count() == 2


def test_what_comes_twice_after_a_failure_is_there_once(store, add, units) -> None:
    engine: Engine = EmbeddedEngine(store.path.parent, "flat", begins=True)
    engine.create(8)
    entries = Entries(np.arange(1, 5), np.arange(4), units(4), np.zeros(4, np.uint32))
    engine.upsert(entries.rows(slice(3)))
    engine.upsert(entries)
    engine.delete(np.array([2, 99]))
    assert engine.count() == 0  # nothing shows before it is whole
    engine.reach(State("gallery", "generation", None, 8, 4))
    assert engine.count() == 3
    numbers = np.concatenate([some.numbers for some in engine.iterate()])
    assert numbers.tolist() == [1, 3, 4]
    engine.close()
    assert engine.count() == 0


def test_what_went_is_forgotten_once(store, add, units) -> None:
    add(store, units(40), [f"p{i}" for i in range(40)])
    write_index(store, 1, anew=True)
    engine = EmbeddedEngine(store.path.parent, "flat")
    index = Index(store, engine)
    store.remove("p1")
    index.refresh()
    owners = engine._view.parts[0].entries.owners
    assert (owners < 0).sum() == 1
    add(store, units(1), ["late"])
    index.refresh()
    assert engine._view.parts[0].entries.owners is owners  # of a million, no copy for nothing
