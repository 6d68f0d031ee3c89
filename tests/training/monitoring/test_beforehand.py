"""What is known to collapse is said before; the defaults are not."""

import pytest

from facever.training.monitoring.beforehand import risks

HARD = {"name": "triplet", "mining": "batch_hard"}


@pytest.mark.parametrize(
    ("head", "neck", "word"),
    [
        ({**HARD, "distance": "squared"}, "linear", "distance: plain"),
        ({**HARD, "distance": "squared"}, "linear_bn", None),
        ({**HARD, "distance": "squared", "input": "before_norm"}, "bnneck", "distance: plain"),
        ({**HARD, "distance": "squared", "soft_margin": True}, "linear", None),
        (HARD, "linear", None),
        ({"name": "triplet"}, "linear", None),
        ({"name": "rbf", "gamma": "median"}, "linear", "gamma: following"),
        ({"name": "rbf", "gamma": 4.0}, "linear", "gamma: following"),
        ({"name": "rbf", "gamma": "median"}, "linear_bn", None),
        ({"name": "rbf"}, "linear", None),
        ({"name": "cosface"}, "linear", None),
    ],
)
def test_risks(make_config, head: dict, neck: str, word: str | None) -> None:
    model = {**make_config().model.model_dump(mode="json"), "neck": neck}
    config = make_config(heads=[head], model=model, batch={"size": 8, "images_per_identity": 2})
    said = risks(config)
    assert len(said) == (word is not None)
    assert word is None or word in said[0]
