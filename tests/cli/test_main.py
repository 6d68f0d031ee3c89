"""The command as a whole: help at once, errors in one line with status 2."""

import errno
import subprocess
import sys
from importlib import import_module

import pytest

from facever._version import __version__
from facever.cli import main as cli
from facever.errors import DataError


def facever(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "facever", *words], capture_output=True, text=True, timeout=60
    )


def test_help_lists_every_verb_and_imports_none_of_them() -> None:
    code = (
        "import sys; sys.argv = ['facever', '--help']\n"
        "from facever.cli.main import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "print('LOADED', *[m for m in sys.modules if m.startswith('facever.')])\n"
        "print('HEAVY', *[m for m in ('torch', 'numpy', 'pydantic', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for verb, (_, help_line) in cli.VERBS.items():
        assert f"{verb}  " in done.stdout
        assert help_line.rstrip(".")[:40] in done.stdout
    loaded, heavy = done.stdout.splitlines()[-2:]
    assert set(loaded.split()[1:]) == {
        "facever._version",
        "facever.cli",
        "facever.cli.examples",
        "facever.cli.main",
        "facever.core",
        "facever.core.extras",
        "facever.core.processes",
        "facever.deprecated",
        "facever.errors",
    }
    assert heavy == "HEAVY"


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help_without_heavy_imports(verb: str) -> None:
    module = import_module(f"facever.cli.{cli.VERBS[verb][0]}")
    assert module.app.registered_commands
    code = (
        f"import sys, facever.cli.{cli.VERBS[verb][0]}\n"
        "print(*[m for m in ('torch', 'numpy', 'pandas', 'faiss') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_an_unknown_verb_is_one_line() -> None:
    done = facever("trian")
    assert done.returncode == 2
    assert (
        done.stderr
        == "error: unknown command 'trian'; did you mean 'train'? (see facever --help)\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("verify",), "error: Missing argument"),
        (("verify", "R", "a", "b", "--flop"), "error: No such option: --flop"),
        (("gallery", "nosuch"), "error: No such command 'nosuch'"),
    ],
)
def test_wrong_use_is_one_line(words: tuple[str, ...], said: str) -> None:
    done = facever(*words)
    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1
    assert "--help)" in done.stderr


def test_version_and_no_arguments() -> None:
    assert facever("--version").stdout.strip() == __version__
    assert "Commands:" in facever().stdout + facever().stderr


def test_user_errors_are_one_line_with_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(standalone_mode: bool) -> None:
        raise DataError("no data\n  here")

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    assert capsys.readouterr().err == "error: no data here\n"


def test_a_full_disk_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(standalone_mode: bool) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/x/y")

    monkeypatch.setattr(cli, "app", full)
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    assert capsys.readouterr().err == "error: No space left on device (/x/y)\n"


def test_programming_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(standalone_mode: bool) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main()
