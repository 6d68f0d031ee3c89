import pytest

from facever.heads import create_head


@pytest.mark.parametrize("parameters", [{}, {"margin": 0.2, "scale": 12.0}])
def test_value(parameters, make_head, agrees, cosine_oracle, cross_entropy_oracle):
    margin, scale = parameters.get("margin", 0.35), parameters.get("scale", 30.0)

    def oracle(x, W, labels):
        total = 0.0
        for i, y in enumerate(labels):
            logits = [
                scale * (cosine_oracle(x[i], w) - (margin if j == y else 0))
                for j, w in enumerate(W)
            ]
            total += cross_entropy_oracle(logits, y)
        return total / len(labels)

    agrees(make_head("cosface", **parameters), oracle)


def test_without_margin_it_is_the_cosine_head(make_head, batch):
    cosface, cosine = make_head("cosface", margin=0.0), make_head("cosine", scale=30.0)
    assert cosface(*batch).loss == cosine(*batch).loss


def test_the_margin_raises_the_scale_that_is_needed(capsys):
    create_head("cosface", embedding_size=4, identities=1000, scale=17.7, margin=0.35)
    assert capsys.readouterr().err == ""
    create_head("cosface", embedding_size=4, identities=1000, scale=17.6, margin=0.35)
    assert "needs a scale of 17.7 or more" in capsys.readouterr().err
