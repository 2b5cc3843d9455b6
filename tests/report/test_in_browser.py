"""The report in a real browser: what its script does, and what those who use no mouse or no eyes meet."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from earlybird.report.analysis import analyse
from earlybird.report.comparison import compare_runs
from earlybird.report.page.comparison_page import write_comparison
from earlybird.report.run import read_run

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, finished: Path) -> Iterator[Callable[..., Page]]:
    """Opens the report of a finished run; at the end nothing may have been said on the console."""
    said: list[str] = []
    contexts = []

    def open_report(**options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
        page.goto((finished / "report.html").as_uri())
        page.wait_for_selector("#norm .main-svg")
        return page

    yield open_report
    for context in contexts:
        context.close()
    assert said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
def test_axe_finds_no_violation_and_nothing_is_cut_off(
    opened: Callable[..., Page], scheme: str, viewport: dict[str, int]
) -> None:
    page = opened(viewport=viewport, color_scheme=scheme)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_long_labels_wrap_on_a_phone(opened: Callable[..., Page]) -> None:
    page = opened(viewport=PHONE)
    page.evaluate("document.querySelector('output').textContent = '14,999 (100.0%), heads and neurons have settled'")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_dark_mode_is_followed_while_the_page_is_open(opened: Callable[..., Page]) -> None:
    page = opened(color_scheme="light")
    title = page.locator("#norm .xtitle")
    expect(title).to_have_css("fill", "rgb(89, 97, 107)")
    page.emulate_media(color_scheme="dark")
    expect(title).to_have_css("fill", "rgb(163, 172, 183)")


def test_the_slider_moves_the_window_and_nothing_moves_by_itself(opened: Callable[..., Page]) -> None:
    page = opened()
    slider, label = page.locator("#norm-windows-heads-step"), page.locator("#norm-windows-heads-label")

    def shown() -> list[list[float]]:
        # The shaded window, the line within it, the point of its p-value.
        found: list[list[float]] = page.evaluate(
            "[0, 2, 4].map((index) => Array.from(document.getElementById('norm-windows-heads').data[index].x))"
        )
        return found

    slider.focus()
    page.keyboard.press("Home")
    first = shown()
    page.wait_for_timeout(300)
    assert shown() == first
    page.keyboard.press("ArrowRight")
    window, line, (last,) = shown()
    assert window[0] > first[0][0]
    assert (min(window), max(window)) == (line[0], line[1])
    assert label.inner_text().startswith(f"{int(last):,} (")
    assert last == line[1]


def test_a_unit_is_chosen_from_a_list(opened: Callable[..., Page]) -> None:
    page = opened()
    visible = "Array.from(document.getElementById('unit-regressions').data).map((trace) => trace.visible !== false)"
    before = page.evaluate(visible)
    page.locator("#unit-regressions-pick").select_option(index=2)
    after = page.evaluate(visible)
    assert sum(before) == sum(after) == 4
    assert before != after
    page.locator("#unit-regressions").focus()
    page.keyboard.press("End")
    expect(page.locator("#unit-regressions-readout")).to_have_text(re.compile(r"Step 1499: coefficient \S+; p \S+"))


@pytest.mark.parametrize("kind", ["heads", "neurons"])
def test_the_slider_shows_the_mask_of_its_step(opened: Callable[..., Page], finished: Path, kind: str) -> None:
    series = analyse(read_run(finished)).masks[kind]  # type: ignore[index]
    page = opened()
    slider, label, plot = page.locator(f"#masks-{kind}-step"), page.locator(f"#masks-{kind}-label"), f"masks-{kind}"
    assert label.inner_text().endswith("the draw")
    slider.focus()
    for key, at in (("Home", 0), ("ArrowRight", 1), ("End", -1)):
        page.keyboard.press(key)
        assert label.inner_text().split()[0] == f"{series.shown_steps[at]:,}"
        assert slider.get_attribute("aria-valuetext") == label.inner_text()
        if kind == "heads":
            cells = page.evaluate(f"document.getElementById('{plot}').data.map((trace) => trace.z)")
            kept_and_last, kept_alone = (np.array(cells[state]) == 1 for state in (1, 2))
            assert np.array_equal(kept_and_last | kept_alone, series.shown[at])
            assert np.array_equal(kept_and_last, series.shown[at] & series.shown[-1])
        else:
            bars = page.evaluate(f"document.getElementById('{plot}').data.map((trace) => trace.x)")
            assert np.allclose(np.sum(bars, axis=0), 100 * series.shown[at].mean(-1), atol=0.01)


def test_arrow_keys_read_a_plot(opened: Callable[..., Page]) -> None:
    page = opened()
    page.focus("#norm")
    page.keyboard.press("ArrowRight")
    assert page.locator("#norm-readout").inner_text().startswith("Step ")
    page.keyboard.press("Escape")
    assert page.locator("#norm-readout").inner_text() == ""


def test_a_layer_can_be_picked(opened: Callable[..., Page]) -> None:
    page = opened()
    visible = "document.getElementById('coefficients-heads').data.filter((trace) => trace.visible !== false).length"
    before = page.evaluate(visible)
    page.locator("#coefficients-heads-pick").select_option(index=1)
    assert 0 < page.evaluate(visible) < before


@pytest.mark.parametrize("lacking", ["scripts", "decompression"])
def test_a_browser_that_cannot_plot_shows_the_tables_and_says_so(
    browser: Browser, finished: Path, lacking: str
) -> None:
    context = browser.new_context(java_script_enabled=lacking != "scripts")
    context.add_init_script("delete window.DecompressionStream")
    page = context.new_page()
    page.goto((finished / "report.html").as_uri())
    expect(page.locator(".instead")).to_contain_text("their numbers stand in the tables")
    expect(page.locator(".plot").first).to_be_hidden()
    page.get_by_text("The same in numbers").first.click()
    expect(page.get_by_role("table", name="Nuclear norm of the masks, in numbers")).to_be_visible()
    expect(page.locator(".cost svg")).to_be_visible()
    context.close()


def test_the_sentence_on_plots_is_hidden_where_there_are_plots(opened: Callable[..., Page]) -> None:
    expect(opened().locator(".instead")).to_be_hidden()


@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
def test_the_first_screen_shows_accuracy_against_cost(opened: Callable[..., Page], viewport: dict[str, int]) -> None:
    box = opened(viewport=viewport).locator(".cost svg").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= viewport["height"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
def test_axe_finds_no_violation_in_two_runs_side_by_side(
    browser: Browser,
    finished: Path,
    tmp_path: Path,
    write_run: Callable[..., Any],
    scheme: str,
    viewport: dict[str, int],
) -> None:
    write_run(tmp_path / "other", steps=600, seed=1)
    written = write_comparison(compare_runs(finished, tmp_path / "other"), tmp_path / "page.html")
    page = browser.new_page(viewport=viewport, color_scheme=scheme)
    page.goto(written.as_uri())
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    page.close()
