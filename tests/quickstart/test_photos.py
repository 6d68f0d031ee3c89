"""The last step of the quickstart: a public model on photos."""

import shutil
from pathlib import Path

import pytest

from facever.errors import DataError
from facever.quickstart.photos import photos_folder, try_photos


def test_where_photos_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FACEVER_DATA", raising=False)
    assert photos_folder(None) is None
    assert "--photos" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"--photos .*gone: no such folder"):
        photos_folder(tmp_path / "gone")
    monkeypatch.setenv("FACEVER_CACHE", str(tmp_path))
    monkeypatch.delenv("FACEVER_MODELS", raising=False)
    monkeypatch.setattr("facever.catalogue.finding.find_spec", lambda _: None)
    assert photos_folder(tmp_path) is None
    assert "`facever models get sface` and `facever models get yunet`" in capsys.readouterr().err


@pytest.mark.real
@pytest.mark.usefixtures("real_models")
@pytest.mark.parametrize("named", [True, False])
def test_photos_are_tried(tmp_path: Path, real_data: Path, named: bool) -> None:
    raw = real_data / "lfw" / "raw_sample"
    people = [one for one in sorted(raw.iterdir()) if len(list(one.glob("*.jpg"))) > 1][:3]
    for person in people:
        for photo in sorted(person.glob("*.jpg")):
            place = tmp_path / "photos" / (person.name if named else "") / photo.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(photo, place)
    folder = photos_folder(tmp_path / "photos")
    assert folder is not None
    tried, section = try_photos(folder, tmp_path / "out")
    assert tried.failed == 0
    assert tried.right_first == tried.probes >= 1
    if named:
        assert tried.people == 3
        assert tried.genuine is not None
        assert tried.genuine.same is True
        assert tried.to_dict()["verify"]["impostor"]["same"] is False
    else:
        assert tried.people == tried.images
        assert tried.genuine is None
        assert tried.two is not None
    assert section.blocks
