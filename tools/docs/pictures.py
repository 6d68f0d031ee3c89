"""Take the pictures of the documents again, of generated faces: python -m tools.docs.pictures

It needs Chromium and Playwright (tools/browser.sh).
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
_COMMANDS = (
    "data synthesize PEOPLE --identities 40 --images 4 --size 112",
    "embed sface PEOPLE --crops --out EMBEDDINGS",
    "report EMBEDDINGS --far 1e-1 1e-2 --out report.html",
)


def take_report(out: Path) -> None:
    """Write the first screen of a report as a PNG file."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        for command in _COMMANDS:
            words = [sys.executable, "-m", "facever", *command.split()]
            subprocess.run(words, cwd=folder, check=True)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.goto((Path(folder) / "report.html").as_uri())
        out.parent.mkdir(exist_ok=True)
        page.screenshot(path=out)
        browser.close()


if __name__ == "__main__":
    take_report(PICTURES / "report.png")
