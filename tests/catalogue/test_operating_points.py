"""The operating points that ship with public models belong to them."""

import json
from pathlib import Path

import numpy as np
import pytest

from facever.catalogue import entries, entry
from facever.cli.main import main
from facever.config import parse
from facever.models.loading import load_model
from facever.operating_point import OperatingPoint


@pytest.fixture(scope="module")
def sface(real_models: None) -> object:
    return load_model("sface")


@pytest.mark.parametrize("name", [one.name for one in entries() if one.operating_points])
def test_their_fields_agree(name: str) -> None:
    points = entry(name).operating_points
    rates = []
    for rate, values in points.items():
        point = parse(OperatingPoint, values, where=name)
        assert point.kind == "1:1-image"
        assert point.images in ("photos", "crops")
        assert point.interval is not None
        assert point.target_rate == float(rate)
        rates.append(point.target_rate)
    assert rates == sorted(rates), "the strictest decides by default: it comes first"


def test_they_are_of_the_model_as_it_is_loaded(sface: object) -> None:
    points = sface.operating_points  # type: ignore[attr-defined]
    assert [point.target_rate for point in points] == [1e-4, 1e-3]
    assert sface.operating_point == points[0]  # type: ignore[attr-defined]
    flipped = load_model("sface", flip=True)
    assert flipped.operating_point is None  # other vectors
    assert entry("sface").operating_points


@pytest.mark.real
def test_verify_decides_by_them_and_says_on_whose_data(
    sface: object,
    real_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = real_data / "lfw" / "raw_sample"
    same = sorted((folder / "Ariel_Sharon").glob("*.jpg"))[:2]
    other = next((folder / "Tony_Blair").glob("*.jpg"))

    def verify(a: Path, b: Path, *options: str) -> tuple[int, dict[str, object], str]:
        words = ["facever", "verify", "sface", str(a), str(b), "--json", *options]
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), json.loads(said.out or "{}"), said.err

    status, said, told = verify(*same)
    assert (status, said["same"]) == (0, True)
    assert "lfw" in told
    assert "--save-operating-point" in told
    assert verify(same[0], other)[0] == 1
    _, said, _ = verify(*same, "--far", "1e-3")
    assert said["operating_point"]["target_rate"] == 1e-3  # type: ignore[index]
    status, _, told = verify(*same, "--far", "1e-5")
    assert status == 2
    assert "0.0001, 0.001" in told


@pytest.mark.real
def test_two_images_of_noise_are_nobody(
    sface: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: object
) -> None:
    import cv2

    paths = []
    for number in range(2):
        noise = np.random.default_rng(number).integers(0, 256, (250, 250, 3), np.uint8)
        paths.append(str(tmp_path / f"{number}.png"))
        cv2.imwrite(paths[-1], noise)
    monkeypatch.setattr("sys.argv", ["facever", "verify", "sface", *paths])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    said = capsys.readouterr()  # type: ignore[attr-defined]
    assert "no face" in said.err
    assert "same" not in said.out
