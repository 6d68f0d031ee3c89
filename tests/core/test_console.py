"""What a person reads: plain lines where there is no terminal."""

import pytest

from facever.core import console


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert console.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0.0 MB"), (4_915_600, "4.9 MB"), (10**9, "1.00 GB"), (21_120_000_000, "21.12 GB")],
)
def test_byte_count(count: int, text: str) -> None:
    assert console.byte_count(count) == text


def test_plain_lines_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "_SECONDS_BETWEEN_LINES", 0.0)
    with console.progress("reading", 4, "images") as shown:
        shown.start_at(2)
        shown.advance(1, "loss 1.0")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("reading: 3/4 images, ")
    assert captured.err.rstrip().endswith("left, loss 1.0")


def test_track_yields_everything() -> None:
    assert list(console.track(range(3), "x", 3)) == [0, 1, 2]
