"""Shards: what is written is standard, what is read is what the files hold."""

import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from facever.data import members, shards
from facever.data.audit import inspect
from facever.data.augmentation import AugmentationConfig
from facever.data.decode import ImageError, decode, read_bytes
from facever.data.loading import training_batches
from facever.data.manifest import Manifest
from facever.data.members import address_of, close_files, file_of, read_member, split_member
from facever.data.preprocessing import Preprocessing
from facever.data.readers import read
from facever.data.samplers import PKSampler
from facever.data.shards import write_shards
from facever.errors import ConfigError, DataError

Paint = Callable[..., Path]


@pytest.fixture
def people(tmp_path: Path, paint: Paint) -> Manifest:
    """Nine images of three people; the eighth is a text."""
    root = tmp_path / "people"
    for number in range(9):
        suffix = "jpg" if number % 2 else "png"
        paint(root / "img" / f"p.{number // 3}" / f"a.{number}.{suffix}", number, (20 + number, 16))
    (root / "img" / "p.2" / "a.7.jpg").write_text("no image")
    frame = pd.DataFrame(
        {
            "path": sorted(p.relative_to(root).as_posix() for p in root.rglob("a.*")),
            "identity": [f"00{number // 3}" for number in range(9)],
            "camera": np.arange(9) % 2,
            "note": ["ä" if number % 2 else None for number in range(9)],
        }
    )
    return Manifest(frame, root, "those")


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("a/shard-1.tar#512+7", ("a/shard-1.tar", 512, 7, None)),
        ("a/shard-1.tar#512+7=00e0c1f2", ("a/shard-1.tar", 512, 7, 0xE0C1F2)),
        ("a.tar#1+2.tar#3+4", ("a.tar#1+2.tar", 3, 4, None)),
        ("a.tar#512+7=e0c1f2", None),
        ("a.tar#512", None),
        ("a.tar", None),
        ("a.npy#512+7", None),
        ("a.tar#-1+7", None),
    ],
)
def test_what_is_an_address(path: str, address: tuple[str, int, int, int | None] | None) -> None:
    assert split_member(path) == address
    if address is not None:
        assert address_of(*address) == path
        assert file_of(path) == address[0]
    else:
        assert file_of(path) == path
    assert file_of("b.npy#3") == "b.npy"


def place(manifest: Manifest, row: int) -> tuple[int, int]:
    """Return where an image begins in its shard, and how many bytes it has."""
    _, offset, size, _ = split_member(manifest.locate(row)) or ("", 0, 0, None)
    return offset, size


def test_shards_are_standard_and_hold_the_same_bytes(people: Manifest, tmp_path: Path) -> None:
    made = write_shards(people, tmp_path / "out")
    with tarfile.open(tmp_path / "out" / "shard-00000.tar") as tar:
        names = tar.getnames()
        contents = {name: tar.extractfile(name).read() for name in names}  # type: ignore[union-attr]
        assert {(one.mtime, one.uid, one.uname) for one in tar.getmembers()} == {(0, 0, "")}
    keys = [f"{number:09d}" for number in range(9)]
    suffixes = [Path(path).suffix for path in people.frame["path"]]
    wanted = [[key + suffix, f"{key}.json"] for key, suffix in zip(keys, suffixes, strict=True)]
    assert names == [name for pair in wanted for name in pair]
    for row, (image, said) in enumerate(wanted):
        source = Path(people.locate(row))
        assert contents[image] == source.read_bytes() == read_bytes(made.locate(row))
        expected = {"identity": f"00{row // 3}", "camera": str(row % 2), "dataset": "those"}
        expected["original"] = people.frame["path"][row]
        assert json.loads(contents[said]) == expected | ({"note": "ä"} if row % 2 else {})
        if row != 7:
            np.testing.assert_array_equal(decode(made.locate(row)), decode(source))
    with pytest.raises(ImageError, match=r"tar#\d+\+8=[0-9a-f]{8}: not an image of a known format"):
        decode(made.locate(7))


