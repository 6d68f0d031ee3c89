"""Fixtures that every room shares."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images, where there is one."""
    folder = os.environ.get("FACEVER_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("FACEVER_DATA does not name a folder of real images")
    return Path(folder)


@pytest.fixture(scope="session")
def real_models() -> None:
    """Skip where the public models YuNet and SFace are not on this machine."""
    from facever.catalogue import path_of
    from facever.errors import ModelError

    try:
        for name in ("yunet", "sface"):
            path_of(name)
    except ModelError:
        pytest.skip("public models are not on this machine: set FACEVER_MODELS")
