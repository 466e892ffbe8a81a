# SPDX-License-Identifier: MIT
"""The report of a window as one HTML file: readable without scripts, and loads nothing. Pure.

It says what the text says; the blackout is drawn as well, measured above
predicted, to one scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from luo_tui.update.history import PastWindow, RecordedBlackout
from luo_tui.update.report import sections

_WIDTH, _BAR, _GAP = 720, 26, 34
"""Pixels: the drawing's width, a bar's height, and from one bar to the next."""
_SHADES = ("#2f5f86", "#2f6b58", "#825400", "#6b4a8a", "#a8321f", "#3f6d12")
_STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem;
       color: #1d2327; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
ul { padding-left: 1.2rem; } li { overflow-wrap: anywhere; }
pre { background: #f2f3f0; padding: .8rem; overflow-x: auto; }
svg { width: 100%; height: auto; } svg text { font: 13px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) {
  body { color: #d3d7da; background: #14181b; } pre { background: #1d2327; }
  svg text { fill: #d3d7da; } }
@media print { body { max-width: none; } }
"""


def report_html(window: PastWindow) -> str:
    """Return the report as a whole HTML document."""
    title = f"Window {window.number or window.window} on {window.host or '?'}"
    return "\n".join((*_head(title), *_body(window, title), "</body>", "</html>", ""))


def _head(title: str) -> Iterator[str]:
    yield "<!DOCTYPE html>"
    yield '<html lang="en">'
    yield '<head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    # Nothing is loaded and nothing runs, whatever a name in it may say.
    yield (
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    )
    yield f"<title>{escape(title)}</title>"
    yield f"<style>\n{_STYLE}</style></head>"


def _body(window: PastWindow, title: str) -> Iterator[str]:
    yield "<body>"
    yield f"<h1>{escape(title)}</h1>"
    for section in sections(window):
        yield f"<h2>{escape(section.title)}</h2>"
        if section.verbatim:
            if window.blackout is not None:
                yield from _drawing(window.blackout, window.predicted)
            text = escape("\n".join(section.lines))
            yield f"<pre>{text}</pre>"
        else:
            yield "<ul>"
            yield from (f"<li>{escape(line)}</li>" for line in section.lines)
            yield "</ul>"


def _drawing(measured: RecordedBlackout, predicted: RecordedBlackout | None) -> Iterator[str]:
    """Draw both to one scale, each phase in its shade, with a legend that names the shades."""
    rows = [("measured", measured), *((("predicted", predicted),) if predicted else ())]
    scale = max(row.total for _, row in rows)
    names = [name for name, _ in measured.phases]
    height = len(rows) * _GAP + len(names) * 20 + 8
    said = "; ".join(f"{word} {row.total:,.1f} ms" for word, row in rows)
    yield (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(f"The blackout: {said}")}" xmlns="http://www.w3.org/2000/svg">'
    )
    for number, (word, row) in enumerate(rows):
        yield from _bar(word, row, names, scale, number * _GAP)
    for number, name in enumerate(names):
        y = len(rows) * _GAP + number * 20 + 14
        yield f'<rect x="100" y="{y - 11}" width="12" height="12" fill="{_shade(number)}"/>'
        yield f'<text x="118" y="{y}">{escape(name)}</text>'
    yield "</svg>"


def _bar(word: str, row: RecordedBlackout, names: list[str], scale: float, y: int) -> Iterator[str]:
    room = _WIDTH - 220
    yield f'<text x="0" y="{y + 18}">{word}</text>'
    x = 100.0
    for name, took in row.phases:
        width = took / scale * room if scale else 0.0
        number = names.index(name) if name in names else len(names)
        yield (
            f'<rect x="{x:.1f}" y="{y}" width="{max(width, 1.0):.1f}" height="{_BAR}" '
            f'fill="{_shade(number)}"><title>{escape(name)}: {took:,.1f} ms</title></rect>'
        )
        x += width
    yield f'<text x="{x + 8:.1f}" y="{y + 18}">{row.total:,.1f} ms</text>'


def _shade(number: int) -> str:
    return _SHADES[number % len(_SHADES)]