def test_the_manifest_is_the_same_with_and_without_its_table(
    people: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEVER_CACHE", str(tmp_path / "cache"))
    made = write_shards(people, tmp_path / "out")
    assert (made.dataset, made.root) == ("those", tmp_path / "out")
    beside = ["identity", "camera"]
    pd.testing.assert_frame_equal(made.frame[beside], people.frame[beside])
    assert made.frame["original"].tolist() == people.frame["path"].tolist()
    (tmp_path / "out" / "manifest.parquet").unlink()
    found = read(tmp_path / "out")
    assert found.dataset == "those"
    assert (made.frame["path"].str.split("=").str[0] == found.frame["path"]).all()
    columns = made.frame.columns.drop("path")
    pd.testing.assert_frame_equal(
        found.frame[columns], made.frame[columns], check_dtype=False, check_column_type=False
    )


def test_equal_data_makes_equal_shards_and_the_size_splits_them(
    people: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_MEGABYTE", 1500)
    for name in ("a", "b"):
        write_shards(people, tmp_path / name)
        write_shards(people, tmp_path / f"{name}2", megabytes=2)
    first, second = (sorted((tmp_path / name).glob("*.tar")) for name in ("a", "b"))
    assert len(first) == 1
    assert [one.read_bytes() for one in first] == [one.read_bytes() for one in second]
    several = sorted(one.name for one in (tmp_path / "a2").glob("*.tar"))
    assert several == [f"shard-{number:05d}.tar" for number in range(len(several))]
    sizes = [read_bytes(people.locate(row)) for row in range(9)]
    filled, count = 0, 1
    for size in map(len, sizes):
        if filled >= 3000:
            filled, count = 0, count + 1
        filled += size
    assert len(several) == count > 1
    read(tmp_path / "a2").check_files()


def test_the_same_batches_as_from_the_files(people: Manifest, tmp_path: Path) -> None:
    made = write_shards(people, tmp_path / "out")
    for workers in (0, 1):
        batches = []
        for data in (people, read(tmp_path / "out")):
            loaded = training_batches(
                data,
                Preprocessing(size=12),
                AugmentationConfig(),
                PKSampler(data.labels(), 2, 3, seed=3),
                seed=5,
                workers=workers,
                on_error="skip",
            )
            batches.append([list(loaded), loaded.set_epoch(1), list(loaded)])
            loaded.close()
        for ours, theirs in zip(batches[0][0::2], batches[1][0::2], strict=True):
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(one.images, other.images)
                np.testing.assert_array_equal(one.indices, other.indices)
                np.testing.assert_array_equal(one.labels, other.labels)
                assert [row for row, _ in one.failed] == [row for row, _ in other.failed]
    assert len(made) == 9


def test_array_images_become_png_and_shards_can_be_sharded(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    np.save(tmp_path / "c.npy", draw.integers(0, 256, (2, 9, 8, 3), dtype=np.uint8))
    np.save(tmp_path / "g.npy", draw.integers(0, 256, (2, 9, 8), dtype=np.uint8))
    paths = ["c.npy#0", "c.npy#1", "g.npy#0", "g.npy#1"]
    frame = pd.DataFrame({"path": paths, "identity": list("abab")})
    arrays = Manifest(frame, tmp_path, "arrays")
    made = write_shards(write_shards(arrays, tmp_path / "one"), tmp_path / "two")
    assert made.frame["original"].tolist() == paths
    for row in range(4):
        np.testing.assert_array_equal(decode(made.locate(row)), decode(arrays.locate(row)))
    assert set(inspect(made).formats) == {"PNG"}
    with tarfile.open(tmp_path / "two" / "shard-00000.tar") as tar:
        assert tar.getnames()[::2] == [f"{number:09d}.png" for number in range(4)]


def test_an_audit_reads_shards(people: Manifest, tmp_path: Path) -> None:
    from_files, from_shards = inspect(people), inspect(write_shards(people, tmp_path / "out"))
    assert from_shards.formats == from_files.formats == {"PNG": 5, "JPEG": 3}
    assert from_shards.sizes == from_files.sizes
    assert len(from_shards.corrupt) == 1


def test_a_truncated_shard_fails_image_by_image(people: Manifest, tmp_path: Path) -> None:
    made = write_shards(people, tmp_path / "out")
    tar = tmp_path / "out" / "shard-00000.tar"
    offset, size = place(made, 5)
    tar.write_bytes(tar.read_bytes()[: offset + size - 1])
    decode(made.locate(4))
    for row in (5, 6):
        start, length = place(made, row)
        with pytest.raises(ImageError) as error:
            decode(made.locate(row))
        assert error.value.reason == (
            f"truncated shard: it has {offset + size - 1:,} bytes, but the image ends at byte "
            f"{start + length:,}"
        )
    tar.unlink()
    decode(made.locate(0))  # it is open
    close_files()
    with pytest.raises(ImageError, match="no such file"):
        decode(made.locate(0))
    with pytest.raises(DataError, match="1 image file is missing"):
        made.check_files()


def test_a_shard_that_was_replaced_is_read_anew_and_wrong_places_are_refused(
    people: Manifest, tmp_path: Path
) -> None:
    made = write_shards(people, tmp_path / "out")
    tar, (offset, size) = str(tmp_path / "out" / "shard-00000.tar"), place(made, 2)
    content = read_member(tar, offset, size)
    for start, length in ((offset + 1, size), (offset, size - 1), (100, size), (0, 7)):
        with pytest.raises(ImageError) as error:
            decode(address_of(tar, start, length))
        wanted = (
            "the shard has changed since it was indexed: "
            f"there is no image of {length:,} bytes at this position"
        )
        assert error.value.reason == wanted
    (tmp_path / "new").write_bytes(bytes(512) + Path(tar).read_bytes())
    (tmp_path / "new").replace(tar)
    assert read_member(tar, offset + 512, size) == content
    with pytest.raises(ImageError, match="the shard has changed"):
        decode(made.locate(2))


@pytest.mark.parametrize("opened", [False, True])
def test_a_shard_of_another_set_with_images_of_the_same_size_is_refused(
    opened: bool, tmp_path: Path
) -> None:
    made = []
    for number in range(2):
        root = tmp_path / f"people-{number}"
        for person in "ab":
            (root / person).mkdir(parents=True)
            pixels = np.full((9, 8), 100 * number + ord(person), np.uint8)
            cv2.imwrite(str(root / person / "1.pgm"), pixels)
        made.append(write_shards(read(root), tmp_path / f"shards-{number}"))
    assert [place(made[0], row) for row in (0, 1)] == [place(made[1], row) for row in (0, 1)]
    ours, theirs = (tmp_path / f"shards-{number}" / "shard-00000.tar" for number in range(2))
    if opened:
        assert decode(made[0].locate(0))[0, 0, 0] == ord("a")
    shutil.copy(theirs, ours)
    for row in (0, 1):
        with pytest.raises(ImageError) as error:
            decode(made[0].locate(row))
        assert error.value.reason == (
            "the shard has changed since it was indexed, or is damaged: the checksum is wrong"
        )


def test_a_set_that_was_copied_or_touched_is_the_same(people: Manifest, tmp_path: Path) -> None:
    made = write_shards(people, tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "copy", copy_function=shutil.copyfile)
    os.utime(tmp_path / "out" / "shard-00000.tar", (1, 1))
    copied = read(tmp_path / "copy")
    for row in (0, 8):
        np.testing.assert_array_equal(decode(made.locate(row)), decode(copied.locate(row)))


def test_shards_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert members._MOST_OPEN == min(os.sysconf("SC_OPEN_MAX") // 2, 4096) > 100
    monkeypatch.setattr(shards, "_MEGABYTE", 1)  # so that each image fills one
    np.save(tmp_path / "images.npy", np.zeros((100, 4, 4), np.uint8))
    paths = [f"images.npy#{number}" for number in range(100)]
    frame = pd.DataFrame({"path": paths, "identity": "a"})
    made = write_shards(Manifest(frame, tmp_path, "many"), tmp_path / "out", 1)
    close_files()
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", lambda *_, **__: pytest.fail("looked for at each image"))
        for row in [*range(100), *range(100)]:
            read_member(*split_member(made.locate(row)))  # type: ignore[misc]
    assert len(list((tmp_path / "out").glob("*.tar"))) == 100
    assert members._open.cache_info().misses == 100


def test_bad_input_is_one_line(people: Manifest, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^shard size is 0 MB"):
        write_shards(people, tmp_path / "out", 0)
    with pytest.raises(ConfigError, match="already exists: give a new or an empty folder"):
        write_shards(people, people.root)
    gone = people.frame.assign(path=[*people.frame["path"][:8], "gone.png"])
    with pytest.raises(DataError, match=r"^those: 1 image file is missing: .*gone\.png$"):
        write_shards(Manifest(gone, people.root, "those"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert cv2.haveImageReader(people.locate(0))
