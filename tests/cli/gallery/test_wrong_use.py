from pathlib import Path

from facever.embeddings.embedding_set import EmbeddingSet


def test_bad_input_is_one_line_and_status_2(
    facever, gallery: Path, models: list[Path], people: Path, tmp_path: Path
) -> None:
    model, other = models
    image = people / "a" / "0.png"
    vectors = EmbeddingSet.from_arrays([[1.0, 0.0]], ["a"])
    vectors.save(tmp_path / "undeclared")
    for words, message in (
        (("info", tmp_path / "nowhere"), "no gallery at"),
        (("create", gallery, "--model", model), "already exists; open it"),
        (("create", tmp_path / "g"), "either --model or --from-embeddings"),
        (("create", tmp_path / "g", "--model", tmp_path / "no"), str(tmp_path / "no")),
        (("create", tmp_path / "g", "--from-embeddings", tmp_path / "undeclared"), "fingerprint"),
        (("create", tmp_path / "g", "--from-embeddings", people, "--flip"), "omit them"),
        (("enroll", gallery, people), "is not an embedding set; to enroll images, give --model"),
        (("enroll", gallery, people, people), "give exactly one embedding set"),
        (
            ("enroll", gallery, people, "--data", people),
            "--data, --device and --engine apply to images",
        ),
        (
            ("enroll", gallery, people, "--device", "cpu"),
            "--data, --device and --engine apply to images",
        ),
        (("enroll", gallery, tmp_path / "no", "--model", model), "no data"),
        (("enroll", gallery, image, "--model", model), "--person ID"),
        (("enroll", gallery, image, "--model", model, "--metadata", "a=b"), "give --person"),
        (("enroll", gallery, people, "--model", model, "--duplicates", "x"), "allowed: skip, keep"),
        (("enroll", gallery, people, "--model", other), "use the gallery's model"),
        (("search", gallery), "give images with --model MODEL to search"),
        (("search", gallery, image), "give images with --model MODEL to search"),
        (
            ("search", gallery, "--embeddings", people, "--device", "cpu"),
            "--device and --engine apply to images",
        ),
        (("verify", gallery, "a"), "give images with --model MODEL to verify"),
        (
            ("verify", gallery, "a", "--embeddings", people, "--device", "cpu"),
            "--device and --engine apply to images",
        ),
        (("search", gallery, image, "--model", other), "use the gallery's model"),
        (("search", gallery, image, "--model", model, "-k", 0), "k is 0 "),
        (("search", gallery, image, "--model", model, "--rule", "best"), "allowed: max, mean"),
        (("search", gallery, people / "c" / "6.png", "--model", model), "6.png"),
        (("verify", gallery, "z", image, "--model", model), "no person 'z'"),
        (("verify", gallery, "a", tmp_path / "no.png", "--model", model), "no.png"),
        (("verify", gallery, "a", image, "--model", other), "use the gallery's model"),
        (("threshold", gallery, tmp_path / "no.json"), "no operating point at"),
        (("threshold", gallery, "--name", "x"), "give the file"),
        (("threshold", gallery, "x.json", "--remove", "x"), "not both"),
        (("threshold", gallery, "--remove", "x"), "'x'"),
        (("calibration", gallery, tmp_path / "no.json"), "no calibration at"),
        (("search", gallery, image, "--model", model, "--csv", "--json"), "either --csv or --json"),
        (("search", gallery, image, "--model", model, "--calibration", "x"), "'x'"),
        (("enroll", gallery, people, "--model", model, "--conflicts", "x"), "allowed: ignore"),
        (("enroll", gallery, people, "--model", model, "--near", "2"), "between 0 and 1"),
        (("migrate", gallery), "either --model MODEL to migrate, or --abandon"),
        (("migrate", gallery, "--model", model), "already"),
        (("migrate", gallery, "--abandon"), "there is no migration"),
        (("migrate", gallery, "--abandon", "--missing", "remove"), "omit all other options"),
        (("migrate", gallery, "--model", other, "--missing", "x"), "allowed: refuse, remove"),
        (("migrate", gallery, "--model", other, "--data", tmp_path / "no"), "is not a folder"),
        (("import", gallery, people), "is not a gallery export"),
        (("import", gallery, tmp_path / "no"), "no export at"),
        (("export", gallery, people), "is not an embedding set"),
        (("update", gallery, "a"), "nothing to change"),
        (("update", gallery, "a", "site"), "write KEY=VALUE"),
        (("update", gallery, "a", "--forget", "site"), "'site'"),
        (("update", gallery, "a", "--rename", "b"), "'b' is already taken"),
        (("merge", gallery, "a", "z"), "no person 'z'"),
        (("split", gallery, "a", "z", "nowhere.png"), "has no image from 'nowhere.png'"),
        (("split", gallery, "a", "z", "999"), "has no image number 999"),
        (("split", gallery, "a", "z", "9" * 5000), "has no image from '999"),
        (("remove", gallery, "z"), "no person 'z' is enrolled"),
        (("remove", gallery, "a", "b", "--source", "x"), "give one person"),
        (("people", gallery, "--where", "site"), "--where is 'site': write KEY=VALUE"),
        (("images", gallery, "z"), "no person 'z' is enrolled"),
        (("create", tmp_path / "g", "--model", model, "--templates", "best"), "best"),
    ):
        status, said, refused = facever("gallery", *words)
        assert (status, said, refused.count("\n")) == (2, "", 1), (words, refused)
        assert refused.startswith("error: ")
        assert message in refused, words
    assert not (tmp_path / "g").exists()
