"""Genuine and impostor files: pyeer's pair and Bob's split form."""

import pytest

from facever.errors import EvaluationError
from facever.evaluate import scores

GENUINE, IMPOSTOR = [5, 7.5, 3, 9], [1, 4, 2, 0, 3.5, 2.5]


@pytest.fixture
def folder(tmp_path):
    """A folder of pyeer's pair: one score per line, and scores behind other columns."""
    (tmp_path / "exp1_genuine.txt").write_text("\n".join(map(str, GENUINE)))
    (tmp_path / "exp1_impostor.txt").write_text(
        "".join(f"a{k} b{k} {score}\n" for k, score in enumerate(IMPOSTOR))
    )
    return tmp_path


def test_a_pair_is_measured_from_a_folder_and_from_files_in_either_order(folder):
    genuine, impostor = folder / "exp1_genuine.txt", folder / "exp1_impostor.txt"
    found = scores(folder, far=[0.2])
    assert (found.trials.genuine, found.trials.impostor) == (4, 6)
    assert found.auc.value == sum(g > i for g in GENUINE for i in IMPOSTOR) / 24
    assert found.at(0.2).false_accepts == 1
    assert found.at(0.2).true_accepts == sum(g > 3.5 for g in GENUINE)
    assert "names no identities" in found.warnings[0]
    for pair in ((genuine, impostor), [str(impostor), str(genuine)]):
        assert scores(pair, far=[0.2]).to_dict() == found.to_dict()


def test_names_without_a_class_are_genuine_first(tmp_path):
    one, two = tmp_path / "a.txt", tmp_path / "b.txt"
    one.write_text("\n".join(map(str, GENUINE)))
    two.write_text("\n".join(map(str, IMPOSTOR)))
    assert scores([one, two], far=[0.2]).auc.value > 0.9
    turned = scores([two, one], far=[0.3])
    assert turned.auc.value < 0.1
    assert any("below 0.5" in warning for warning in turned.warnings)


def test_bobs_split_form_names_the_people(tmp_path):
    (tmp_path / "scores-dev-positives").write_text("a m1 a p1 0.9\nb m2 b p2 0.8\n")
    (tmp_path / "scores-dev-negatives").write_text("a m1 b p2 0.1\nb m2 a p1 0.85\n")
    found = scores(tmp_path, far=[0.5])
    assert found.warnings == []
    assert found.auc.value == 0.75
    (tmp_path / "scores-dev-negatives").write_text("0.1\n0.85\n")
    mixed = scores(tmp_path, far=[0.5])
    assert mixed.auc.value == 0.75
    assert "names no identities" in mixed.warnings[0]


@pytest.mark.parametrize(
    "name", ["nonmated", "non-mated.txt", "NonMatch.txt", "impostors", "exp_neg.txt", "x_false"]
)
def test_classes_are_words_of_the_name(tmp_path, name):
    (tmp_path / name).write_text("1\n2\n")
    (tmp_path / "mated_x").write_text("3\n4\n")
    assert scores(tmp_path, far=[0.5]).auc.value == 1


def test_bad_pairs_are_one_line(tmp_path, folder):
    genuine, impostor = folder / "exp1_genuine.txt", folder / "exp1_impostor.txt"
    with pytest.raises(EvaluationError, match="both named as genuine"):
        scores([genuine, genuine])
    with pytest.raises(EvaluationError, match="3 files of scores"):
        scores([genuine, impostor, genuine])
    with pytest.raises(EvaluationError, match=r"no scores at .*missing"):
        scores([genuine, folder / "missing"])
    (folder / "negatives").write_text("1\n")
    with pytest.raises(EvaluationError, match=r"1 files with genuine .* and 2 with impostor"):
        scores(folder)
    (folder / "negatives").unlink()
    genuine.write_text("a m1 a p1 0.9\na m1 b p1 0.8\n")
    with pytest.raises(EvaluationError, match=r"trial 2 has claimed .*'a'.*'b', but .*genuine"):
        scores(folder)
    genuine.write_bytes(b"\x93NUMPY")
    with pytest.raises(EvaluationError, match=r"exp1_genuine\.txt is binary"):
        scores(folder)
    genuine.write_text("1\nx\n")
    with pytest.raises(EvaluationError, match=r"exp1_genuine\.txt, line 2: the score 'x'"):
        scores(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvaluationError, match=r"files: none.*accepted"):
        scores(tmp_path / "empty")
