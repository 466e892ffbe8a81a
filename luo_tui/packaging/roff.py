# SPDX-License-Identifier: MIT
"""Manual pages: text, or Markdown, as the man(7) macros that man shows. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token


def page(name: str, section: int, date: str, source: str, body: Iterable[str]) -> str:
    """Return a whole page; ``date`` is ISO 8601, ``source`` the package and its version."""
    head = f'.TH {name.upper()} {section} "{date}" "{source}"'
    return "\n".join((head, ".nh", ".ad l", *body, ""))


def heading(text: str) -> Iterator[str]:
    """Yield the heading of a section."""
    yield f".SH {plain(text).upper()}"


def subheading(text: str) -> Iterator[str]:
    """Yield the heading of a part of a section."""
    yield f".SS {plain(text)}"


def paragraph(text: str) -> Iterator[str]:
    """Yield a paragraph; `names` between backquotes become bold."""
    yield ".PP"
    yield _line(inline(text))


def block(text: str) -> Iterator[str]:
    """Yield lines that are shown as they are."""
    yield ".PP"
    yield ".EX"
    yield from (_line(plain(line)) for line in text.rstrip("\n").split("\n"))
    yield ".EE"


def entry(term: str, text: str) -> Iterator[str]:
    """Yield one item of a list of terms and what they mean."""
    yield ".TP"
    yield _line(inline(term))
    yield _line(inline(text))


def plain(text: str) -> str:
    """Return text without a meaning for roff."""
    # A hyphen that is typed has to stay one, also where somebody copies it.
    return text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq")


def inline(text: str) -> str:
    """Return a line in which what stands between backquotes is bold."""
    parts = re.split(r"`([^`]+)`", text)
    return "".join(
        f"\\fB{plain(part)}\\fR" if odd % 2 else plain(part) for odd, part in enumerate(parts)
    )


def _line(text: str) -> str:
    # At its beginning a dot would be a request.
    return f"\\&{text}" if text.startswith(".") else text


def from_markdown(text: str) -> Iterator[str]:
    """Yield Markdown's headings, paragraphs, lists, tables and blocks, below one section."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    rows: list[list[str]] = []
    for index, token in enumerate(tokens):
        match token.type:
            case "heading_open":
                yield from subheading(_text(tokens[index + 1]))
            case "paragraph_open":
                yield from _paragraph(tokens, index)
            case "fence" | "code_block":
                yield from block(token.content)
            case "table_open":
                rows = []
            case "tr_open":
                rows.append([])
            case "th_open" | "td_open":
                rows[-1].append(_text(tokens[index + 1]))
            case "table_close":
                yield from _table(rows)


def _paragraph(tokens: Sequence[Token], index: int) -> Iterator[str]:
    text = _text(tokens[index + 1])
    if index and tokens[index - 1].type == "list_item_open":
        yield ".IP \\(bu 2"
        yield _line(inline(text))
    else:
        yield from paragraph(text)


def _text(token: Token) -> str:
    """Return the text of an inline token: names between backquotes, links as what they say."""
    said = []
    for child in token.children or ():
        if child.type == "code_inline":
            said.append(f"`{child.content}`")
        elif child.type in ("softbreak", "hardbreak"):
            said.append(" ")
        else:
            said.append(child.content)
    return "".join(said)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a table as a list of its first column, which any width of a terminal has room for."""
    titles, *lines = rows
    for first, *rest in lines:
        said = [
            f"{title}: {cell}" if title and len(rest) > 1 else cell
            for title, cell in zip(titles[1:], rest, strict=True)
            if cell
        ]
        yield from entry(first, "; ".join(said) or "-")
