"""Heads as a person writes them."""

from pathlib import Path

import pytest

from facever.errors import ConfigError
from facever.studies.bakeoff.contenders import folder_name, read_contenders


def test_words() -> None:
    assert read_contenders(
        ["cosine", "cosface:scale=16,margin=1e-1", "softmax+center:weight=0.008", "pml:ArcFaceLoss"]
    ) == {
        "cosine": [{"name": "cosine"}],
        "cosface:scale=16,margin=1e-1": [{"name": "cosface", "scale": 16, "margin": 0.1}],
        "softmax+center:weight=0.008": [{"name": "softmax"}, {"name": "center", "weight": 0.008}],
        "pml:ArcFaceLoss": [{"name": "pml:ArcFaceLoss"}],
    }
    assert read_contenders(["cosine:scale=learned", "softmax:bias=true"]) == {
        "cosine:scale=learned": [{"name": "cosine", "scale": "learned"}],
        "softmax:bias=true": [{"name": "softmax", "bias": True}],
    }


def test_a_list(tmp_path: Path) -> None:
    path = tmp_path / "heads.yaml"
    path.write_text(
        "- cosine\n- {name: cosface, scale: 16}\n- [{name: softmax}, {name: center, weight: 0.1}]\n"
    )
    assert read_contenders([str(path), "arcface"]) == {
        "cosine": [{"name": "cosine"}],
        "cosface:scale=16": [{"name": "cosface", "scale": 16}],
        "softmax+center:weight=0.1": [{"name": "softmax"}, {"name": "center", "weight": 0.1}],
        "arcface": [{"name": "arcface"}],
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cosfase"], "unknown head 'cosfase'; did you mean 'cosface'?"),
        (["softmax+centre"], "did you mean 'center'?"),
        (
            ["cosface:"],
            "'cosface:' is not a head with parameters: write for example rbf:scale=10,gamma=2",
        ),
        (["cosface:scale=[1"], "is not a head with parameters"),
        (["cosface:scale="], "is not a head with parameters"),
        (["cosine", "cosine"], "'cosine' is given twice"),
        (["cosface:scale=" + 99 * "[" + 99 * "]"], "is not a head with parameters"),
        (["cosface:scale=" + 5_000 * "9"], "is not a head with parameters"),
        (["nowhere.yaml"], "no list of heads at nowhere.yaml"),
    ],
)
def test_wrong_words(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_contenders(words)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "text", ["{}", "[]", "- 3", "- [{scale: 1}]", "- [", "- {name: cosfase}", 99 * "[" + 99 * "]"]
)
def test_wrong_lists(tmp_path: Path, text: str) -> None:
    (tmp_path / "heads.yaml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_contenders([str(tmp_path / "heads.yaml")])
    assert "\n" not in str(raised.value)


def test_folder_names() -> None:
    assert folder_name("softmax+center:weight=0.008") == "softmax+center-weight=0.008"
    assert folder_name("pml:A/../B") == "pml-A-..-B"
