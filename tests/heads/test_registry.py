from pathlib import Path

import pytest
from pydantic import Field

import facever.heads
from facever.config import Config, parse
from facever.errors import ConfigError
from facever.heads import HEADS, build_head, config_union, create_head, head_names
from facever.heads.catalogue import card, catalogue

HeadChoice = config_union()


class Training(Config):
    heads: list[HeadChoice] = Field(min_length=1)


def test_every_file_with_a_registered_class_is_a_head():
    files = Path(facever.heads.__file__).parent.glob("*.py")
    assert head_names() == sorted(f.stem for f in files if "\n@register\n" in f.read_text())
    assert all(HEADS[name].name == name for name in head_names())


def test_a_configuration_chooses_heads_by_name():
    training = parse(Training, {"heads": [{"name": "cosface", "margin": 0.2}, {"name": "softmax"}]})
    head = build_head(training.heads[0], embedding_size=4, identities=3)
    assert (head.name, head.config.margin, head.config.scale) == ("cosface", 0.2, 30.0)
    again = parse(Training, training.model_dump(mode="json"))
    assert again == training


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            {"name": "cosfase"},
            "unknown heads.0.name 'cosfase'; did you mean 'cosface'? "
            f"(allowed: {', '.join(one.name for one in catalogue())})",
        ),
        (
            {"name": "pml"},
            "unknown heads.0.name 'pml'; did you mean 'pml:NAME'? "
            f"(allowed: {', '.join(one.name for one in catalogue())})",
        ),
        (
            {"name": "pml:ArcFaceLoss", "margin": 1},
            "unknown key 'heads.0.margin'; did you mean 'miner'? (allowed: input, miner, "
            "miner_parameters, name, parameters, weight)",
        ),
        (
            {"name": "cosface", "margn": 1},
            "unknown key 'heads.0.margn'; did you mean 'margin'? (allowed: "
            "input, margin, name, scale, weight)",
        ),
        (
            {"name": "cosface", "margin": 1.5},
            "'heads.0.margin' is 1.5: Input should be less than 1",
        ),
        ({"margin": 0.1}, "'heads.0' needs a 'name'"),
        ("cosface", "'heads.0' needs a 'name': write {name: cosface}"),
    ],
)
def test_wrong_configurations_name_the_key(head, message):
    with pytest.raises(ConfigError) as error:
        parse(Training, {"heads": [head]}, where="x.yaml")
    assert str(error.value) == f"x.yaml: {message}"


def test_create_head():
    head = create_head("arcface", embedding_size=4, identities=3, margin=0.3)
    assert head.config.margin == 0.3
    assert head.prototypes.weight.shape == (3, 4)
    with pytest.raises(ConfigError, match=r"^unknown head 'arcfase'; did you mean 'arcface'\?"):
        create_head("arcfase", embedding_size=4, identities=3)
    with pytest.raises(ConfigError, match=r"^head 'arcface': unknown key 'margn'"):
        create_head("arcface", embedding_size=4, identities=3, margn=0.3)


def test_the_catalogue_tells_all_of_each_head():
    cards = {one.name: one for one in catalogue()}
    assert [name.removesuffix(":NAME") for name in cards] == head_names()
    for one in cards.values():
        assert one.summary
        assert one.paper
        assert one.metric in {"cosine", "euclidean", "dot"}
        assert all(p.description and p.takes for p in (*one.parameters, *one.common))
        assert [p.name for p in one.common] == ["weight", "input"]
    margin = next(p for p in cards["cosface"].parameters if p.name == "margin")
    assert (margin.default, margin.takes) == (0.35, "number from 0, below 1")
    scale = next(p for p in cards["cosine"].parameters if p.name == "scale")
    assert (scale.default, scale.takes) == ("learned", "number above 0, or 'learned'")
    assert not scale.required


def test_required_nested_and_listed_parameters():
    teacher, loss, *_ = card("distillation").parameters
    assert (teacher.name, teacher.required, teacher.default) == ("teacher", True, None)
    assert loss.takes == "'soft_targets', 'cosine', 'euclidean'"
    columns, labels = card("attributes").parameters
    assert (columns.required, columns.takes) == (True, "a list of text")
    assert (labels.default, labels.takes) == (None, "a list of text, or null")
    weight, given = card("softmax").common
    assert weight.takes == "number above 0, or a mapping of the keys below"
    assert [p.name for p in weight.inside] == ["start", "end", "epochs", "updates", "shape"]
    assert given.takes == "'embedding', 'before_norm'"
    assert [p.required for p in weight.inside] == [True, True, False, False, False]
    with pytest.raises(ConfigError, match=r"^unknown head 'softmacks'; did you mean 'softmax'\?"):
        card("softmacks")


def test_a_card_as_text():
    assert card("softmax").to_text(common=False).splitlines()[2:] == [
        "    compare by: dot; sampling: any batch",
        "    bias = false: one bias per identity; false: unbiased softmax (true or false)",
        "    label_smoothing = 0.0: share of the target spread evenly over all identities (number "
        "from 0, below 1)",
    ]
    assert (
        "    compare by: cosine; sampling: any batch, with teacher"
        in card("distillation").to_text().splitlines()
    )
    assert "    teacher (required): " in card("distillation").to_text()
    assert card("softmax").to_text().splitlines()[-2].startswith("        shape = linear: ")
