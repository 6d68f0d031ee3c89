"""Losses of pytorch-metric-learning as heads: against the library itself and against our own."""

import inspect
import math
from importlib.util import find_spec

import pytest
import torch
from pydantic import Field

import facever.heads.pml
from facever.config import Config, parse
from facever.errors import ConfigError, TrainingError
from facever.heads import WeightedSum, config_union, create_head

HeadChoice = config_union()


class Training(Config):
    heads: list[HeadChoice] = Field(min_length=1)


@pytest.fixture
def library():
    return pytest.importorskip("pytorch_metric_learning")


def make(name, **parameters):
    torch.manual_seed(7)
    return create_head(name, embedding_size=5, identities=7, **parameters).double()


def test_the_loss_is_the_library_s_with_its_miner(library, batch):
    from pytorch_metric_learning.losses import TripletMarginLoss
    from pytorch_metric_learning.miners import MultiSimilarityMiner

    head = make(
        "pml:TripletMarginLoss",
        parameters={"margin": 0.3},
        miner="MultiSimilarityMiner",
        miner_parameters={"epsilon": 0.5},
    )
    chosen = MultiSimilarityMiner(epsilon=0.5)(*batch)
    wanted = TripletMarginLoss(margin=0.3)(*batch, chosen)
    assert len(chosen[0]) > 0
    assert head(*batch).loss == wanted
    assert wanted != TripletMarginLoss(margin=0.3)(*batch)
    assert wanted != TripletMarginLoss()(*batch, chosen)
    assert make("pml:TripletMarginLoss")(*batch).loss == TripletMarginLoss()(*batch)


def test_arcface_is_ours(library, batch):
    theirs = make("pml:ArcFaceLoss", parameters={"margin": math.degrees(0.5), "scale": 30})
    ours = make("arcface")
    with torch.no_grad():
        weight = torch.randn(7, 5, generator=torch.Generator().manual_seed(1)).double()
        ours.prototypes.weight.copy_(weight)
        theirs.loss.W.copy_(weight.T)
    x, labels = 10 * weight[batch[1]] + batch[0], batch[1]  # no angle near pi, where both differ
    assert theirs(x, labels).loss.item() == pytest.approx(ours(x, labels).loss.item(), rel=1e-4)


def test_triplet_is_ours(library, batch):
    ours = make("triplet", mining="all", distance="plain", margin=0.4, reduction="active")
    theirs = make("pml:TripletMarginLoss", parameters={"margin": 0.4})
    assert theirs(*batch).loss.item() == pytest.approx(ours(*batch).loss.item(), rel=1e-5)


def test_batch_hard_triplet_is_ours(library, batch):
    ours = make("triplet", mining="batch_hard", distance="plain", margin=0.4, reduction="active")
    theirs = make("pml:TripletMarginLoss", parameters={"margin": 0.4}, miner="BatchHardMiner")
    assert theirs(*batch).loss.item() == pytest.approx(ours(*batch).loss.item(), rel=1e-5)


