"""IJB-C from the folder to the figures, through the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from facever.core.json_files import read_json
from facever.data.decode import decode
from facever.data.readers import read
from facever.embeddings.embedding_set import EmbeddingSet
from facever.evaluate import template_set, verification
from facever.faces.alignment import align
from facever.models.loading import load_model
from tests.ijb_tree import Tree

Call = Callable[..., tuple[int, str, str]]
LIST = "meta/ijbc_template_pair_label.txt"


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree()


@pytest.fixture(scope="module")
def root(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tree.write(tmp_path_factory.mktemp("ijb") / "IJBC")


@pytest.fixture(scope="module")
def embeddings(tree: Tree, root: Path) -> Path:
    """Embeddings of the folder, with vectors of their own."""
    frame = read(root).frame
    columns = {name: frame[name].tolist() for name in frame if name != "identity"}
    made = EmbeddingSet.from_arrays(tree.vectors(), frame["identity"], fingerprint="f", **columns)
    made.save(root.parent / "embeddings")
    return root.parent / "embeddings"


def test_inspect_knows_the_layout(facever: Call, tree: Tree, root: Path) -> None:
    status, said, _ = facever("data", "inspect", root, "--json")
    told = json.loads(said)
    assert (status, told["layout"], told["images"]) == (0, "ijb", len(tree.images))
    assert (told["identities"], told["templates"]) == (12, len(tree.subject))
    assert set(told["subsets"]) == {"G1", "G2", "probe"}


def test_verification_needs_the_list_only(facever: Call, root: Path, embeddings: Path) -> None:
    given = ["evaluate", "verification", embeddings, "--pairs", root / LIST, "--far", "0.01"]
    status, said, _ = facever(*given, "--json")
    told = json.loads(said)
    expected = verification(template_set(EmbeddingSet.load(embeddings)), pairs=root / LIST)
    assert status == 0
    assert told["operating_points"][0]["far_target"] == 0.01
    assert told["operating_points"][0]["tar"] == expected.at(0.01).tar
    status, _, warned = facever(*given[:-1], "1e-6")
    assert status == 2
    assert "needs 1,000,000" in warned
    weighted = json.loads(
        facever(*given, "--templates", "template", "--quality", "norm", "--json")[1]
    )
    assert weighted["operating_points"] != told["operating_points"]


def test_identification_by_protocol(facever: Call, embeddings: Path) -> None:
    given = ["evaluate", "identification", embeddings, "--protocol", "ijb-1n", "--fpir", "0.1"]
    status, said, _ = facever(*given, "--rank", "1", "--json")
    told = json.loads(said)
    assert (status, told["protocol"], set(told["galleries"])) == (0, "ijb-1n", {"G1", "G2"})
    status, said, _ = facever(*given)
    assert status == 0
    for text in ("IJB 1:N, mean of G1 and G2", "Gallery G1", "Gallery G2", "FNIR at FPIR 1e-1"):
        assert text.lower() in said.lower()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--protocol", "ijb-1m"], "unknown protocol 'ijb-1m'"),
        (["--protocol", "ijb-1n", "--rule", "mean"], "does not support --rule"),
        (["--protocol", "ijb-1n", "--save-operating-point", "x"], "--save-operating-point"),
        (["{set}", "--protocol", "ijb-1n"], "does not support GALLERY"),
        (["--protocol", "ijb-1n", "--fpir", "1e-4"], "needs 10,000 non-mated probes"),
        (["--protocol", "ijb-1n", "--quality", "sharpness"], "sharpness"),
        ([], "GALLERY"),
        (["{set}", "--quality", "norm"], "--media and --quality require --protocol"),
    ],
)
def test_wrong_use_is_one_line(
    facever: Call, embeddings: Path, words: list[str], text: str
) -> None:
    given = [word.replace("{set}", str(embeddings)) for word in words]
    status, said, warned = facever("evaluate", "identification", embeddings, *given)
    assert (status, said) == (2, "")
    assert text in warned.splitlines()[-1]
    assert "Traceback" not in warned


@pytest.mark.real
@pytest.mark.usefixtures("real_models")
def test_photos_are_aligned_by_the_given_points(
    facever: Call, real_data: Path, tmp_path: Path
) -> None:
    """Rotated photos of two people: no detector would crop them as their landmarks do."""
    photos = real_data / "lfw" / "raw_sample"
    if not photos.is_dir():
        pytest.skip("FACEVER_DATA has no lfw/raw_sample")
    known = read_json(photos / "landmarks.json")
    names = list(known)[:12]
    tree = Tree()
    sources = dict(zip(sorted(set(tree.subject.values())), names, strict=True))
    rng, turned = np.random.default_rng(0), []
    for row, template in enumerate(tree.template_of):
        name = sources[tree.subject[template]]
        turn = cv2.getRotationMatrix2D((125, 125), rng.uniform(-170, 170), rng.uniform(0.7, 1))
        points = np.reshape(known[name][:10], (5, 2)) @ turn[:, :2].T + turn[:, 2]
        tree.points[row] = points.ravel().round(3).tolist()
        line = [tree.images[row], *(f"{value:.3f}" for value in tree.points[row]), "0.9"]
        tree.lists["name_5pts_score.txt"][row] = " ".join(line)
        photo = cv2.imread(str(photos / name))
        photo = np.clip(photo + rng.normal(0, 40, photo.shape), 0, 255).astype(np.uint8)
        turned.append(cv2.warpAffine(photo, turn, (250, 250)))
    root = tree.write(tmp_path / "IJBC")
    for image, photo in zip(tree.images, turned, strict=True):
        cv2.imwrite(str(root / "loose_crop" / image), photo)
    out = tmp_path / "embeddings"
    assert facever("embed", "sface", root, "--out", out)[0] == 0
    made = EmbeddingSet.load(out)
    assert made.rows["template"].tolist() == [str(t) for t in tree.template_of]
    assert made.rows["detection_score"].eq(0.9).all()
    assert made.meta.acquisition["images"] == "photos"
    crops = [
        align(decode(root / "loose_crop" / image), np.reshape(points, (5, 2)), 112)
        for image, points in zip(tree.images[:8], tree.points[:8], strict=True)
    ]
    expected = load_model("sface").embed(crops, photos=False)
    assert (made.vectors[:8] * expected).sum(axis=1) == pytest.approx(1, abs=1e-4)
    status, said, _ = facever(
        "evaluate", "verification", out, "--pairs", root / LIST, "--far", "0.01", "--json"
    )
    assert status == 0
    assert json.loads(said)["operating_points"][0]["tar"] > 0.9
    status, said, _ = facever(
        "evaluate", "identification", out, "--protocol", "ijb-1n", "--fpir", "0.1", "--json"
    )
    assert status == 0
    assert json.loads(said)["mean"]["rank"]["1"]["value"] > 0.9
