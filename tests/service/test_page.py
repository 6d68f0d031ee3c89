"""The page in a browser (Chromium by Playwright; tools/browser.sh installs both)."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

from facever.faces.alignment import similarity_transform, template
from facever.gallery.gallery import Gallery
from facever.operating_point import OperatingPoint
from facever.service.app import create_app
from facever.service.service import Service
from facever.service.tokens import Tokens, new_token
from tests.http_photos import file_of, shot
from tests.squares import AlignedColours, SquareCropper, patch, photo

pytest.importorskip("playwright", reason="no Playwright: run tools/browser.sh")
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: run tools/browser.sh")

EVIL = '<img src=x onerror="window.evil=1">'


def point(**changes: Any) -> OperatingPoint:
    values: dict[str, Any] = {
        "threshold": 0.99,
        "target_rate": 1e-2,
        "achieved_rate": 5e-3,
        "trials": {"genuine": 10, "impostor": 1000},
        "dataset": "squares",
        "fingerprint": AlignedColours.fingerprint,
        "interval": {"low": 2e-3, "high": 2e-2, "method": "made up"},
    }
    return OperatingPoint.model_validate({**values, **changes})


class Server:
    """A service in a thread of this process."""

    def __init__(self, path: Path, tokens: Tokens | None = None) -> None:
        service = Service(AlignedColours(), path, cropper=SquareCropper)
        config = uvicorn.Config(create_app(service, tokens), port=0, log_level="error")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{port}/"

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *camera])
        yield made
        made.close()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Photos of a, b and c by name, another one of a, one of a and b, and one without a face."""
    both = photo((5, 10, 40, patch(ord("a"))), (60, 50, 30, patch(ord("b"))))
    made = {
        "a": shot("a"),
        "a again": shot("a", 3),
        "b": shot("b"),
        "c": shot("c"),
        "a and b": file_of(both),
        "nobody": file_of(photo()),
    }
    for name, content in made.items():
        (tmp_path / f"{name}.png").write_bytes(content)
    return {name: tmp_path / f"{name}.png" for name in made}


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    with Gallery.create(tmp_path / "gallery", AlignedColours()) as made:
        missed = {"low": 0.1, "high": 0.4, "method": "made up"}
        made.add_operating_point("pairs", point(miss_rate=0.2, miss_interval=missed))
        many = point(kind="1:N", score_rule="max", gallery_size=10)
        made.add_operating_point("door", many)
    return tmp_path / "gallery"


@pytest.fixture
def page(browser: Browser, gallery: Path) -> Iterator[Page]:
    """The page of a service; nothing may be logged, asked or thrown."""
    server = Server(gallery)
    context = browser.new_context(base_url=server.address)
    opened = context.new_page()
    opened.set_default_timeout(10_000)
    wrong: list[str] = []
    opened.on("console", lambda said: wrong.append(said.text))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("dialog", lambda dialog: (wrong.append("a dialog"), dialog.dismiss()))
    opened.goto("/")
    opened.wait_for_selector("#compare:not([hidden])")
    yield opened
    context.close()
    server.close()
    expected = ("status of 4", "status of 5")  # the browser logs refused requests itself
    assert [said for said in wrong if not any(one in said for one in expected)] == []


def enroll(page: Page, person: str, *images: Path) -> None:
    page.goto("/#people")
    page.locator("#people summary", has_text="Add a person").click()
    page.get_by_label("Id", exact=True).fill(person)
    page.get_by_label("Images").set_input_files(images)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#people h2")).to_have_text(person)


def choose(page: Page, *images: Path) -> None:
    places = page.locator("section:not([hidden]) .photo input[type=file]")
    for place, image in enumerate(images):
        places.nth(place).set_input_files(image)
        expect(page.locator("section:not([hidden]) .photo canvas").nth(place)).to_be_visible()


def compare(page: Page) -> str:
    page.get_by_role("button", name="Compare").click()
    return page.locator("#compare .verdict").inner_text()