def test_contrastive_is_ours(library, batch):
    ours = make("contrastive", distance="plain", margin=1.5, reduction="active")
    theirs = make("pml:ContrastiveLoss", parameters={"neg_margin": 1.5})
    assert theirs(*batch).loss.item() == pytest.approx(ours(*batch).loss.item(), rel=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")  # the library's own
def test_every_loss_that_is_offered_works(library, batch):
    from pytorch_metric_learning import losses

    parameters = {"RankedListLoss": {"margin": 0.4, "Tn": 1}}
    without = {  # wrappers of another loss, abstract ones, and two that take no labels
        *("BaseLossWrapper", "CrossBatchMemory", "MultipleLosses", "SelfSupervisedLoss"),
        *("BaseMetricLossFunction", "GenericPairLoss", "ManifoldLoss", "VICRegLoss"),
    }
    names = {name for name, kind in vars(losses).items() if inspect.isclass(kind)} - without
    names -= {name for name in names if name.endswith("Mixin")}
    for name in names:
        x = batch[0].clone().requires_grad_()
        head = make(f"pml:{name}", parameters=parameters.get(name, {}))
        output = head(x, torch.tensor([0, 6, 2, 2, 6, 0]))
        output.loss.backward()
        assert x.grad.isfinite().all(), name
        assert head.loss.distance.normalize_embeddings, name  # so that cosine verifies
    assert len(names) >= 33  # of version 2.9
    for name in without:
        with pytest.raises(ConfigError, match="unknown loss of pytorch-metric-learning"):
            make(f"pml:{name}")


@pytest.mark.parametrize(
    ("name", "miner", "images"),
    [
        ("ArcFaceLoss", None, 1),
        ("ProxyNCALoss", None, 1),
        ("P2SGradLoss", None, 1),
        ("ArcFaceLoss", "BatchHardMiner", 2),
        ("MultiSimilarityLoss", None, 2),
        ("MarginLoss", None, 2),
    ],
)
def test_how_many_images_of_an_identity_it_needs(library, name, miner, images):
    head = make(f"pml:{name}", miner=miner)
    assert head.images_per_identity == images
    assert WeightedSum([head]).images_per_identity == images


def test_running_statistics_are_state(library, batch):
    head, other = make("pml:DynamicSoftMarginLoss"), make("pml:DynamicSoftMarginLoss")
    for _ in range(3):
        head(batch[0] * 2, batch[1])
    other.load_state_dict(head.state_dict())
    assert other(*batch).loss == head(*batch).loss
    assert other(*batch).loss != make("pml:DynamicSoftMarginLoss")(*batch).loss


def test_learned_margins_are_not_decayed(library):
    head = make("pml:MarginLoss", parameters={"learn_beta": True})
    assert head.no_weight_decay() == {"loss.beta"}
    assert make("pml:ArcFaceLoss").no_weight_decay() == set()


def test_a_configuration_round_trip(library):
    given = {
        "name": "pml:TripletMarginLoss",
        "parameters": {"margin": 0.1, "swap": True},
        "miner": "TripletMarginMiner",
        "miner_parameters": {"type_of_triplets": "hard"},
        "weight": 0.5,
    }
    training = parse(Training, {"heads": [{"name": "softmax"}, given]})
    assert parse(Training, training.model_dump(mode="json")) == training
    assert training.heads[1].parameters == {"margin": 0.1, "swap": True}


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            {"name": "pml:ArcFaceLos"},
            "unknown loss of pytorch-metric-learning 'ArcFaceLos'; did you mean 'ArcFaceLoss'? "
            "(allowed: AngularLoss, ArcFaceLoss, ",
        ),
        ({"name": "pml:GenericPairLoss"}, "unknown loss of pytorch-metric-learning"),
        ({"name": "pml:VICRegLoss"}, "unknown loss of pytorch-metric-learning"),
        ({"name": "pml:SelfSupervisedLoss"}, "unknown loss of pytorch-metric-learning"),
        (
            {"name": "pml:NCALoss", "miner": "BatchHardMine"},
            "unknown miner of pytorch-metric-learning 'BatchHardMine'; did you mean "
            "'BatchHardMiner'? (allowed: AngularMiner, ",
        ),
        (
            {"name": "pml:TripletMarginLoss", "parameters": {"margn": 0.1}},
            "unknown parameter of TripletMarginLoss 'margn'; did you mean 'margin'? (allowed: "
            "margin, smooth_loss, swap, triplets_per_anchor)",
        ),
        (
            {"name": "pml:ArcFaceLoss", "parameters": {"embedding_size": 3}},
            "unknown parameter of ArcFaceLoss 'embedding_size' (allowed: margin, scale)",
        ),
        (
            {"name": "pml:CosFaceLoss", "parameters": {"margin": "wide"}},
            "margin of CosFaceLoss must be a number, not 'wide'",
        ),
        (
            {
                "name": "pml:NCALoss",
                "miner": "MultiSimilarityMiner",
                "miner_parameters": {"epsilon": True},
            },
            "epsilon of MultiSimilarityMiner must be a number, not True",
        ),
        (
            {"name": "pml:RankedListLoss", "parameters": {"margin": 0.4}},
            "loss RankedListLoss needs Tn in its parameters",
        ),
        (
            {"name": "pml:NCALoss", "miner_parameters": {"epsilon": 0.1}},
            "miner_parameters without a miner",
        ),
    ],
)
def test_wrong_use_is_one_line(library, head, message):
    with pytest.raises(ConfigError) as error:
        parse(Training, {"heads": [head]}, where="x.yaml")
    assert str(error.value).startswith(f"x.yaml: 'heads.0': {message}")
    assert "\n" not in str(error.value)


def test_what_the_library_refuses_is_one_line(library):
    with pytest.raises(ConfigError) as error:
        make("pml:PNPLoss", parameters={"variant": "Q"})
    assert str(error.value) == (
        "head 'pml:PNPLoss': variant=Q but must be one of ['Ds', 'Dq', 'Iu', 'Ib', 'O']"
    )


def test_a_batch_that_the_library_refuses_is_one_line(library, batch):
    with pytest.raises(TrainingError) as error:
        make("pml:SmoothAPLoss")(*batch)
    assert str(error.value).startswith(
        "head 'pml:SmoothAPLoss': All classes must have the same number of elements in the labels. "
    )
    assert "\n" not in str(error.value)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(
        facever.heads.pml, "find_spec", lambda name: None if "metric" in name else find_spec(name)
    )
    training = parse(Training, {"heads": [{"name": "pml:ArcFaceLoss"}]})
    assert training.heads[0].loss == "ArcFaceLoss"  # an old run's configuration stays readable
    with pytest.raises(ConfigError) as error:
        make("pml:ArcFaceLoss")
    assert str(error.value) == (
        "head 'pml:ArcFaceLoss' needs pytorch-metric-learning: pip install 'facever[pml]'"
    )
