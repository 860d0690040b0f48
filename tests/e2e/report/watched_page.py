"""A browser's page that remembers what it asked for, said and threw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page


class Watched:
    """A page that remembers what it asked for, said and threw."""

    def __init__(self, browser: Browser, **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page: Page = self.context.new_page()
        self.requests: list[str] = []
        self.troubles: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("dialog", lambda dialog: self.troubles.append(dialog.message))

    def open(self, report: Path, fragment: str = "") -> Page:
        self.page.goto(f"{report.as_uri()}{fragment}")
        return self.page

    def close(self) -> None:
        self.context.close()
