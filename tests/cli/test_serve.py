"""`facever serve`: what is refused before a port is open, and tokens."""

import gc

import pytest

from facever.gallery.gallery import Gallery
from facever.models.loading import load_model


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """The command sets these for its process, which is this one here."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")


@pytest.fixture
def model(facever, make_onnx, tmp_path):
    path = tmp_path / "model.onnx"
    how = ("--size", "24x16", "--mean", 127.5, "--std", 128)
    assert facever("models", "add", make_onnx(batch=1), *how, "--out", path)[0] == 0
    return path


@pytest.fixture
def gallery(model, tmp_path):
    Gallery.create(tmp_path / "people", load_model(model)).close()
    return tmp_path / "people"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ((), "--model"),
        (("GALLERY",), "--model"),
        (("GALLERY", "--model", "MODEL", "--host", "0.0.0.0"), "--tokens"),
        (("GALLERY", "--model", "MODEL", "--tls-cert", "x.pem"), "--tls-key"),
        (("GALLERY", "--model", "MODEL", "--tokens", "none.json"), "none.json"),
        (("GALLERY", "--model", "MODEL", "--limit", "image=3"), "images"),
        (("GALLERY", "--model", "MODEL", "--limit", "images=0"), "images"),
        (("GALLERY", "--model", "MODEL", "--limit", "images"), "key=value"),
        (("nothing", "--model", "MODEL"), "no gallery at nothing"),
        (("GALLERY", "--model", "nothing.onnx"), "nothing.onnx"),
        (("GALLERY", "--model", "MODEL", "--photos"), "alignment"),
        (("GALLERY", "--model", "MODEL", "--rotations"), "--rotations"),
        (("GALLERY", "--model", "MODEL", "--token-name", "x"), "--new-token"),
        (("--new-token", "admin"), "--tokens"),
        (("--new-token", "root", "--tokens", "t.json", "--token-name", "x"), "root"),
    ],
)
def test_wrong_use_is_one_line(facever, gallery, model, tmp_path, monkeypatch, options, word):
    monkeypatch.chdir(tmp_path)
    names = {"GALLERY": gallery, "MODEL": model}
    status, out, err = facever("serve", *(names.get(one, one) for one in options))
    assert (status, out) == (2, "")
    assert word in err
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err


def test_no_garbage_is_searched_for_while_it_starts(facever, gallery, model, monkeypatch):
    seen = []

    def run(*_):
        seen.append((gc.isenabled(), gc.get_freeze_count() > 10_000))

    def load_app(_):
        seen.append(gc.isenabled())

    monkeypatch.setattr("facever.service.start.load_app", load_app)
    monkeypatch.setattr("facever.service.server.serve", run)
    try:
        assert facever("serve", gallery, "--model", model)[0] == 0
        assert seen == [False, (True, True)]
        monkeypatch.undo()
        assert facever("serve", "nothing", "--model", model)[0] == 2
        assert gc.isenabled()
    finally:
        gc.unfreeze()


def test_a_gallery_of_another_model_is_refused(facever, model, tmp_path):
    Gallery.create(tmp_path / "other", fingerprint="another", dimension=5).close()
    status, _, err = facever("serve", tmp_path / "other", "--model", model)
    assert status == 2
    assert "fingerprint" in err


def test_a_new_token_is_printed_once(facever, tmp_path):
    path = tmp_path / "tokens.json"
    asked = ("serve", "--new-token", "search", "--tokens", path, "--token-name", "door")
    status, out, err = facever(*asked)
    assert status == 0
    [token] = out.split()
    assert token not in err
    assert token not in path.read_text()
    assert facever(*asked)[0] == 2  # the name is taken


def test_a_missing_extra_is_one_line(facever, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    missing = lambda name, *more: None if name == "uvicorn" else find(name, *more)  # noqa: E731
    monkeypatch.setattr("importlib.util.find_spec", missing)
    status, _, err = facever("serve", "G", "--model", "M")
    assert status == 2
    assert "pip install 'facever[serve]'" in err
