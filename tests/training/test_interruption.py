"""A request to stop is noted, and ends a wait for data at once."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from facever.training.interruption import Interrupted, interruptible
from facever.training.run import Run
from facever.training.train import train
from facever.training.trainer import Trainer


def _never(number: int) -> Iterator[int]:
    """Yield a few, and then wait as for a file system that does not answer."""
    yield from range(number)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    os.read(os.pipe()[0], 1)  # its other end stays open


def test_a_wait_for_data_ends_when_someone_asks_to_stop(capfd: pytest.CaptureFixture[str]) -> None:
    with interruptible() as asked:
        assert list(asked.until(_never(3))) == [0, 1, 2]
        assert asked.signal == signal.SIGTERM
    assert capfd.readouterr().err.count("SIGTERM: saving a checkpoint") == 1


def test_between_batches_a_request_is_only_noted() -> None:
    with interruptible() as asked:
        taken = []
        for number in asked.until(range(4)):
            taken.append(number)
            if number == 1:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0)
        assert taken == [0, 1, 2, 3]
        assert asked


def test_a_training_that_waits_for_data_saves_and_resumes_bit_for_bit(
    make_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(make_config(epochs=1), tmp_path / "whole")
    trainer = Trainer.start(make_config(epochs=1), tmp_path / "parts")
    groups = trainer._groups
    with monkeypatch.context() as patched:

        def stuck() -> Iterator[object]:
            for number, batches in enumerate(groups()):
                if number == 2:
                    yield from _never(0)  # type: ignore[misc]
                yield batches

        patched.setattr(trainer, "_groups", stuck)
        with pytest.raises(Interrupted, match=r"stopped by SIGTERM; continue with"):
            trainer.fit()
    assert (trainer.position.update, trainer.position.batch) == (2, 2)
    parts = Trainer.resume(tmp_path / "parts").fit()
    assert isinstance(parts, Run)
    assert parts.model.read_bytes() == whole.model.read_bytes()
