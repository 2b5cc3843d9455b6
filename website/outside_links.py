"""Lets pages link to files of the repository outside `docs`: what they link to becomes part of the site.

The links are written as they are right in the repository, `../benchmarks/results/scan/README.md`. A hook of mkdocs.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))")
_DOCS = "docs/"


def targets(text: str, place: str) -> list[str]:
    """The paths in the repository of a page's relative links; `place` is its own path there."""
    found = [match[2] for match in _LINK.finditer(text) if "://" not in match[2]]
    return [posixpath.normpath(posixpath.join(posixpath.dirname(place), link)) for link in found]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what pages link to, and what those pages link to."""
    waiting = [_DOCS + file.src_uri for file in files.documentation_pages()]
    seen = set(waiting)
    while waiting:
        place = waiting.pop()
        for target in targets((ROOT / place).read_text(encoding="utf-8"), place):
            if target in seen or not (ROOT / target).is_file():
                continue
            seen.add(target)
            if target.startswith(_DOCS):
                continue
            files.append(File(target, str(ROOT), config.site_dir, config.use_directory_urls))
            if target.endswith(".md"):
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write links between the site's files as the site needs them."""
    here = page.file.src_uri
    place = _outside(here)

    def rewritten(match: re.Match[str]) -> str:
        if "://" in match[2]:
            return match[0]
        (target,) = targets(match[0], place)
        inside = target.removeprefix(_DOCS)
        return f"{match[1]}{posixpath.relpath(inside, posixpath.dirname(here) or '.')}{match[3]}"

    return _LINK.sub(rewritten, markdown)


def _outside(uri: str) -> str:
    """A page's path in the repository, from its path in the site."""
    return _DOCS + uri if (ROOT / "docs" / uri).is_file() else uri