def pixel(page: Page, selector: str, x: int, y: int) -> list[int]:
    read = "(c, [x, y]) => [...c.getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3)"
    return page.locator(selector).evaluate(read, [x, y])


def test_two_photos_are_compared_and_shown_as_aligned(page: Page, files) -> None:
    choose(page, files["a"], files["a again"])
    assert compare(page).startswith("Same person")
    crops = page.locator("#compare canvas.crop")
    expect(crops).to_have_count(2)
    assert pixel(page, "#compare .photo canvas >> nth=0", 25, 35) == patch(ord("a"))
    shown = page.locator("#compare").inner_text()
    for text in ("false match rate of at most 0.01", "squares", "0.005", "0.002 to 0.02", "1,000"):
        assert text in shown
    told = page.locator("svg.scale").get_attribute("aria-label")
    assert "threshold 0.9900" in told
    choose(page, files["a"], files["b"])
    assert compare(page).startswith("Different people")


def test_faces_are_aligned_as_by_the_service(page: Page) -> None:
    landmarks = np.random.default_rng(3).uniform(20, 90, (5, 2))
    landmarks[:, 0] += [0, 60, 30, 5, 55]
    find = "async (points) => Object.values((await import('/page/faces.js')).similarity(points))"
    a, b, c, d = page.evaluate(find, landmarks.tolist())
    wanted = similarity_transform(landmarks, template("arcface-112", 112))
    np.testing.assert_allclose([[a, -b, c], [b, a, d]], wanted, rtol=1e-3, atol=1e-3)


def test_a_photo_without_a_face_is_an_error_and_no_answer(page: Page, files) -> None:
    choose(page, files["a"], files["nobody"])
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#compare .fields .problem")).to_contain_text("no face found")
    assert page.locator("#compare .verdict").count() == 0


GIVE = """([place, name, bytes, how]) => {
  const file = new File([new Uint8Array(bytes)], name, { type: "image/png" });
  const data = new DataTransfer();
  data.items.add(file);
  const target = document.querySelectorAll("#compare .photo")[place];
  const all = { dataTransfer: data, clipboardData: data, bubbles: true, cancelable: true };
  const event = how === "drop" ? new DragEvent("drop", all) : new ClipboardEvent("paste", all);
  (how === "drop" ? target : document).dispatchEvent(event);
}"""


def test_photos_can_be_dropped_pasted_and_taken_with_the_camera(page: Page, files) -> None:
    content = list(files["a"].read_bytes())
    page.evaluate(GIVE, [0, "a.png", content, "drop"])
    page.evaluate(GIVE, [0, "a.png", content, "paste"])  # into the place that is empty
    expect(page.locator("#compare .photo canvas").nth(1)).to_be_visible()
    assert compare(page).startswith("Same person")
    page.get_by_role("button", name="Use the camera").nth(1).click()
    page.get_by_role("button", name="Take the photo").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#compare .verdict")).to_have_count(0)  # of other photos
    assert page.locator("#compare .photo canvas").nth(1).evaluate("c => c.width") > 100


def test_every_face_is_searched_and_a_stranger_is_unknown(page: Page, files) -> None:
    enroll(page, "a", files["a"], files["a again"])
    enroll(page, "b", files["b"])
    page.goto("/#search")
    choose(page, files["a and b"])
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#search .verdict")).to_have_text(["This is a", "This is b"])
    choose(page, files["c"])
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#search .verdict")).to_have_text(["Unknown: nobody in the gallery"])
    page.locator("#search td a").first.click()
    expect(page.locator("#people h2")).to_have_text(page.url.partition("#people/")[2])


