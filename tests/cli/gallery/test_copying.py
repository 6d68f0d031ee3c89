"""What `facever gallery copy` prints; tests/gallery/test_copies.py has the copies themselves."""

import json
from pathlib import Path


def test_a_copy_says_what_it_has(facever, gallery: Path, tmp_path: Path) -> None:
    status, said, told = facever("gallery", "copy", gallery, tmp_path / "copy")
    first, second = said.splitlines()
    assert (status, told, first) == (
        0,
        "",
        f"copied:   6 images of 3 people to {tmp_path / 'copy'}",
    )
    done = json.loads(facever("gallery", "copy", gallery, tmp_path / "other", "--json")[1])
    assert second == f"verified: {done['rows']} rows, SHA-256 {done['sha256']}"
    assert (done["images"], done["people"], done["uses"], done["resumed"]) == (6, 3, 0, False)
    infos = [facever("gallery", "info", tmp_path / name)[1] for name in ("copy", "other")]
    assert infos[0].replace(f"{tmp_path}/copy", f"{tmp_path}/other") == infos[1]


def test_wrong_use_is_one_line(facever, gallery: Path, tmp_path: Path) -> None:
    for words in ((gallery, gallery), (tmp_path / "none", tmp_path / "new")):
        status, said, told = facever("gallery", "copy", *words)
        assert (status, said, told.count("\n")) == (2, "", 1)
        assert str(words[0]) in told


def test_help_has_an_example(facever) -> None:
    status, said, _ = facever("gallery", "copy", "--help")
    assert status == 0
    assert "facever gallery copy GALLERY 'postgresql://" in " ".join(said.split())


def test_a_password_is_not_printed(facever, gallery: Path) -> None:
    address = "postgresql://me:geheim@127.0.0.1:1/faces?gallery=one"
    status, said, told = facever("gallery", "copy", gallery, address)
    assert (status, said) == (2, "")
    assert "PGPASSFILE" in told
    assert "geheim" not in told
