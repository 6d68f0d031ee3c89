"""People of a training as codes, so that a model file does not contain their names.

A code tells whether a name that is given is among them; it cannot be read. Whoever has a list of
names can try each of them: codes protect against reading, not against trying.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from facever.core.text import canonical

PREFIX = "coded"
MOST_PEOPLE = 100_000
"""People whose codes are kept in a file: about 2 MB."""

_BYTES = 9  # 12 characters; two of 100,000 people share a code with probability 1e-12
_KEY_BYTES = 64


def code_of(name: str, salt: str) -> str:
    """Return the code of an identity: a keyed BLAKE2b hash of its stored form, 12 characters.

    Args:
        name: The identity.
        salt: Any text; codes of different salts cannot be compared.
    """
    key = salt.encode()[:_KEY_BYTES]
    digest = hashlib.blake2b(canonical(name).encode(), key=key, digest_size=_BYTES).digest()
    return base64.urlsafe_b64encode(digest).decode()


def people_of(trained_on: pd.DataFrame | None, salt: str, *, codes: bool) -> dict[str, Any]:
    """Return the people of a training as JSON values.

    Args:
        trained_on: Columns identity and dataset, and use if development people are listed; None if
            unknown.
        salt: The salt of the codes.
        codes: Keep the people's codes.

    Returns:
        Empty if unknown. Else `datasets`: the number of people by data set and use; and, with
        `codes` and at most 100,000 people, `salt` and `codes`: lists by data set and use.
    """
    if trained_on is None:
        return {}
    use = trained_on["use"] if "use" in trained_on else pd.Series("train", trained_on.index)
    groups = {
        (str(dataset), str(kind)): sorted({canonical(str(name)) for name in rows.dropna()})
        for (dataset, kind), rows in trained_on["identity"].groupby([trained_on["dataset"], use])
    }
    said: dict[str, Any] = {"datasets": _nested({key: len(names) for key, names in groups.items()})}
    if codes and sum(map(len, groups.values())) <= MOST_PEOPLE:
        said["salt"] = salt
        said["codes"] = _nested(
            {key: [code_of(name, salt) for name in names] for key, names in groups.items()}
        )
    return said


def frame_of(people: Mapping[str, Any]) -> pd.DataFrame | None:
    """Return the columns identity, dataset and use; None if there are no codes.

    An identity is "coded:SALT:CODE". `facever.evaluation.overlap` compares it with names.
    """
    if "codes" not in people:
        return None
    rows = [
        (f"{PREFIX}:{people['salt']}:{code}", dataset, use)
        for dataset, uses in people["codes"].items()
        for use, codes in uses.items()
        for code in codes
    ]
    return pd.DataFrame(rows, columns=["identity", "dataset", "use"])


def known_as(listed: Iterable[str], people: Iterable[str]) -> dict[str, str]:
    """Return which listed identities, names or codes, are which of the people.

    Args:
        listed: Identities of a training, plain or coded.
        people: Names, in stored form.

    Returns:
        The person's name by the listed identity.
    """
    names = list(dict.fromkeys(people))
    found = {name: name for name in names}
    entries = set(listed)
    salts = {one.split(":")[1] for one in entries if one.startswith(f"{PREFIX}:")}
    for salt in salts:
        found |= {f"{PREFIX}:{salt}:{code_of(name, salt)}": name for name in names}
    return {entry: name for entry, name in found.items() if entry in entries}


def _nested(values: Mapping[tuple[str, str], Any]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for (dataset, use), value in values.items():
        nested.setdefault(dataset, {})[use] = value
    return nested
