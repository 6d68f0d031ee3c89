import base64
import hashlib
import json

import pandas as pd
import pytest

from facever.embeddings import coded_people
from facever.embeddings.coded_people import code_of, frame_of, known_as, people_of

PEOPLE = pd.DataFrame(
    {
        "identity": ["Ada", "Jose\u0301", "Eve", "Ada"],
        "dataset": ["a", "a", "a", "b"],
        "use": ["train", "train", "development", "train"],
    }
)


def test_the_code_is_a_keyed_hash() -> None:
    digest = hashlib.blake2b("José".encode(), key=b"salt", digest_size=9).digest()
    assert code_of("Jose\u0301 ", "salt") == base64.urlsafe_b64encode(digest).decode()
    assert code_of("José", "other") != code_of("José", "salt")


def test_codes_and_back() -> None:
    said = json.loads(json.dumps(people_of(PEOPLE, "salt", codes=True)))
    assert said["datasets"] == {"a": {"development": 1, "train": 2}, "b": {"train": 1}}
    assert "Ada" not in json.dumps(said)
    frame = frame_of(said)
    assert frame is not None
    assert sorted(frame["dataset"]) == ["a", "a", "a", "b"]
    found = known_as(frame["identity"], ["José", "Eve", "Bob"])
    assert sorted(found.values()) == ["Eve", "José"]
    uses = frame.set_index("identity")["use"]
    assert {name: uses[entry] for entry, name in found.items()} == {
        "Eve": "development",
        "José": "train",
    }


def test_codes_of_two_models_and_plain_names_together() -> None:
    listed = [*frame_of(people_of(PEOPLE, "one", codes=True))["identity"], "Bob"]  # type: ignore[index]
    listed += frame_of(people_of(PEOPLE, "two", codes=True))["identity"].tolist()  # type: ignore[index]
    assert set(known_as(listed, ["Ada", "Bob", "Zoe"]).values()) == {"Ada", "Bob"}


def test_nothing_known_and_nothing_kept() -> None:
    assert people_of(None, "salt", codes=True) == {}
    assert frame_of({}) is None
    counts = people_of(PEOPLE, "salt", codes=False)
    assert set(counts) == {"datasets"}
    assert frame_of(counts) is None


def test_without_uses_all_were_trained_on() -> None:
    said = people_of(PEOPLE[["identity", "dataset"]], "salt", codes=True)
    assert said["datasets"]["a"] == {"train": 3}


def test_too_many_people_are_counted_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coded_people, "MOST_PEOPLE", 3)
    said = people_of(PEOPLE, "salt", codes=True)
    assert set(said) == {"datasets"}
