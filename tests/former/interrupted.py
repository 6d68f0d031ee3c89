"""Run `facever` and send this process SIGTERM in one of its updates.

python -m tests.former.interrupted UPDATE train CONFIG --out RUN
"""

import os
import signal
import sys
from typing import Any

from facever.__main__ import main
from facever.training.trainer import Trainer


def interrupt_in(number: int) -> None:
    update = Trainer._update

    def interrupted(trainer: Trainer, *given: Any) -> None:
        if trainer.position.update == number and int(os.environ.get("RANK", "0")) == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        update(trainer, *given)

    Trainer._update = interrupted  # type: ignore[method-assign]


if __name__ == "__main__":
    interrupt_in(int(sys.argv.pop(1)))
    main()
