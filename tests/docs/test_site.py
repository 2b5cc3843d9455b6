"""The documentation's site builds strictly, and needs no network when it is read."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from earlybird import SearchConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocstrings", reason="the extra docs is not installed")
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(target)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_pages_outside_the_docs_are_part_of_the_site(site: Path) -> None:
    assert "exact" in (site / "benchmarks/results/scan/index.html").read_text()
    assert "../benchmarks/detectors/comparison/" in (site / "choosing-a-detector/index.html").read_text()
    assert "../figure.png" in (site / "benchmarks/detectors/comparison/index.html").read_text()
    assert (site / "benchmarks/detectors/figure.png").is_file()


def test_the_reference_tells_the_help_of_every_setting(site: Path) -> None:
    page = re.sub(r"<[^>]+>", "", (site / "reference/index.html").read_text())
    told = " ".join(html.unescape(page).split())
    for field in fields(SearchConfig):
        assert field.metadata["help"].replace("`", "") in told


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        fetched = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"?(https?://[^\" >]+)", page.read_text())
        assert not fetched, f"{page.relative_to(site)} fetches {fetched}"


def test_every_link_of_the_site_leads_to_a_file_of_it(site: Path) -> None:
    for page in site.rglob("index.html"):
        for link in re.findall(r"<(?:a|img)[^>]+(?:src|href)=\"?([^\" >#]+)", page.read_text()):
            if "://" not in link and not link.startswith("mailto:"):
                target = (page.parent / link).resolve()
                assert target.exists(), f"{page.relative_to(site)} links to {link}"
