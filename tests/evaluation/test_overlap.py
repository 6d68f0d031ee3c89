import pandas as pd

from facever.embeddings.coded_people import frame_of, people_of
from facever.evaluation.overlap import find_overlap, shared_people

TRAINED = pd.DataFrame({"identity": ["Ada", "Ben", "Cy"], "dataset": ["x", "y", "x"]})


def test_shared_people_are_named_with_their_data_sets():
    overlap = find_overlap(TRAINED, ["Ben", "Ada", "Zoe", "Zoe"], 0.25)
    assert overlap
    assert overlap.identities == ["Ada", "Ben"]
    assert overlap.to_dict() == {
        "known": True,
        "identities": 2,
        "of": 3,
        "first": ["Ada", "Ben"],
        "datasets": ["x", "y"],
        "trials_share": 0.25,
        "chosen_on": 0,
    }
    assert "trained on 2 of the 3 people (Ada, Ben; from x, y), in 25% of the" in str(overlap)


def test_none_and_unknown_are_told_apart():
    none, unknown = find_overlap(TRAINED, ["Zoe"], None), find_overlap(None, ["Ada"], 0.5)
    assert not none
    assert not unknown
    assert "none: the model was trained on none of the 1 people" in str(none)
    assert "unknown" in str(unknown)
    assert unknown.to_dict()["known"] is False
    assert unknown.to_dict()["identities"] is None
    assert shared_people(None, ["Ada"]) is None


def test_a_long_list_is_cut():
    names = [f"p{i:02d}" for i in range(30)]
    trained = pd.DataFrame({"identity": names, "dataset": "d"})
    assert len(find_overlap(trained, names, 1.0).to_dict()["first"]) == 10
    assert ", ...;" in str(find_overlap(trained, names, 1.0))


def test_people_whom_choices_were_made_on_are_no_overlap_but_are_named():
    trained = TRAINED.assign(use=["train", "development", "train"])
    overlap = find_overlap(trained, ["Ada", "Ben"], 0.5)
    assert (overlap.identities, overlap.chosen_on, overlap.datasets) == (["Ada"], ["Ben"], ["x"])
    assert str(overlap).endswith("in 50% of the trials; 1 of them were used for selection")
    only = find_overlap(trained, ["Ben"], None)
    assert not only
    assert str(only) == (
        "none: the model was trained on none of the 1 people; 1 of them were used for selection"
    )


def test_names_are_one_however_either_side_spells_them():
    trained = pd.DataFrame({"identity": ["Jose\u0301", " p0", 7], "dataset": "old"})
    overlap = find_overlap(trained, ["Jos\u00e9", "p0", "7", "p1"], None)
    assert overlap.identities == ["7", "Jos\u00e9", "p0"]
    assert overlap.people == 4
    assert shared_people(trained, [" Jose\u0301 "]) == ["Jos\u00e9"]


def test_what_a_figure_alone_must_say_is_short():
    assert (
        find_overlap(TRAINED, ["Ben", "Ada", "Zoe"], None).brief == "trained on 2 of the 3 people"
    )
    assert find_overlap(TRAINED, ["Zoe"], None).brief == ""
    assert find_overlap(None, ["Zoe"], None).brief == ""
    chosen = TRAINED.assign(use="development")
    assert find_overlap(chosen, ["Ben"], None).brief == "1 of the 1 people were used for selection"


def test_codes_are_compared_with_names():
    trained = TRAINED.assign(use=["train", "development", "train"])
    coded = frame_of(people_of(trained, "salt", codes=True))
    people = ["Ben", "Ada", "Zoe"]
    assert find_overlap(coded, people, 0.5) == find_overlap(trained, people, 0.5)
    assert shared_people(coded, people) == ["Ada"]
    assert shared_people(coded, people, "development") == ["Ben"]
    assert find_overlap(coded, ["Zoe"], None).known
    both = pd.concat([coded, pd.DataFrame({"identity": ["Zoe"], "dataset": "z", "use": "train"})])
    assert find_overlap(both, people, None).datasets == ["x", "z"]
