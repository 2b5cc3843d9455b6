"""Small pieces of HTML; whatever comes in as text is escaped here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

# Elements that hold nothing and have no end.
_VOID = frozenset({"input"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def html(value: object) -> Markup:
    """Anything as HTML: text is escaped, markup stays as it is."""
    return value if isinstance(value, Markup) else Markup(escape(str(value)))


def joined(parts: Iterable[object], separator: str = "\n") -> Markup:
    """Several pieces one after the other."""
    return Markup(separator.join(html(part) for part in parts))


def element(name: str, *content: object, **attributes: object) -> Markup:
    """One element; an attribute's trailing underscore is dropped and other underscores become hyphens.

    >>> element("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    end = "" if name in _VOID else f"</{name}>"
    return Markup(f"<{name}{written}>{joined(content, '')}{end}")


def table(caption: object, columns: Sequence[object], rows: Sequence[Sequence[object]]) -> Markup:
    """A table with a caption, whose first row and first column are headers."""
    head = element("tr", *(element("th", column, scope="col") for column in columns))
    body = joined(
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in rest))
        for first, *rest in rows
    )
    return element(
        "table", element("caption", element("span", caption)), element("thead", head), element("tbody", body)
    )


def scrollable(content: object, label: str) -> Markup:
    """What may be wider than a phone: scrolls by itself, by keyboard too."""
    return element("div", content, class_="scroll", tabindex=0, role="region", aria_label=label)


def details(summary: str, content: object) -> Markup:
    """What only some readers want."""
    return element("details", element("summary", summary), content)
