import numpy as np
import pytest
import torch

from facever.errors import ConfigError, TrainingError
from facever.heads import create_head


@pytest.mark.parametrize("loss", ["mse", "l1"])
@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_value(loss, size, batch):
    torch.manual_seed(1)
    head = create_head(
        "reconstruction", embedding_size=5, identities=7, size=size, loss=loss, channels=8
    ).double()
    wanted = torch.rand(6, 3, size, size, dtype=torch.float64)
    drawn = head.draw(batch[0]).detach().numpy()
    assert drawn.shape == (6, 3, size, size)
    assert drawn.min() > 0
    assert drawn.max() < 1
    differences = drawn - wanted.numpy()
    value = np.mean(differences**2) if loss == "mse" else np.mean(np.abs(differences))
    output = head(batch[0], wanted)
    assert output.loss.item() == pytest.approx(value, rel=1e-10)
    assert output.stats["pixel_error"].item() == pytest.approx(np.abs(differences).mean())
    assert head(batch[0].float(), wanted.float()).loss.dtype == torch.float32


def test_it_learns_to_draw_what_the_embedding_tells():
    torch.manual_seed(0)
    head = create_head("reconstruction", embedding_size=4, identities=2, size=8, channels=16)
    embeddings, images = torch.randn(4, 4), torch.rand(4, 3, 8, 8)
    optimizer = torch.optim.Adam(head.parameters(), 0.01)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        output = head(embeddings, images)
        output.loss.backward()
        optimizer.step()
        losses.append(output.loss.item())
    mean_image = (images - images.mean(0)).square().mean().item()
    assert losses[-1] < 0.2 * mean_image < losses[0]


def test_only_the_direction_is_drawn(batch):
    head = create_head("reconstruction", embedding_size=5, identities=7, size=8).double()
    torch.testing.assert_close(head.draw(batch[0]), head.draw(100 * batch[0]), rtol=1e-4, atol=1e-6)


def test_refused(batch):
    head = create_head("reconstruction", embedding_size=5, identities=7, size=8)
    with pytest.raises(TrainingError) as error:
        head(batch[0], torch.zeros(6, 3, 16, 16))
    assert str(error.value) == (
        "head 'reconstruction' takes thumbnails as floating point [6, 3, 8, 8] for 6 embeddings, "
        "not float32 [6, 3, 16, 16]"
    )
    with pytest.raises(ConfigError, match="'size' is 12: Input should be 8, 16, 32 or 64"):
        create_head("reconstruction", embedding_size=5, identities=7, size=12)
