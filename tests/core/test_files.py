"""Files are whole or not there."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from facever.core.files import (
    alone,
    atomic_folder,
    atomic_path,
    open_regular,
    put_into_place,
    read_regular,
    remove_leftovers,
    sha256_of_file,
    write_text,
)


def test_a_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.json"
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        assert temporary.suffix == ".json"
    assert target.read_text() == "half"
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_leaves_what_stood_there(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("new")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    write_text(tmp_path / "atomic", "")
    assert (tmp_path / "atomic").stat().st_mode == ordinary.stat().st_mode


def test_a_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "set"
    for content in ("one", "two"):
        with atomic_folder(target) as temporary:
            (temporary / "f").write_text(content)
    assert (target / "f").read_text() == "two"
    with pytest.raises(RuntimeError), atomic_folder(target) as temporary:
        (temporary / "f").write_text("three")
        raise RuntimeError
    assert (target / "f").read_text() == "two"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_is_to_stay_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "set"
    for content in ("one", "two"):
        target.mkdir(exist_ok=True)  # an empty one is no hindrance
        with suppress(OSError), atomic_folder(target, replace=False) as temporary:
            (temporary / "f").write_text(content)
    assert (target / "f").read_text() == "one"
    assert list(tmp_path.iterdir()) == [target]


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of_file(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_a_kill_in_mid_write_is_never_read_as_whole(tmp_path: Path) -> None:
    code = (
        "import sys, json\nfrom pathlib import Path\n"
        "from facever.core.json_files import write_json\n"
        "n = 0\n"
        "while True:\n    n += 1\n"
        "    write_json(Path(sys.argv[1]), {'n': n, 'rows': [n] * 20000})\n"
    )
    target = tmp_path / "a.json"
    for pause in (0.0, 0.013, 0.031):
        child = subprocess.Popen([sys.executable, "-c", code, str(target)])
        while not target.exists():
            time.sleep(0.01)
        time.sleep(0.1 + pause)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        got = json.loads(target.read_text())
        assert got["rows"] == [got["n"]] * 20000


def test_what_is_private_is_so_while_it_is_written(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with atomic_path(tmp_path / "file", private=True) as file:
            assert file.stat().st_mode & 0o777 == 0o600
        with atomic_folder(tmp_path / "folder", private=True) as folder:
            assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700


def test_a_folder_is_on_the_disk_before_it_is_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new" / "sub").mkdir(parents=True)
    (tmp_path / "new" / "sub" / "f").write_text("two")
    write_text(tmp_path / "set" / "f", "one")
    entries = {path.stat().st_ino: path for path in [tmp_path, *tmp_path.rglob("*")]}
    fsync, replace, done = os.fsync, os.replace, []
    monkeypatch.setattr(
        os, "fsync", lambda file: (done.append(entries[os.fstat(file).st_ino]), fsync(file))
    )
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append((a, b)), replace(a, b)))
    names = [tmp_path / "new", tmp_path / "new" / "sub", tmp_path / "new" / "sub" / "f"]
    put_into_place(names[0], tmp_path / "set", tmp_path / "old")
    assert sorted(done[:3]) == names
    assert done[3:] == [
        (tmp_path / "set", tmp_path / "old"),
        (names[0], tmp_path / "set"),
        tmp_path,
    ]
    assert (tmp_path / "old" / "f").read_text() == "one"
    assert (tmp_path / "set" / "sub" / "f").read_text() == "two"


class TakenError(Exception):
    pass


def test_one_is_alone(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    for _ in range(2):
        with alone(lock, TakenError()):
            for wait in (0, 0.05):
                with pytest.raises(TakenError), alone(lock, TakenError(), wait):
                    pass
            with alone(tmp_path / "another", TakenError()):
                pass
            lock.unlink()
    assert not lock.exists()


@pytest.mark.parametrize("again", [False, True])
def test_a_lock_that_its_holder_deletes_is_nobodys(
    again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One who waits for a file that is deleted then is not beside one who makes it anew."""
    lock, real = tmp_path / "lock", fcntl.flock

    def slow(handle: int, how: int) -> None:
        real(handle, how)
        lock.unlink()
        if again:
            lock.touch()

    monkeypatch.setattr(fcntl, "flock", slow)
    with pytest.raises(TakenError), alone(lock, TakenError()):
        pass


