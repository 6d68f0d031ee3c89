"""A small embedding set with pictures, a run folder, and a reader of pages."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from facever.core.seeding import stream
from facever.embeddings.embedding_set import EmbeddingMeta, EmbeddingSet

PEOPLE, SHOTS, WIDTH = 12, 4, 8
HOSTILE = '<script>alert("x")</script>&amp;\' onerror=1 $x^{'
_VOID = {"meta", "img", "br", "wbr", "hr", "input", "link"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    children: list["Element | str"] = field(default_factory=list)

    def all(self, tag: str) -> list["Element"]:
        found = [self] if self.tag == tag else []
        return found + [
            hit for child in self.children if isinstance(child, Element) for hit in child.all(tag)
        ]

    def of_class(self, tag: str, name: str) -> list["Element"]:
        return [e for e in self.all(tag) if name in (e.attributes.get("class") or "").split()]

    @property
    def text(self) -> str:
        return "".join(c if isinstance(c, str) else c.text for c in self.children)

    @property
    def clean(self) -> str:
        return " ".join(self.text.split())

    @property
    def numbers(self) -> list[float]:
        """The full values of the numbers shown, in order."""
        return [float(data.attributes["value"] or "") for data in self.all("data")]

    def table(self, caption: str) -> list["Element"]:
        """Return the rows of the one table whose caption begins so."""
        found = [t for t in self.all("table") if t.all("caption")[0].clean.startswith(caption)]
        assert len(found) == 1, [t.all("caption")[0].clean for t in self.all("table")]
        return found[0].all("tbody")[0].all("tr")

    def facts(self) -> dict[str, str]:
        """Return all names and values of fact lists."""
        rows = [row for facts in self.of_class("dl", "facts") for row in facts.all("div")]
        return {row.all("dt")[0].clean: row.all("dd")[0].clean for row in rows}


class Tree(HTMLParser):
    """Builds a tree and refuses whatever is not well-formed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("document", {})
        self.open = [self.root]
        self.declarations: list[str] = []

    def handle_decl(self, decl: str) -> None:
        self.declarations.append(decl)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"<{tag}> repeats an attribute"
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert any(e.tag == "svg" for e in self.open), f"<{tag}/> outside of an <svg>"
        self.open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_page(html: str) -> Element:
    """Parse a page; assert that it is well-formed and refers to nothing outside itself."""
    tree = Tree()
    tree.feed(html)
    tree.close()
    assert tree.open == [tree.root], f"never closed: {[e.tag for e in tree.open[1:]]}"
    assert tree.declarations == ["DOCTYPE html"]
    page = tree.root
    assert not page.all("script") + page.all("link") + page.all("iframe") + page.all("object")
    ids = [e.attributes["id"] for e in _everything(page) if "id" in e.attributes]
    assert len(ids) == len(set(ids)), "an id occurs twice"
    for element in _everything(page):
        assert not [name for name in element.attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            address = element.attributes.get(name)
            assert address is None or address.startswith(("data:image/jpeg;base64,", "#"))
            if address is not None and address.startswith("#"):
                assert address[1:] in ids, f"{address} leads nowhere"
        for value in element.attributes.values():
            for address in re.findall(r"url\(([^)]*)\)", value or ""):
                assert address[1:] in ids
    assert not re.search(r"https?://|url\(\s*['\"]?(?!#)|@import", html)
    return page


def _everything(page: Element) -> list[Element]:
    return [page] + [
        hit for child in page.children if isinstance(child, Element) for hit in _everything(child)
    ]


@pytest.fixture(scope="session", name="read_page")
def read_page_fixture() -> Callable[[str], Element]:
    return read_page


@pytest.fixture
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing, where a test is about something else: a figure takes a tenth of a second."""
    empty = '<svg viewBox="0 0 1 1" class="figure" role="img" aria-label="none"></svg>'
    monkeypatch.setattr("facever.render.html.svg", lambda drawing: empty)


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingSet:
    """12 people x 4 pictures of 40 x 30 pixels; one picture was not embedded, two are gone."""
    root = tmp_path_factory.mktemp("faces")
    random = stream(0, "report")
    people = np.repeat([f"person_{k:02d}" for k in range(PEOPLE)], SHOTS)
    centres = random.normal(size=(PEOPLE, WIDTH))
    vectors = np.repeat(centres, SHOTS, axis=0) + 0.8 * random.normal(size=(len(people), WIDTH))
    paths = [f"{name}/{k % SHOTS}.png" for k, name in enumerate(people)]
    for k, path in enumerate(paths):
        if k in (3, 17):
            continue
        (root / path).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(root / path), random.integers(0, 256, (40, 30, 3), np.uint8))
    made = EmbeddingSet.from_arrays(vectors, people, fingerprint="f" * 64, path=paths)
    rows, units = made.rows.copy(), made.vectors.copy()
    rows["error"] = rows["error"].astype(object)
    rows.loc[5, "error"], units[5] = f"truncated {HOSTILE}", 0
    meta = EmbeddingMeta("f" * 64, WIDTH, dataset="tiny", options={"flip": True}, root=str(root))
    others = pd.DataFrame({"identity": ["somebody"], "dataset": ["elsewhere"]})
    return replace(made, vectors=units, rows=rows, meta=meta, trained_on=others)


def record(kind: str, step: int, **values: Any) -> str:
    return json.dumps({"kind": kind, "step": step, "epoch": step // 10, **values}) + "\n"


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A training that has just finished, without its weights."""
    run = tmp_path / "run"
    run.mkdir()
    config = {
        "data": {"root": HOSTILE},
        "model": {
            "backbone": "resnet10t",
            "embedding_size": 256,
            "preprocessing": {"size": [64, 48]},
        },
        "heads": [{"name": "cosface", "margin": 0.35, "scale": 30.0}, {"name": "softmax"}],
        "batch": {"size": 16},
        "accumulation": 2,
        "epochs": 4,
        "best_by": "auc",
    }
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    lines = [
        record("train", k, loss=None if k == 20 else 9 / k, lr=1e-3 / k, seconds=k / 2)
        for k in range(10, 50, 10)
    ]
    for step, raw, ema in ((10, 0.7, 0.6), (20, 0.81234, 0.8), (40, 0.8, 0.79)):
        lines.append(record("development", step, weights="raw", auc=raw, **{"tar@1e-3": None}))
        lines.append(record("development", step, weights="ema", auc=ema, **{"tar@1e-3": 0.125}))
    (run / "metrics.jsonl").write_text("".join(lines))
    environment = {"versions": {"torch": "2.11.0"}, "processor": HOSTILE, "gpu": None}
    (run / "environment.json").write_text(json.dumps(environment))
    people = pd.DataFrame(
        {
            "identity": ["Ada", "Ben", "Cleo"],
            "dataset": ["lfw", "lfw", "lfw"],
            "images": [3, 4, 5],
            "use": ["train", "train", "development"],
        }
    )
    people.to_parquet(run / "identities.parquet")
    cv2.imwrite(str(run / "train_batch.png"), np.full((900, 900, 3), 128, np.uint8))
    return run
