"""Makes the relative links and images of a Markdown page absolute, for readers who see it outside the repository.

    python release/absolute_links.py README.md --links BASE --images BASE [--output FILE]

Each BASE is the address of the page's own directory. Anchors, absolute links, and code between fences or backticks
stay as they are. A reference definition (`[name]: path`) counts as a link.
"""

from __future__ import annotations

import argparse
import posixpath
import re
import sys
from pathlib import Path

_PART = re.compile(
    r"""
    ^[ \t>]*(?:[-*+][ ]|\d+[.)][ ])?(?P<fence>`{3,}(?=[^`\n]*$)|~{3,}).*?(?:^[ \t>]*(?P=fence)[`~]*[ \t]*$|\Z)
    | (?<!`)(?P<ticks>`+)(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)(?P=ticks)(?!`)
    | (?P<before>(?P<image>!\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(\s*) | \]\(\s* | ^[ ]{0,3}\[(?!\^)[^\[\]]+\]:[ \t]*)
      (?P<target><[^<>\n]*>|(?:[^\s()<>]|\([^\s()]*\))+)
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#", re.IGNORECASE)


def absolute_links(text: str, links: str, images: str) -> str:
    """A page's Markdown without relative links.

    Raises:
        ValueError: a base is no absolute address, or a target lies outside of the page's directory.
    """
    for base in (links, images):
        if not re.match(r"https?://\w", base):
            raise ValueError(f"a base must be an address such as https://host/path, got {base!r}")

    def rewritten(part: re.Match[str]) -> str:
        target = (part["target"] or "#").strip("<>")
        if not target or _ABSOLUTE.match(target):
            return part[0]
        relative, mark, rest = re.split(r"([?#]|$)", target.replace(" ", "%20"), maxsplit=1)
        path = posixpath.normpath(relative)
        if path.startswith(("..", "/")):
            raise ValueError(f"{target} does not lie in the page's directory, so that no base leads to it")
        return f"{part['before']}{(images if part['image'] else links).rstrip('/')}/{path}{mark}{rest}"

    return _PART.sub(rewritten, text)


def main() -> int:
    """Rewrite the page that the command line names; the exit status."""
    parser = argparse.ArgumentParser(description="Make relative links and images absolute.")
    parser.add_argument("page", type=Path, help="the Markdown file")
    parser.add_argument("--links", required=True, metavar="BASE", help="address that links are relative to")
    parser.add_argument("--images", required=True, metavar="BASE", help="address that images are relative to")
    parser.add_argument("--output", type=Path, metavar="FILE", help="standard output where it is not given")
    options = parser.parse_args()
    try:
        written = absolute_links(options.page.read_text(encoding="utf-8"), options.links, options.images).encode()
        if options.output:
            options.output.write_bytes(written)
        else:
            sys.stdout.buffer.write(written)
    except (OSError, ValueError) as error:
        print(f"{options.page} cannot be rewritten: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
