"""New Python processes that start in milliseconds: each is forked from one that has imported torch.

What they run is a command line of Python, `-m MODULE ...` or `-c CODE ...`, with an environment, a
folder and signals of its own. Their end calls what `atexit` has, and does not free modules. Take
`subprocess` in a test of what is imported, or of how the interpreter starts or ends.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from tempfile import TemporaryDirectory

IMPORTED = ("facever.cli.main", "facever.training.trainer", "facever.gallery.gallery")
"""What the process that is forked has imported, with all that they import."""

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(list(IMPORTED))


class Python:
    """A running process; its output is kept in files.

    Args:
        words: The command line of Python: `-m MODULE ...` or `-c CODE ...`.
        cwd: Its folder; by default that of this process.
        env: Its environment; by default that of this process.
    """

    def __init__(
        self,
        words: Sequence[object],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.args = [str(word) for word in words]
        self._folder = TemporaryDirectory()
        given = (self.args, str(cwd or Path.cwd()), dict(os.environ if env is None else env))
        self._process: ForkServerProcess = _server.Process(
            target=_run, args=(*given, self._folder.name)
        )
        self._process.start()
        self.pid = self._process.pid

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait for the end; return standard output and standard error.

        Raises:
            TimeoutError: It has not ended after so many seconds; it is killed.
        """
        self._process.join(timeout)
        lasting = self._process.is_alive()
        if lasting:
            self.kill()
            self._process.join()
        out, err = (Path(self._folder.name, name) for name in ("out", "err"))
        said = tuple(path.read_text() if path.is_file() else "" for path in (out, err))
        self._folder.cleanup()
        if lasting:
            raise TimeoutError(f"{self.args[:2]}: not within {timeout:g} seconds: {said}")
        return said[0], said[1]

    @property
    def returncode(self) -> int | None:
        """Exit status; the negative number of the signal that ended it; None while it runs."""
        return self._process.exitcode


def run(
    words: Sequence[object],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a command line of Python to its end.

    Raises:
        TimeoutError: It has not ended after so many seconds; it is killed.
    """
    process = Python(words, cwd, env)
    out, err = process.communicate(timeout)
    assert process.returncode is not None
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _run(words: list[str], cwd: str, env: dict[str, str], folder: str) -> None:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(folder, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(write_through=True)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[:0] = [cwd, *env.get("PYTHONPATH", "").split(os.pathsep)]
    option, what, *arguments = words
    sys.argv = [what if option == "-m" else "-c", *arguments]
    try:
        if option == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    except SystemExit:
        raise
    except BaseException:
        traceback.print_exc()
        raise SystemExit(1) from None
    finally:
        atexit._run_exitfuncs()
