import builtins
import sys
import threading
from collections.abc import Iterator

import pytest

from facever.errors import GalleryError
from facever.gallery.index import faiss_import


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    faiss_import.import_faiss.cache_clear()
    yield
    faiss_import.import_faiss.cache_clear()


def test_faiss_is_imported() -> None:
    assert hasattr(faiss_import.import_faiss(), "knn")
    assert len(faiss_import.installed_wheels()) == 1


def threshold() -> int:
    return faiss_import.import_faiss().cvar.distance_compute_blas_threshold


def test_several_queries_are_compared_by_a_product_and_the_setting_is_restored() -> None:
    faiss = faiss_import.import_faiss()
    before = threshold()
    assert before > 1
    with faiss_import.products_by_blas(faiss, 3):
        assert threshold() == before
    with pytest.raises(ValueError, match="stop"), faiss_import.products_by_blas(faiss, 4):
        assert threshold() == 1
        with faiss_import.products_by_blas(faiss, 100):
            assert threshold() == 1
        assert threshold() == 1
        raise ValueError("stop")
    assert threshold() == before


def test_the_last_of_several_threads_restores_the_setting() -> None:
    faiss = faiss_import.import_faiss()
    before, inside, leave = threshold(), threading.Event(), threading.Event()

    def search() -> None:
        with faiss_import.products_by_blas(faiss, 4):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=search)
    thread.start()
    inside.wait(10)
    with faiss_import.products_by_blas(faiss, 4):
        leave.set()
        thread.join()
        assert threshold() == 1
    assert threshold() == before


def test_two_wheels_at_once_give_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_import.metadata, "version", lambda name: "1.15")
    monkeypatch.setattr(faiss_import, "WHEELS", ("faiss-cpu", "faiss-gpu"))
    with pytest.raises(GalleryError) as refusal:
        faiss_import.import_faiss()
    assert str(refusal.value) == (
        "faiss-cpu and faiss-gpu are both installed and overwrite each other: pip uninstall -y "
        "faiss-cpu faiss-gpu, then pip install 'facever[cpu]' or 'facever[gpu]'"
    )


@pytest.mark.parametrize(
    ("wheels", "message"),
    [
        ((), r"FAISS is not installed: pip install 'facever\[cpu\]', or 'facever\[gpu\]'"),
        (("faiss-cpu",), "faiss-cpu is installed but cannot be imported .*--force-reinstall"),
    ],
)
def test_no_faiss_gives_the_mend(
    monkeypatch: pytest.MonkeyPatch, wheels: tuple[str, ...], message: str
) -> None:
    real = builtins.__import__

    def no_faiss(name: str, *rest: object) -> object:
        if name == "faiss":
            raise ImportError("no faiss")
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "faiss", raising=False)
    monkeypatch.setattr(builtins, "__import__", no_faiss)
    monkeypatch.setattr(faiss_import, "installed_wheels", lambda: list(wheels))
    with pytest.raises(GalleryError, match=message):
        faiss_import.import_faiss()
