"""EmbeddedProbes: embedded images of one question, without a table.

An `EmbeddingSet` holds its rows as a table of pandas, which takes a millisecond to make: too long
for each request of a service.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facever.embeddings.meta import EmbeddingMeta


@dataclass(frozen=True)
class EmbeddedProbes:
    """Unit vectors, and what is known of each.

    Args:
        vectors: float32 [N, D]; unit length, or zero if the image could not be embedded.
        errors: [N], why there is no vector, or None.
        columns: [N], what was found in each photo (see `facever.data.acquisition.face_columns`);
            empty for crops and photos without a face.
        meta: Origin of the vectors.
    """

    vectors: NDArray[np.float32]
    errors: Sequence[str | None]
    columns: Sequence[Mapping[str, Any]]
    meta: EmbeddingMeta

    def __len__(self) -> int:
        return len(self.errors)

    @property
    def acquired(self) -> NDArray[np.bool_]:
        """Whether there is a vector, bool [N]."""
        return np.array([error is None for error in self.errors], dtype=bool)