def test_what_cannot_be_locked_is_not_said_to_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name, reason in (("folder", "directory"), ("fifo", "regular file"), ("no/lock", "No such")):
        with pytest.raises(OSError, match=reason), alone(tmp_path / name, TakenError()):
            pass

    def none(handle: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(OSError, match="no locks"), alone(tmp_path / "lock", TakenError()):
        pass


def test_what_is_in_a_lock_file_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(b"garbage" * 1000)
    inside = pytest.raises(TakenError), alone(tmp_path / "lock", TakenError())
    with alone(tmp_path / "lock", TakenError()), inside[0], inside[1]:
        pass


WRITING = """
import sys, time
from pathlib import Path
from facever.core.files import (atomic_folder, atomic_path)
with atomic_folder(Path(sys.argv[1]) / "set") as folder, atomic_path(folder.parent.parent / "f"):
    (folder / "vectors").write_text("biometric")
    print("ready", flush=True)
    time.sleep(60)
"""


def _writing(where: Path) -> subprocess.Popen:
    child = subprocess.Popen([sys.executable, "-c", WRITING, str(where)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    return child


def test_what_a_killed_process_was_writing_goes_and_what_a_living_one_writes_stays(
    tmp_path: Path,
) -> None:
    dead, living = _writing(tmp_path), _writing(tmp_path)
    try:
        dead.kill()
        dead.wait()
        hidden = sorted(path.name for path in tmp_path.iterdir())
        assert len(hidden) == 4
        assert sum(f"-{dead.pid}-" in name for name in hidden) == 2
        write_text(tmp_path / "another", "1")  # any command that writes there
        left = [path.name for path in tmp_path.iterdir() if path.name != "another"]
        assert len(left) == 2
        assert all(f"-{living.pid}-" in name for name in left)
        remove_leftovers(tmp_path)
        assert len(list(tmp_path.iterdir())) == 3
    finally:
        for child in (dead, living):
            child.kill()
            child.communicate()
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["another"]


def test_an_id_used_again_protects_no_leftover(tmp_path: Path) -> None:
    left = tmp_path / f".set.facever-{os.getpid()}-abcdefgh.tmp"
    (left / "set").mkdir(parents=True)
    remove_leftovers(tmp_path)
    assert not left.exists()


def test_a_folder_that_a_killed_process_moved_aside_is_put_back(tmp_path: Path) -> None:
    left = tmp_path / ".set.facever-1-abcdefgh.tmp"
    write_text(left / "set.old" / "f", "old")
    write_text(left / "set" / "f", "new")
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert (tmp_path / "set" / "f").read_text() == "old"
    write_text(left / "set.old" / "f", "older")
    remove_leftovers(tmp_path)
    assert (tmp_path / "set" / "f").read_text() == "old"
    assert not left.exists()


def test_only_our_own_leftovers_go(tmp_path: Path) -> None:
    kept = [".set.facever-1-abcdefgh.tmp", "set.tmp", ".set.12345678.tmp.txt", ".x.abcdefgh.tmp"]
    (tmp_path / "away").mkdir()
    (tmp_path / kept[0]).symlink_to(tmp_path / "away")
    for name in kept[1:]:
        (tmp_path / name).write_text("")
    for name in (".set.holidays.tmp", ".set.abc1efgh.tmp"):  # as earlier versions left them
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / ".set.abc_efgh.tmp.pt").write_text("")
    os.utime(tmp_path / ".set.abc_efgh.tmp.pt", (0, 0))
    (tmp_path / ".set.abc2efgh.tmp").mkdir()  # perhaps of a process that lives
    kept += [".set.holidays.tmp", ".set.abc2efgh.tmp"]
    with atomic_folder(tmp_path / "set"), atomic_path(tmp_path / "set.pt"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "away", "set", "set.pt"}
    assert (tmp_path / "away").is_dir()


def test_where_nothing_can_be_locked_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(handle: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    (tmp_path / ".a.facever-1-abcdefgh.tmp").mkdir()
    monkeypatch.setattr(fcntl, "flock", none)
    write_text(tmp_path / "a", "1")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.facever-1-abcdefgh.tmp", "a"]


def test_a_folder_removed_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, removed = fcntl.flock, []

    def slow(handle: int, how: int) -> None:
        if not removed:
            removed.extend(tmp_path.iterdir())
            removed[0].rmdir()
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", slow)
    write_text(tmp_path / "a", "1")
    assert removed
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_killed_process_keeps_nobody_out_even_if_its_children_live(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\nfrom pathlib import Path\nfrom facever.core.files import alone\n"
        "with alone(Path(sys.argv[1]), BlockingIOError()):\n"
        "    child = os.fork()\n"
        "    if child: print(child, flush=True)\n"
        "    time.sleep(60)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "lock")]
    holder = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        with pytest.raises(TakenError), alone(tmp_path / "lock", TakenError()):
            pass
        holder.kill()
        holder.wait()
        with alone(tmp_path / "lock", TakenError(), wait=10):  # the child may just have begun
            os.kill(child, 0)  # it is there still
    finally:
        os.kill(child, signal.SIGKILL)
        holder.stdout.close()


@pytest.mark.parametrize("kind", ["fifo", "link to a fifo", "device", "link to a device"])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.jpg"
    if "fifo" in kind:
        os.mkfifo(tmp_path / "fifo")
    target = tmp_path / "fifo" if "fifo" in kind else Path("/dev/zero")
    if kind.startswith("link"):
        path.symlink_to(target)
        target = path
    with pytest.raises(OSError, match="regular file"):
        open_regular(target)
    with pytest.raises(OSError, match="regular file"):
        read_regular(target)


def test_a_folder_and_nothing_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "nothing")


def test_a_regular_file_and_a_link_to_it_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert read_regular(tmp_path / "link") == b"12345"
    assert read_regular(tmp_path / "a", most=5) == b"12345"
    with pytest.raises(ValueError, match="at most 4"):
        read_regular(tmp_path / "a", most=4)
