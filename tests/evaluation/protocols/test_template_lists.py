"""IJB's 1:1 protocol: images pooled for a list of templates, counted by loops."""

from dataclasses import replace

import numpy as np
import pytest

from facever.data.pairs import read_pairs
from facever.data.readers import read
from facever.embeddings.embedding_set import EmbeddingSet
from facever.errors import DataError, EvaluationError
from facever.evaluate import calibrate, compare, template_set, transfer, verification
from facever.evaluation.inputs import kind_of
from tests.evaluation.oracles import cosines
from tests.ijb_tree import Tree, pooled

FARS = [0.1, 0.01]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tree, its embeddings, and its pair list."""
    tree = Tree()
    root = tree.write(tmp_path_factory.mktemp("ijb") / "IJBC")
    frame = read(root).frame
    columns = {name: frame[name].tolist() for name in frame if name != "identity"}
    faces = EmbeddingSet.from_arrays(tree.vectors(), frame["identity"], fingerprint="f", **columns)
    return tree, faces, root / "meta" / "ijbc_template_pair_label.txt"


def by_loops(tree, weights=None):
    """Return the genuine and impostor scores of the list."""
    found = pooled(tree.vectors(), tree.template_of, tree.media_of, weights)
    scores = {True: [], False: []}
    for line in tree.lists["template_pair_label.txt"]:
        a, b, same = map(int, line.split())
        scores[same == 1].append(float(cosines([found[a]], [found[b]])[0, 0]))
    return scores[True], scores[False]


def check(result, genuine, impostor):
    assert (result.trials.genuine, result.trials.impostor) == (len(genuine), len(impostor))
    for point in result.operating_points:
        allowed = int(point.far_target * len(impostor) + 1e-9)
        limit = sorted(impostor, reverse=True)[allowed]
        assert point.false_accepts == sum(score > limit for score in impostor)
        assert point.true_accepts == sum(score > limit for score in genuine)
        assert limit - 1e-6 <= point.threshold <= min(s for s in impostor if s > limit)
    assert {point.far_target for point in result.operating_points} == set(FARS)


def test_images_are_pooled_and_counted_as_in_the_protocol(made):
    tree, faces, path = made
    result = verification(faces, pairs=path, far=FARS)
    check(result, *by_loops(tree))
    assert result.kind == "1:1-template"
    assert result.operating_points[0].interval.method != "clopper-pearson"
    assert not result.warnings
    again = verification(template_set(faces), pairs=read_pairs(path), far=FARS)
    assert again.to_dict() == result.to_dict()


def test_images_may_be_weighted(made):
    tree, faces, path = made
    lengths = np.sqrt((tree.vectors() ** 2).sum(axis=1))
    scores = np.array(tree.scores)
    for quality, weights in (("norm", lengths), ("norm,detection_score", lengths * scores)):
        templates = template_set(faces, quality=quality)
        check(verification(templates, pairs=path, far=FARS), *by_loops(tree, weights))
    with pytest.raises(EvaluationError, match="unknown column 'sharpness'"):
        template_set(faces, quality="norm,sharpness")


def test_failed_images_and_templates_are_left_out(made):
    tree, faces, path = made
    rows = faces.rows.copy()
    lost = [i for i, t in enumerate(tree.template_of) if t == tree.template_of[0]]
    rows.loc[[*lost, len(rows) - 1], "error"] = "truncated"
    units = faces.vectors.copy()
    units[[*lost, len(rows) - 1]] = 0
    result = verification(replace(faces, vectors=units, rows=rows), pairs=path, far=FARS)
    with_first = [
        line.split()
        for line in tree.lists["template_pair_label.txt"]
        if line.split()[0] == str(tree.template_of[0])
    ]
    assert result.failures.failed == 1
    assert result.failures.genuine == sum(label == "1" for _, _, label in with_first)
    assert result.failures.impostor == sum(label == "0" for _, _, label in with_first)


def test_without_subjects_the_intervals_are_those_of_independent_trials(made):
    tree, faces, path = made
    unnamed = replace(faces, rows=faces.rows.assign(identity=None))
    result = verification(unnamed, pairs=path, far=FARS)
    check(result, *by_loops(tree))
    assert result.auc_interval is None
    assert result.operating_points[0].interval.method == "clopper-pearson"
    assert any("without identity" in text for text in result.warnings)
    some = faces.rows.assign(
        identity=faces.rows["identity"].mask(faces.rows["subset"] == "G2", None)
    )
    assert verification(replace(faces, rows=some), pairs=path, far=FARS).auc_interval is None
    with pytest.raises(EvaluationError, match="no identity"):
        verification(unnamed, far=FARS)
    with pytest.raises(EvaluationError, match="no identity"):
        calibrate(unnamed, pairs=path)


def test_a_template_is_named_whole_or_not(made):
    tree, faces, _ = made
    rows = faces.rows.copy()
    row = next(i for i, t in enumerate(tree.template_of) if tree.template_of.count(t) > 1)
    rows.loc[row, "identity"] = None
    with pytest.raises(EvaluationError, match=rf"template {tree.template_of[row]} has .*without"):
        template_set(replace(faces, rows=rows))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("5 99999 0", "names 99999, which has no row"),
        ("5 5 1", "compares a template with itself"),
        ("5 12 0", "labelled as two people but has one identity"),
    ],
)
def test_wrong_lists_are_one_line(made, tmp_path, line, text):
    tree, faces, _ = made
    path = tmp_path / "ijbc_template_pair_label.txt"
    path.write_text("\n".join([*tree.lists["template_pair_label.txt"], line]))
    with pytest.raises(EvaluationError, match=text) as caught:
        verification(faces, pairs=path, far=FARS)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_repeated_pairs_are_counted_and_said(made, tmp_path):
    tree, faces, _ = made
    lines = tree.lists["template_pair_label.txt"]
    path = tmp_path / "ijbc_template_pair_label.txt"
    a, b, label = lines[0].split()
    path.write_text("\n".join([*lines, f"{b} {a} {label}"]))
    result = verification(faces, pairs=path, far=FARS)
    assert result.trials.genuine + result.trials.impostor == len(lines) + 1
    assert any("1 pairs are in the list" in text for text in result.warnings)


def test_images_without_templates_are_refused(made):
    _, faces, path = made
    bare = replace(faces, rows=faces.rows.drop(columns="template"))
    with pytest.raises(EvaluationError, match="column 'template'"):
        verification(bare, pairs=path, far=FARS)
    with pytest.raises(DataError, match="no pair list"):
        verification(faces, pairs=path.with_name("gone.txt"), far=FARS)


def test_other_questions_pool_too(made):
    _, faces, path = made
    result = verification(faces, pairs=path, far=[0.1])
    point = result.operating_point(0.1)
    assert point.kind == "1:1-template"
    moved = transfer(point, faces, pairs=path)
    assert moved.trials == result.trials
    assert kind_of(template_set(faces)) == calibrate(faces, pairs=path).kind
    assert compare(faces, faces, pairs=path, far=[0.1]).points[0].first == result.at(0.1)