def test_some_of_the_enrolled_images_are_searched(page: Page, files) -> None:
    enroll(page, "a", files["a"])
    enroll(page, "b", files["b"])
    adding = page.locator("#people details", has=page.get_by_text("Add images", exact=True))
    adding.locator("summary").click()
    adding.get_by_label("Images").set_input_files(files["a again"])
    adding.get_by_label("Camera").fill("hall")
    adding.get_by_label("Taken").fill("2026-11-01T12:00")
    adding.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#people table")).to_contain_text("hall")
    page.goto("/#search")
    choose(page, files["a"])
    page.locator("#search summary", has_text="some of the enrolled images").click()
    page.locator("#search").get_by_label("Camera").fill("hall")
    page.locator("#search").get_by_label("Taken from").fill("2026-11-01T11:00")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#search td a")).to_have_text(["b"])  # the image at b is from the hall
    page.locator("#search").get_by_label("Taken from").fill("2026-11-01T13:00")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#search .hint", has_text="0 people were searched")).to_be_visible()


def test_people_are_kept_up(page: Page, files, gallery: Path) -> None:
    enroll(page, "a", files["a"], files["a again"])
    enroll(page, "b", files["b"])

    def part(title: str) -> Any:
        found = page.locator("#people details", has=page.get_by_text(title, exact=True))
        found.locator("summary").click()
        return found

    def button(where: Any, name: str) -> None:
        where.get_by_role("button", name=name, exact=True).click()

    metadata = part("Metadata")
    metadata.get_by_label("Key", exact=True).fill("site")
    metadata.get_by_label("Value").fill("door 1")
    button(metadata, "Set")
    expect(page.locator("#people dl")).to_contain_text("door 1")
    page.get_by_role("link", name="All people").click()
    page.get_by_label("Metadata: key").fill("site")
    page.get_by_label("Value").fill("door 1")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#people .grid li")).to_have_count(1)
    page.get_by_label("Person's id").fill("a")
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#people tbody tr")).to_have_count(2)
    page.locator("#people tbody input").first.check()
    split = part("Split")
    split.get_by_label("New id").fill("d")
    button(split, "Split the chosen images")
    expect(page.locator("#people h2")).to_have_text("d")
    merge = part("Merge")
    merge.get_by_label("Into the id").fill("b")
    button(merge, "Merge")
    button(page.get_by_role("dialog"), "Merge")
    expect(page.locator("#people h2")).to_have_text("b")
    rename = part("Rename")
    rename.get_by_label("New id").fill("e/f?g")
    button(rename, "Rename")
    expect(page.locator("#people h2")).to_have_text("e/f?g")
    page.locator("#people tbody input").first.check()
    remove = part("Remove images")
    button(remove, "Remove the chosen images")
    button(page.get_by_role("dialog"), "Remove")
    expect(page.locator("#people tbody tr")).to_have_count(1)
    with page.expect_download() as download:
        button(part("Export"), "Export")
    assert download.value.suggested_filename == "person.zip"
    erase = part("Remove the person")
    button(erase, "Remove the person")
    button(page.get_by_role("dialog"), "Cancel")
    button(erase, "Remove the person")
    button(page.get_by_role("dialog"), "Remove")
    expect(page.locator("#people")).to_contain_text("No people")  # the filter is still there
    page.get_by_label("Metadata: key").fill("")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#people .grid li")).to_have_count(1)
    page.goto("/#gallery")
    button(page.locator("#gallery"), "Purge")
    button(page.get_by_role("dialog"), "Purge")
    expect(page.locator("#status")).to_contain_text("rewritten")
    with Gallery.open(gallery) as opened:
        assert [(one.person, one.images) for one in opened.people()] == [("a", 1)]


def test_kept_crops_are_shown(page: Page, files, gallery: Path) -> None:
    enroll(page, "a", files["a"])
    assert page.locator("#people img").count() == 0
    with Gallery.open(gallery) as opened:
        opened.set_keep_crops(True)
    enroll(page, "a", files["a again"])
    crop = page.get_by_role("img", name="Crop of image 2")
    expect(crop).to_have_js_property("naturalWidth", 16)
    assert page.locator("#people img").count() == 1


