# SPDX-License-Identifier: MIT
"""The pictures in screenshots/ show the program as it is."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]


def words(svg: str) -> str:
    """Return the text of a picture."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    return " ".join(html.unescape(" ".join(texts)).split())


def test_the_pictures_are_up_to_date(tmp_path: Path) -> None:
    make = ROOT / "screenshots" / "make.py"
    subprocess.run([sys.executable, str(make), str(tmp_path)], check=True, timeout=400)
    drawn = {p.name: words(p.read_text()) for p in tmp_path.glob("*.svg")}
    kept = {p.name: words(p.read_text()) for p in (ROOT / "screenshots").glob("*.svg")}
    assert drawn, "nothing was drawn"
    assert drawn == kept, "the program has changed: run `make screenshots` and look at them"


def test_the_recording_shows_one_picture_at_a_time() -> None:
    svg = (ROOT / "screenshots" / "update.svg").read_text()
    ElementTree.fromstring(svg)  # it is well formed
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "").replace(
        "https://www.textualize.io", ""
    ), "a picture loads nothing from elsewhere"
    frames = svg.count('<g class="frame ')
    turns = re.findall(r"@keyframes f\d+ \{ (.*) \}", svg)
    assert len(turns) == frames > 8
    ends = []
    for turn in turns:
        begin = re.findall(r"([\d.]+)% \{ visibility: visible \}", turn)
        end = re.findall(r"([\d.]+)% \{ visibility: hidden \}", turn)
        assert len(begin) == 1
        ends.append((float(begin[0]), float(end[-1]) if end and end[-1] != "0" else 100.0))
    assert ends[0][0] == 0.0
    assert [e for _, e in ends] == [*(b for b, _ in ends[1:]), 100.0]
    assert "prefers-reduced-motion" in svg
