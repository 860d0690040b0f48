"""The HTML report in a real browser: it opens from disk, is safe, and can be read by everyone."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from synthetic_run import HOSTILE, Ending, Shape, build_run, demo_like, player
from watched_page import Watched

from harness.analysis import Tables, analyse
from harness.report import write_report

pytestmark = pytest.mark.browser


@dataclass(frozen=True, kw_only=True)
class Made:
    path: Path
    tables: Tables

    def trial(self, candidate: str) -> str:
        return next(row.trial for row in self.tables.trials if row.candidate == candidate)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("demo"), Shape())


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Made:
    shape = Shape(
        tasks=(HOSTILE, "b"),
        candidates=(player(f"A{HOSTILE}"), player("B", note=HOSTILE)),
        name=HOSTILE,
        host=HOSTILE,
    )
    return make(tmp_path_factory.mktemp("hostile"), shape, text=HOSTILE)


@pytest.fixture(scope="session")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("beside"), Shape(), budget=0)


def make(folder: Path, shape: Shape, *, text: str = "", budget: int | None = None) -> Made:
    def decide(task: str, candidate: str, repeat: int) -> Ending:
        ending = demo_like(task, candidate, repeat)
        return Ending(how=ending.how, turns=ending.turns, text=text, flags=(text,) if text else ())

    store = build_run(folder / "run", decide, shape)
    tables = analyse(store)
    write_report(tables, store, folder / "report.html", budget_bytes=budget)
    return Made(path=folder / "report.html", tables=tables)


def overflow(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def test_it_opens_from_disk_with_every_part_and_without_a_complaint(watched: Watched, demo: Made) -> None:
    page = watched.open(demo.path)
    expect(page.locator("h1")).to_contain_text("Pick careful (scripted player): it solved 100 %")
    for title in ("Same conditions", "What became of the plan", "Leaderboard", "Differences", "Task by task"):
        expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="Controls", exact=True)).to_be_visible()
    assert watched.troubles == []
    assert watched.requests == [demo.path.as_uri()]


def test_a_link_with_a_trial_in_it_opens_that_trial(watched: Watched, demo: Made) -> None:
    page = watched.open(demo.path, f"#trial={demo.trial('hasty')}")
    expect(page.locator("#trial h2")).to_have_text("demo/migrate-parsimonious")
    expect(page.locator("#trial .who")).to_have_text("hasty (scripted player), repeat 1")
    expect(page.locator("#report")).to_be_hidden()
    expect(page.locator("#turn-3")).to_be_visible()
    expect(page.locator(".diff .add").first).to_be_visible()
    assert watched.troubles == []


def test_a_link_can_point_at_a_turn(watched: Watched, demo: Made) -> None:
    page = watched.open(demo.path, f"#trial={demo.trial('careful')}&turn=5")
    expect(page.locator("#turn-5")).to_be_in_viewport()


def test_trials_open_and_close_by_keyboard_and_the_focus_comes_back(watched: Watched, demo: Made) -> None:
    page = watched.open(demo.path)
    mark = page.locator("#grid a.mark").first
    mark.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#trial h2")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#report")).to_be_visible()
    expect(mark).to_be_focused()
    expect(page.locator("#trial")).to_be_hidden()


def test_going_from_trial_to_trial_needs_no_way_back(watched: Watched, demo: Made) -> None:
    page = watched.open(demo.path, f"#trial={demo.trial('careful')}")
    page.locator(".siblings a", has_text="hasty 2").click()
    expect(page.locator("#trial .who")).to_have_text("hasty (scripted player), repeat 2")
    page.go_back()
    expect(page.locator("#trial .who")).to_have_text("careful (scripted player), repeat 1")


def test_an_unknown_trial_says_so(watched: Watched, demo: Made) -> None:
    page = watched.open(demo.path, "#trial=nothing")
    expect(page.locator("#trial")).to_contain_text("no page for this trial")


def test_hostile_text_is_text_on_every_page(watched: Watched, hostile: Made) -> None:
    page = watched.open(hostile.path)
    expect(page.locator("h1")).to_be_visible()
    for row in hostile.tables.trials:
        page.evaluate("key => { location.hash = `#trial=${key}` }", row.trial)
        expect(page.locator("#trial .eyebrow")).to_have_text(f"trial {row.trial}")
        if row.agent == "loop":
            expect(page.locator("#turn-1 .said")).to_contain_text("<script>window.hacked=1;")
            expect(page.locator("#turn-1 .said")).to_contain_text("⟦U+202E⟧dlrow")
            assert page.locator("#trial img").count() == (1 if (row.turns or 0) >= 3 else 0)
    assert page.evaluate("window.hacked") is None
    assert page.title() != "hacked"
    assert watched.requests == [hostile.path.as_uri()]
    assert watched.troubles == []


def test_the_policy_stops_a_script_that_got_in_all_the_same(watched: Watched, demo: Made, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    text = demo.path.read_text(encoding="utf-8")
    attack = (
        '<script>window.hacked=1</script><img src="http://evil.invalid/x.png"><p style="color:red" onclick="x()">'
    )
    broken.write_text(text.replace("<footer>", f"{attack}<footer>"), encoding="utf-8")
    page = watched.open(broken)
    expect(page.locator("h1")).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in trouble for trouble in watched.troubles)


@pytest.mark.parametrize("watched", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_verdict_and_tables_are_there_and_the_reader_is_told(watched: Watched, demo: Made) -> None:
    page = watched.open(demo.path)
    expect(page.locator("h1")).to_be_visible()
    expect(page.get_by_text("Scripts are off")).to_be_visible()
    expect(page.locator("#leaderboard tbody tr")).to_have_count(2)
    expect(page.locator("#theme")).to_be_hidden()


@pytest.mark.parametrize("watched", [{"java_script_enabled": False}], indirect=True)
def test_pages_beside_the_report_need_no_scripts(watched: Watched, beside: Made) -> None:
    page = watched.open(beside.path)
    page.locator("#grid a.mark").first.click()
    expect(page.locator("h2#trial-title")).to_be_visible()
    expect(page.locator("#turn-1")).to_be_visible()
    page.locator(".back a").click()
    expect(page.locator("h1")).to_be_visible()
    assert watched.troubles == []


def test_a_link_to_a_trial_beside_the_report_leads_there(watched: Watched, beside: Made) -> None:
    page = watched.open(beside.path, f"#trial={beside.trial('hasty')}")
    page.locator("#trial a", has_not_text="Report").click()
    expect(page.locator(".who")).to_have_text("hasty (scripted player), repeat 1")


@pytest.mark.parametrize("watched", [{"viewport": {"width": 320, "height": 700}}], indirect=True)
@pytest.mark.parametrize("which", ["demo", "hostile"])
def test_at_320_pixels_nothing_scrolls_sideways(
    watched: Watched, which: str, request: pytest.FixtureRequest
) -> None:
    made: Made = request.getfixturevalue(which)
    page = watched.open(made.path)
    expect(page.locator("h1")).to_be_visible()
    assert overflow(page) <= 0
    page.evaluate("key => { location.hash = `#trial=${key}` }", made.trial(made.tables.leaderboard[0].candidate))
    expect(page.locator("#trial h2")).to_be_visible()
    assert overflow(page) <= 0


@pytest.mark.parametrize("watched", [{"color_scheme": "dark"}], indirect=True)
def test_it_is_dark_where_the_system_is_and_the_choice_can_be_changed(watched: Watched, demo: Made) -> None:
    page = watched.open(demo.path)
    assert brightness(page) < 60
    page.get_by_role("button", name="Theme").click()
    assert brightness(page) > 200
    page.reload()
    assert brightness(page) > 200


def brightness(page: Page) -> int:
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return int(color.removeprefix("rgb(").split(",")[0])


@pytest.mark.parametrize("watched", [{"color_scheme": "dark"}], indirect=True)
def test_it_prints_light_with_everything_unfolded(watched: Watched, demo: Made, tmp_path: Path) -> None:
    page = watched.open(demo.path)
    page.emulate_media(media="print")
    assert brightness(page) > 250
    page.pdf(path=tmp_path / "r.pdf", format="A4")
    assert (tmp_path / "r.pdf").stat().st_size > 20_000
    expect(page.locator("#theme")).to_be_hidden()
    expect(page.locator("#conditions details .method")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_in_both_themes(watched: Watched, demo: Made, scheme: str) -> None:
    page = watched.open(demo.path)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    poor = page.evaluate(CONTRAST)
    page.evaluate("key => { location.hash = `#trial=${key}` }", demo.trial("hasty"))
    expect(page.locator("#trial h2")).to_be_visible()
    poor += page.evaluate(CONTRAST)
    assert poor == []


CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const parts = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * x + .7152 * y + .0722 * z;
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const found = parts(getComputedStyle(e).backgroundColor);
      if (found[3] === 255) return found;
    }
    return parts("white");
  };
  const poor = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("script, svg, .skip")) continue;
    const [a, b] = [light(parts(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) poor.add(`${element.className || element.tagName}: ${ratio.toFixed(2)}`);
  }
  return [...poor];
}"""


def test_it_has_landmarks_headings_in_order_and_names_for_what_can_be_used(watched: Watched, demo: Made) -> None:
    page = watched.open(demo.path)
    levels = page.evaluate(
        """[...document.querySelectorAll("h1,h2,h3,h4")]
        .filter((heading) => heading.checkVisibility()).map((heading) => +heading.tagName[1])"""
    )
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    names = page.evaluate(
        """[...document.querySelectorAll("a,button,summary")]
        .map((element) => element.getAttribute("aria-label") || element.textContent)"""
    )
    assert all(name.strip() for name in names)
    ids = page.evaluate("""[...document.querySelectorAll("[id]")].map((e) => e.id)""")
    assert len(ids) == len(set(ids))
    assert page.evaluate("document.documentElement.lang") == "en"
    expect(page.locator("main")).to_have_count(2)
    expect(page.get_by_role("main")).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
