"""Foreign shards: written here with tarfile, as other tools write them."""

import io
import json
import pickle
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from facever.data.decode import decode
from facever.data.readers import LAYOUTS, read
from facever.data.readers import webdataset as reader
from facever.errors import DataError

IMAGE = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
PNG = cv2.imencode(".png", IMAGE[..., ::-1])[1].tobytes()


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEVER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(path: Path, members: dict[str, bytes], kind: int = tarfile.GNU_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as tar:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def said(**values: object) -> bytes:
    return json.dumps(values).encode()


LONG = "d" * 90 + "/" + "n" * 90


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_images_and_identities(
    kind: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pickles = {f"a{suffix}": pickle.dumps(Bomb()) for suffix in (".pyd", ".pickle", ".pth")}
    root = tmp_path / "wds"
    first = {"a.png": PNG, "a.json": said(identity="007", cls=3, age=4, box=[1, 2])} | pickles
    first |= {"b.x.cls": b"8", "b.img.PNG": PNG, "b.cls": b" 5\n", "c.txt": b"no image"}
    write(root / "s-1.tar", first, kind)
    write(root / "s-2.tar", {LONG + ".png": PNG, LONG + ".json": said(cls=9, path="o/1.png")}, kind)
    found = read(root)
    assert found.dataset == "wds"
    assert found.frame["identity"].tolist() == ["007", "5", "9"]
    assert found.frame["original"].tolist() == ["a.png", "b.img.PNG", "o/1.png"]
    assert found.frame["age"].tolist()[0] == "4"
    assert "box" not in found.frame
    for row in range(3):
        np.testing.assert_array_equal(decode(found.locate(row)), IMAGE)
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"warning: members of {root} that are not an image, .json or .cls file are not read: "
        "1 .pyd, 1 .pickle, 1 .pth, 1 .cls, 1 .txt"
    )


def test_the_index_is_made_once_until_a_shard_changes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tar = write(tmp_path / "w" / "s.tar", {"a.png": PNG, "a.cls": b"1"})
    first = read(tmp_path / "w")
    with monkeypatch.context() as patch:
        patch.setattr(reader, "_scan", lambda *_: pytest.fail("gone through again"))
        again = read(tmp_path / "w")
    assert again.frame.equals(first.frame)
    assert (again.root, again.dataset) == (first.root, first.dataset) == (tmp_path / "w", "w")
    write(tar, {"a.png": PNG, "a.cls": b"2"})
    assert read(tmp_path / "w").identities == ["2"]
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == ["s.tar"]


def test_a_shard_that_was_replaced_by_one_of_equal_sizes_is_read_anew(tmp_path: Path) -> None:
    colours = [cv2.imencode(".bmp", np.full((3, 4, 3), n, np.uint8))[1].tobytes() for n in (5, 9)]
    tar = write(tmp_path / "w" / "s.tar", {"a.bmp": colours[0], "a.cls": b"1"})
    assert decode(read(tmp_path / "w").locate(0))[0, 0, 0] == 5
    tar.rename(tmp_path / "old.tar")
    write(tar, {"a.bmp": colours[1], "a.cls": b"2"})
    found = read(tmp_path / "w")
    assert found.identities == ["2"]
    assert decode(found.locate(0))[0, 0, 0] == 9


def test_an_index_that_cannot_be_kept_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FACEVER_CACHE", str(tmp_path / "file"))
    write(tmp_path / "w" / "s.tar", {"a.png": PNG, "a.cls": b"1"})
    made = read(tmp_path / "w")
    assert (made.identities, made.dataset) == (["1"], "w")
    assert "will be built again" in capsys.readouterr().err


def test_one_file_and_folders_of_subsets(tmp_path: Path) -> None:
    sample = {"a.png": PNG, "a.cls": b"1"}
    tar = write(tmp_path / "w" / "train" / "s.tar", sample)
    write(tmp_path / "w" / "val" / "s.tar", {"a.png": PNG, "a.json": said(cls=2, subset="odd")})
    found = read(tmp_path / "w")
    assert found.frame["subset"].tolist() == ["train", "odd"]
    np.testing.assert_array_equal(decode(found.locate(0)), IMAGE)
    alone = read(tar)
    assert (alone.dataset, len(alone)) == ("s", 1)
    np.testing.assert_array_equal(decode(alone.locate(0)), IMAGE)


@pytest.mark.parametrize(
    ("first", "other"), [("extra.tar", "train/s.tar"), ("train/b.tar", "train/00/a.tar")]
)
def test_shards_on_several_levels_are_refused(first: str, other: str, tmp_path: Path) -> None:
    sample, root = {"a.png": PNG, "a.cls": b"1"}, tmp_path / "w"
    for name in (other, first, "train/.kept/c.tar"):
        write(root / name, sample)
    with pytest.raises(DataError) as error:
        read(root)
    assert str(error.value) == (
        f"{root} has shards on several levels, such as {first} and {other}: put all of them into "
        "one folder, or all into folders train, test and so on"
    )
    (root / other).unlink()
    assert len(read(root)) == 1


def test_an_archive_beside_folders_of_people_is_not_the_data(tmp_path: Path) -> None:
    write(tmp_path / "w" / "backup.tar", {"a.png": PNG, "a.cls": b"1"})
    (tmp_path / "w" / "ada").mkdir()
    (tmp_path / "w" / "ada" / "1.png").write_bytes(PNG)
    assert read(tmp_path / "w").identities == ["ada"]
    assert read(tmp_path / "w", "webdataset").identities == ["1"]


def damaged(tar: Path, at: int) -> str:
    return (
        f"{tar} is truncated, damaged or compressed (no tar header at byte {at:,}): copy it "
        "again, or decompress it to a plain .tar"
    )


@pytest.mark.parametrize("kept", [0, 100, 700, 1024 + 10, 2048, 2048 + 100, 2560])
def test_a_cut_shard_is_one_line(kept: int, tmp_path: Path) -> None:
    tar = write(tmp_path / "w" / "s.tar", {"a.png": PNG, "a.cls": b"1"})
    assert read(tmp_path / "w").identities == ["1"]  # 512 folder, 2 x 512 image, 2 x 512 label
    tar.write_bytes(tar.read_bytes()[:kept])
    with pytest.raises(DataError) as error:
        read(tmp_path / "w")
    assert str(error.value).startswith(f"{tar} is truncated, damaged or compressed (no tar header")
    assert "\n" not in str(error.value)


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    tar = tmp_path / "w" / "s.tar"
    for members, message in [
        (
            {"a.l.png": PNG, "a.r.png": PNG, "a.cls": b"1"},
            f"{tar}: sample a has several images (a.l.png, a.r.png); one is expected",
        ),
        ({"a.txt": b"x"}, f"no images in the .tar files of {tmp_path / 'w'}"),
        ({"a.png": PNG, "a.json": b"[1]"}, f"{tar}: a.json is not a JSON object"),
        ({"a.png": PNG, "a.json": b"{"}, f"{tar}: a.json cannot be read as JSON: Expecting"),
        (
            {"a.png": PNG, "a.json": b" " * 1_000_001},
            f"{tar}: a.json has 1,000,001 bytes, too many for metadata",
        ),
    ]:
        write(tar, members)
        with pytest.raises(DataError) as error:
            read(tmp_path / "w")
        assert str(error.value).startswith(message)
    with tarfile.open(tar, "w:gz"):
        pass
    with pytest.raises(DataError) as error:
        read(tmp_path / "w")
    assert str(error.value) == damaged(tar, 0)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"^no \.tar files in .*none \(compressed ones must be unp"):
        read(tmp_path / "none", "webdataset")
    assert list(LAYOUTS)[-2:] == ["images", "folder"]


