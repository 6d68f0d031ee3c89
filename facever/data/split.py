"""Identity-disjoint splits: no identity is in two subsets."""

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from facever.data.manifest import Manifest
from facever.errors import ConfigError, DataError


def split(
    manifest: Manifest, shares: Mapping[str, float], seed: int = 0, stratify: bool = False
) -> Manifest:
    """Return the manifest with a column `subset` that gives each identity to one subset.

    Identities are sorted by a hash of (seed, identity) and divided into shares of exact size. So
    adding images moves no identity, and new identities move only a few at the boundaries.

    Args:
        manifest: The images; an existing column `subset` is replaced.
        shares: The share of the identities of each subset, adding up to 1.
        seed: Seed of the split.
        stratify: Distribute each group of identities with similar numbers of images (1, 2-3, 4-7,
            ...) evenly over the subsets. Then adding images can move identities, too.

    Raises:
        ConfigError: Shares are not positive or do not add up to 1.
        DataError: A subset would get no identity, or an image has none.
    """
    manifest.require_identities(1)
    if not shares or min(shares.values()) <= 0 or not abs(sum(shares.values()) - 1) < 1e-6:
        shown = ", ".join(f"{name}={share:g}" for name, share in shares.items())
        raise ConfigError(f"shares must be positive and add up to 1 (given: {shown or 'none'})")
    images = manifest.frame["identity"].value_counts()
    names = sorted(images.index, key=lambda name: _hash(seed, name))
    parts = np.array(list(shares.values()))
    if stratify:
        names.sort(key=lambda name: int(images[name]).bit_length())
        owners = _in_turn(len(names), parts)
    else:
        cuts = np.rint(np.cumsum(parts) * len(names))
        owners = np.searchsorted(cuts[:-1], np.arange(len(names)), side="right")
    for owner, subset in enumerate(shares):
        if owner not in owners:
            raise DataError(
                f"{manifest.dataset}: {len(names)} identities are too few; "
                f"subset '{subset}' ({shares[subset]:g}) would get none"
            )
    subsets = list(shares)
    of = {name: subsets[owner] for name, owner in zip(names, owners, strict=True)}
    return manifest.assign(subset=manifest.frame["identity"].map(of))


def parse_shares(words: Iterable[str]) -> dict[str, float]:
    """Read "train=0.8", "test=0.2".

    Raises:
        ConfigError: A word has another form, or a subset occurs twice.
    """
    shares: dict[str, float] = {}
    for word in words:
        name, _, number = word.partition("=")
        try:
            share = float(number)
        except ValueError:
            raise ConfigError(f"'{word}' is not a share such as train=0.8") from None
        if not name or name in shares:
            raise ConfigError(f"shares must name each subset once (see '{word}')")
        shares[name] = share
    return shares


def _in_turn(count: int, parts: np.ndarray) -> np.ndarray:
    """Assign each identity to the subset that is furthest below its share, int [count]."""
    owners, given = np.empty(count, np.int64), np.zeros(len(parts))
    for position in range(count):
        owners[position] = owner = int(np.argmax(parts * (position + 1) - given))
        given[owner] += 1
    return owners


def _hash(seed: int, identity: str) -> bytes:
    """Return a hash: an identity's position does not depend on other identities."""
    return hashlib.sha256(f"{seed} {identity}".encode()).digest()
