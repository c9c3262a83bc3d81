"""The few HTML elements that a report is made of. All text passes through `escape`; only what these functions build
is markup.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

__all__ = ["Section", "definitions", "escape", "figure", "grid", "image", "picture", "printable"]


@dataclass(frozen=True)
class Section:
    """A part of the page: its anchor, its heading, a sentence on how to read it, and its body (markup)."""

    anchor: str
    heading: str
    lede: str
    body: str

    def render(self) -> str:
        """Return the markup."""
        heading = f'<h2 id="{self.anchor}">{escape(self.heading)}</h2>'
        lede = f'<p class="lede">{escape(self.lede)}</p>'
        return f'<section aria-labelledby="{self.anchor}">\n{heading}\n{lede}\n{self.body}\n</section>'


def escape(text: object) -> str:
    """Make text safe inside elements and attributes."""
    return html.escape(printable(str(text)))


def printable(text: str) -> str:
    """Replace control characters, which no page may hold."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def figure(title: str, caption: str, body: str, *, swatch: str = "") -> str:
    """A card with a caption: a bold title (with the swatch of a colour class) and a line of explanation."""
    mark = f' class="{swatch}"' if swatch else ""
    words = f" {escape(caption)}" if caption else ""
    return f"<figure><figcaption><b{mark}>{escape(title)}</b>{words}</figcaption>{body}</figure>"


def picture(svg: str, alternative: str) -> str:
    """An inline SVG that a screen reader announces by its description."""
    return f'<div role="img" aria-label="{escape(alternative)}">{svg}</div>'


def image(address: str, alternative: str) -> str:
    """An image carried inside the page."""
    return f'<img src="{address}" alt="{escape(alternative)}">'


def grid(figures: list[str], columns: str = "") -> str:
    """Cards beside one another (`columns`: "" for three, "two", "one"), below one another on a phone."""
    return f'<div class="{("grid " + columns).strip()}">{"".join(figures)}</div>'


def definitions(css_class: str, facts: dict[str, str]) -> str:
    """A list of labelled facts."""
    rows = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for label, value in facts.items())
    return f'<dl class="{css_class}">{rows}</dl>' if facts else ""