def test_links_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tar = write(tmp_path / "w" / "s.tar", {"a.png": PNG, "a.cls": b"1"})
    with tarfile.open(tar, "a") as file:
        for kind in (tarfile.LNKTYPE, tarfile.SYMTYPE):
            link = tarfile.TarInfo(f"b{kind.decode()}.png")
            link.type, link.linkname = kind, "a.png"
            file.addfile(link)
    assert len(read(tmp_path / "w")) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"warning: members of {tmp_path / 'w'} that are not an image, .json or .cls file are "
        "not read: "
        "2 link or device"
    )


def test_a_shard_that_goes_on_after_its_end_is_refused(tmp_path: Path) -> None:
    tar = write(tmp_path / "w" / "s.tar", {"a.png": PNG, "a.cls": b"1"})
    end = tar.stat().st_size
    tar.write_bytes(tar.read_bytes() + bytes(3_000_000))
    assert len(read(tmp_path / "w")) == 1
    other = write(tmp_path / "other.tar", {"b.png": PNG, "b.cls": b"2"}).read_bytes()
    tar.write_bytes(tar.read_bytes() + other)
    with pytest.raises(DataError) as error:
        read(tmp_path / "w")
    assert str(error.value) == (
        f"{tar} has data after its end, at byte {end + 3_000_000:,}, like tar files joined by "
        "cat: keep them separate, or use tar --concatenate"
    )


