"""Take a picture of a report in Chromium: ``python tests/e2e/report/screenshot.py REPORT.html PICTURE.png``."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start the distribution's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def take(
    browser: Browser,
    report: Path,
    picture: Path,
    *,
    fragment: str = "",
    width: int = 1280,
    height: int | None = None,
    scheme: Literal["light", "dark"] = "light",
) -> None:
    """Open ``report`` at ``fragment`` and save what is seen; without ``height`` the whole page."""
    context = browser.new_context(
        viewport={"width": width, "height": height or 900}, color_scheme=scheme, device_scale_factor=1.5
    )
    try:
        page = context.new_page()
        page.goto(f"{report.absolute().as_uri()}{fragment}")
        page.wait_for_timeout(400)
        page.screenshot(path=picture, full_page=height is None)
    finally:
        context.close()


def main() -> None:
    """Read the command line and take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--fragment", default="", help="such as #trial=ID")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=None, help="only so much of the page; default all of it")
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    arguments = parser.parse_args()
    with chromium() as browser:
        take(
            browser,
            arguments.report,
            arguments.picture,
            fragment=arguments.fragment,
            width=arguments.width,
            height=arguments.height,
            scheme=arguments.scheme,
        )


if __name__ == "__main__":
    main()
