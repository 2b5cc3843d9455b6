"""The page of the package's index: its links lead into the repository, and all else stays as it was written."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "release/absolute_links.py"
LINKS, IMAGES = "https://host/page/v1", "https://host/raw/v1"
CODE = ("fence", "code_block", "code_inline")

absolute_links = runpy.run_path(str(SCRIPT))["absolute_links"]


def rewritten(text: str) -> str:
    return absolute_links(text, LINKS, IMAGES)


def tokens(text: str) -> list[Token]:
    """What a page consists of by another reader of Markdown."""
    found: list[Token] = []
    waiting = MarkdownIt("commonmark").enable("table").parse(text)
    while waiting:
        found.append(token := waiting.pop(0))
        waiting[:0] = token.children or []
    return found


def targets(text: str, attribute: str) -> list[str]:
    return [str(token.attrs[attribute]) for token in tokens(text) if attribute in token.attrs]


def code(text: str) -> list[str]:
    return [token.content for token in tokens(text) if token.type in CODE]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[a](docs/a.md)", f"[a]({LINKS}/docs/a.md)"),
        ("[a](docs)", f"[a]({LINKS}/docs)"),
        ("[a](./docs//a.md)", f"[a]({LINKS}/docs/a.md)"),
        ("[a](docs/a.md#part)", f"[a]({LINKS}/docs/a.md#part)"),
        ('[a](docs/a.md "A title")', f'[a]({LINKS}/docs/a.md "A title")'),
        ("[a](docs/a_(b).md)", f"[a]({LINKS}/docs/a_(b).md)"),
        ("[a](<docs/a b.md>)", f"[a]({LINKS}/docs/a%20b.md)"),
        ("[`a`](docs/a.md)", f"[`a`]({LINKS}/docs/a.md)"),
        ("[a\nb](docs/a.md)", f"[a\nb]({LINKS}/docs/a.md)"),
        ("![a](a.png)", f"![a]({IMAGES}/a.png)"),
        ("![a [b] c](a.png)", f"![a [b] c]({IMAGES}/a.png)"),
        ("[![a](a.png)](docs/a.md)", f"[![a]({IMAGES}/a.png)]({LINKS}/docs/a.md)"),
        ("[a][1]\n\n[1]: docs/a.md", f"[a][1]\n\n[1]: {LINKS}/docs/a.md"),
    ],
)
def test_a_relative_target_becomes_absolute(written: str, expected: str) -> None:
    assert rewritten(written) == expected


@pytest.mark.parametrize("target", ["#part", "https://host/a", "HTTP://host/a", "//host/a", "mailto:a@host", "<>"])
def test_anchors_and_absolute_targets_stay(target: str) -> None:
    assert rewritten(f"[a]({target}), ![a]({target})") == f"[a]({target}), ![a]({target})"


@pytest.mark.parametrize(
    "written",
    [
        "```\n[a](a.md)\n```",
        "~~~ text\n[a](a.md)\n```\n[a](a.md)\n~~~~",
        "````\n```\n[a](a.md)\n```\n[a](a.md)\n````",
        "- ```\n  [a](a.md)\n  ```",
        "> ```\n> [a](a.md)\n> ```",
        "```\n[a](a.md)",
        "`[a](a.md)`",
        "`` [a](a.md) ` [a](a.md) ``",
        "`[a](a.md)\n[a](a.md)`",
    ],
)
def test_code_stays(written: str) -> None:
    assert rewritten(written) == written


@pytest.mark.parametrize(
    "before",
    ["```\ncode\n```\n", "~~~\n```\n~~~\n", "`code` ", "``` a ``` ", "a ` alone\n\n", "- `a`\n\n", "```\na\n```\n\n`"],
)
def test_links_beside_code_are_rewritten(before: str) -> None:
    assert rewritten(f"{before}[a](a.md)") == f"{before}[a]({LINKS}/a.md)"


PIECES = (
    *("words", "# A heading", "- a point", "| a | b |\n| --- | --- |\n| [a](a.md) | ![b](b.png) |"),
    *("[a](a.md)", "![a](a.png)", "[![a](a.png)](a.md#b)", "[a](#b)", "[a](https://host/a)", "[a](b.md 'c')"),
    *(
        "```\n[a](a.md)\n```",
        "~~~~\n```\n[a](a.md)\n~~~~",
        "`[a](a.md)`",
        "see `a` and [`b`](b.md)",
        "``a`b`` [a](c.md)",
    ),
)


@given(st.lists(st.sampled_from(PIECES), max_size=8), st.sampled_from(["\n\n", "\n"]))
def test_whatever_a_page_consists_of_nothing_relative_is_left_and_code_stays(pieces: list[str], between: str) -> None:
    page = between.join(pieces)
    result = rewritten(page)
    assert all(re.match("https://|#", target) for target in targets(result, "href"))
    assert all(target.startswith(IMAGES) for target in targets(result, "src"))
    assert code(result) == code(page)
    assert [token.type for token in tokens(result)] == [token.type for token in tokens(page)]
    assert rewritten(result) == result


def test_of_our_own_readme_nothing_relative_is_left_and_every_target_exists() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    result = rewritten(page)
    assert not [token.content for token in tokens(page) if token.type.startswith("html")]
    assert code(result) == code(page)
    for attribute, base in (("href", LINKS), ("src", IMAGES)):
        assert any(target.startswith(base) for target in targets(result, attribute))
        for target in targets(result, attribute):
            assert urlsplit(target).scheme or target.startswith("#")
            if target.startswith(base):
                assert (ROOT / unquote(urlsplit(target.removeprefix(f"{base}/")).path)).exists(), target


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)


def test_the_page_goes_to_standard_output_or_into_a_file_even_its_own(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("é [a](a.md)\n", encoding="utf-8")
    options = ("--links", f"{LINKS}/", "--images", IMAGES)
    assert run(page, *options).stdout == f"é [a]({LINKS}/a.md)\n"
    done = run(page, *options, "--output", page)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert page.read_text(encoding="utf-8") == f"é [a]({LINKS}/a.md)\n"


@pytest.mark.parametrize(
    ("content", "links", "said"),
    [
        (b"[a](../a.md)", LINKS, "../a.md does not lie in the page's directory"),
        (b"[a](/a.md)", LINKS, "/a.md does not lie in the page's directory"),
        (b"[a](a.md)", "host/page", "a base must be an address such as https://host/path, got 'host/page'"),
        (b"\xff", LINKS, "can't decode byte"),
        (None, LINKS, "No such file"),
    ],
)
def test_an_error_is_one_sentence_and_status_2(content: bytes | None, links: str, said: str, tmp_path: Path) -> None:
    page, output = tmp_path / "page.md", tmp_path / "output.md"
    if content is not None:
        page.write_bytes(content)
    done = run(page, "--links", links, "--images", IMAGES, "--output", output)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not output.exists()