@pytest.mark.parametrize(
    ("values", "identity"),
    [
        ({"cls": 3.0}, "3"),
        ({"identity": None, "cls": 4}, "4"),
        ({"identity": 0.5, "cls": 5}, "5"),
        ({"cls": [0, 1]}, "9"),  # of the .cls file
    ],
)
def test_numbers_as_identities(values: dict[str, object], identity: str, tmp_path: Path) -> None:
    members = {"a.png": PNG, "a.json": said(**values), "a.cls": b"9"}
    write(tmp_path / "w" / "s.tar", members)
    assert read(tmp_path / "w").identities == [identity]


@pytest.mark.parametrize(("value", "shown"), [(3.5, "3.5"), (True, "True"), ([0, 1], "[0, 1]")])
def test_what_is_no_identity_is_said(value: object, shown: str, tmp_path: Path) -> None:
    tar = write(tmp_path / "w" / "s.tar", {"a.png": PNG, "a.json": said(cls=value)})
    with pytest.raises(DataError) as error:
        read(tmp_path / "w")
    assert str(error.value) == (
        f"{tar}: a.png: the identity {shown} is neither text nor an integer"
    )


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"caf\udce9.png": PNG, "caf\udce9.cls": b"1"}, r"caf\udce9.png"),
        ({"a.png": PNG, "a.cls": b"Ren\xe9"}, r"Ren\udce9"),
        ({"a.png": PNG, "a.json": rb'{"cls": "\ud800"}'}, r"\ud800"),
        ({"a.png": PNG, "a.json": rb'{"cls": 1, "\ud800": 2}'}, r"\ud800"),
    ],
)
def test_texts_that_are_not_in_utf8_are_one_line(
    members: dict[str, bytes], text: str, tmp_path: Path
) -> None:
    tar = write(tmp_path / "w" / "s.tar", members)
    with pytest.raises(DataError) as error:
        read(tmp_path / "w")
    assert str(error.value) == f"{tar}: '{text}' is not in UTF-8: rename it, or convert it to UTF-8"


def test_columns_of_mixed_types_become_text(tmp_path: Path) -> None:
    members = {}
    for key, age in (("a", 3), ("b", "old"), ("c", None)):
        members |= {f"{key}.png": PNG, f"{key}.json": said(identity=key, age=age)}
    write(tmp_path / "w" / "s.tar", members)
    ages = read(tmp_path / "w").frame["age"]
    assert ages.tolist()[:2] == ["3", "old"]
    assert ages.isna().tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b'{"identity": "a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested more than"),
        (b'{"identity": ' + b"9" * 30 + b"}", "beyond 64 bits"),
        (b'{"identity": "a", "age": NaN}', "NaN"),
    ],
)
def test_json_from_anywhere_is_one_line(content: bytes, part: str, tmp_path: Path) -> None:
    write(tmp_path / "w" / "s.tar", {"a.png": PNG, "a.json": content})
    with pytest.raises(DataError, match=rf"s\.tar: a\.json cannot be read as JSON: .*{part}"):
        read(tmp_path / "w")


def test_columns_are_text_whatever_each_sample_holds(tmp_path: Path) -> None:
    cameras = {"a": 1, "b": 1.0, "c": "1", "d": "01"}
    samples: dict[str, bytes] = {}
    for key, camera in cameras.items():
        samples |= {
            f"{key}.png": PNG,
            f"{key}.json": said(identity="p", camera=camera, quality=0.5),
        }
    write(tmp_path / "w" / "s.tar", samples)
    frame = read(tmp_path / "w").frame
    assert frame["camera"].tolist() == ["1", "1", "1", "01"]
    assert frame["quality"].tolist() == [0.5] * 4


def test_what_systems_leave_in_shards_and_beside_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = {"./a.png": PNG, "./a.cls": b"1", "./._a.png": b"x", "__MACOSX/._a.png": b"x"}
    write(tmp_path / "w" / "s.tar", members)
    write(tmp_path / "w" / "@eaDir" / "s.tar", {"b.png": PNG, "b.cls": b"2"})
    (tmp_path / "w" / "._s.tar").write_bytes(b"x")
    assert reader.detect(tmp_path / "w")
    assert read(tmp_path / "w").identities == ["1"]
    told = capsys.readouterr().err
    assert "1 ._*" in told
    assert "1 __MACOSX" in told


def test_a_person_with_raw_images_only_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = {
        "a.png": PNG,
        "a.cls": b"1",
        "b.nef": b"x",
        "b.cls": b"Ada",
        "c.NEF": b"x",
        "c.cls": b"1",
    }
    write(tmp_path / "w" / "s.tar", members)
    assert read(tmp_path / "w").identities == ["1"]
    [line] = [line for line in capsys.readouterr().err.splitlines() if "nef" in line]
    assert "2 .nef" in line
    assert "1 people have no other images: Ada" in line
