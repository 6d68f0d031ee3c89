import numpy as np
import pytest

from facever.errors import GalleryError
from facever.gallery.templates import checked_policy, templates_of


def test_norms_that_are_not_known_are_told(units) -> None:
    owners = np.array([7, 3, 7])
    keys, templates = templates_of("quality_mean", owners, units(3), [1.0, 2.0, 3.0])
    assert keys.tolist() == [3, 7]
    total = units(3)[0].astype(float) + 3 * units(3)[2]
    assert templates[1] == pytest.approx(total / np.linalg.norm(total), abs=1e-6)
    with pytest.raises(GalleryError, match=r"^the norm of image 1 is unknown \(1 of 3 such\)"):
        templates_of("quality_mean", owners, units(3), [1.0, None, 3.0])
    assert templates_of("mean", owners, units(3), [None] * 3)[0].tolist() == [3, 7]


def test_an_unknown_policy_is_a_galleries_error(units) -> None:
    assert checked_policy("medoids:3") == "medoids:3"
    for ask in (checked_policy, lambda p: templates_of(p, np.zeros(1, int), units(1), [None])):
        with pytest.raises(GalleryError, match=r"^unknown template policy 'best' \(allowed: all,"):
            ask("best")