def test_ids_and_metadata_are_shown_as_text_and_never_run(page: Page, files, gallery) -> None:
    with Gallery.open(gallery) as opened:
        opened.add_person(EVIL, {"note": EVIL, EVIL: "x"})
    enroll(page, f"{EVIL} 2", files["a"])
    page.get_by_role("link", name="All people").click()
    page.get_by_role("button", name=EVIL).first.click()
    expect(page.locator("#people h2")).to_have_text(EVIL)
    assert page.locator("#people dl").inner_text().count(EVIL) == 2
    page.goto("/#search")
    choose(page, files["a"])
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#search .verdict")).to_have_text([f"This is {EVIL} 2"])
    assert page.evaluate("window.evil") is None
    assert page.locator("img").count() == 0


def test_the_page_works_by_keyboard_alone(page: Page, files) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    for _ in range(4):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # Gallery is the last of the four
    points = page.locator("#gallery .panel")
    expect(points).to_have_count(2)
    expect(points.filter(has_text="pairs")).to_contain_text("95 %: 0.1 to 0.4")
    expect(points.filter(has_text="door")).to_contain_text("not recorded")
    page.goto("/#compare")
    choose(page, files["a"], files["b"])
    page.locator("#compare select").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#compare .verdict")).to_be_visible()


def test_a_phone_shows_all_without_scrolling_sideways(page: Page, files, gallery) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    long = "w" * 120
    with Gallery.open(gallery) as opened:
        opened.add_person(long, {long: long})
        opened.add_operating_point(long, point())
    enroll(page, "a", files["a"])
    page.goto("/#compare")
    choose(page, files["a"], files["a again"])
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#compare .verdict")).to_be_in_viewport()
    page.goto("/#search")
    choose(page, files["a"])
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#search .verdict")).to_be_in_viewport()
    for part, ready in {
        "compare": ".verdict",
        "search": ".verdict",
        "people": ".grid",
        "people/a": "h2",
        f"people/{long}": "h2",
        "gallery": ".panel >> nth=2",
    }.items():
        page.goto(f"/#{part}")
        page.wait_for_selector(f"#{part.partition('/')[0]} {ready}")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 320, part


def test_nothing_serious_is_found_by_axe(page: Page, files, gallery: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with Gallery.open(gallery) as opened:
        opened.set_keep_crops(True)
    enroll(page, "a", files["a"])
    ready = {"people": ".grid", "people/a": "#people h2", "gallery": "#gallery .panel"}
    for part in ("compare", "search", "people", "people/a", "gallery"):
        page.goto(f"/#{part}")
        page.wait_for_selector(ready.get(part, f"#{part}:not([hidden])"))
        if part in ("compare", "search"):
            choose(page, *[files["a"]] * (2 if part == "compare" else 1))
            page.locator(f"#{part} button.main").click()
            page.wait_for_selector(f"#{part} .verdict")
        for details in page.locator("section:not([hidden]) details").all():
            details.evaluate("one => one.open = true")
        found = axe.run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_a_token_is_asked_for_where_the_service_needs_one(
    browser: Browser, gallery: Path, tmp_path: Path
) -> None:
    token = new_token(tmp_path / "tokens.json", "search", "door")
    server = Server(gallery, Tokens(tmp_path / "tokens.json"))
    context = browser.new_context(base_url=server.address)
    page = context.new_page()
    page.goto("/#gallery")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Use this token").click()
    expect(page.locator("#token .problem")).to_contain_text("unknown")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Use this token").click()
    expect(page.locator("#gallery dl").first).to_be_visible()
    page.goto("/#people")
    expect(page.locator("#people > .problem")).to_contain_text("the token has role search")
    context.close()
    server.close()


def test_the_page_is_only_its_own(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    answer = page.reload(wait_until="networkidle")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    own = page.url.partition("#")[0]
    assert all(url.startswith(own) for url in asked)


def test_the_log_of_uses_is_shown(page: Page, files) -> None:
    enroll(page, "a", files["a"])
    page.goto("/#search")
    choose(page, files["a again"])
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#search .verdict")).to_have_text(["This is a"])
    page.goto("/#gallery")
    page.get_by_role("button", name="Show the newest 100").click()
    row = page.locator("#gallery table", has_text="who asked").locator("tbody tr").first
    expect(row).to_contain_text("search")
    expect(row).to_contain_text("known")
