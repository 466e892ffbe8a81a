# SPDX-License-Identifier: MIT
"""The pictures in screenshots/ show the program as it is."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def words(svg: str) -> str:
    """Return the text of a picture."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    return " ".join(html.unescape(" ".join(texts)).split())


def test_the_pictures_are_up_to_date(tmp_path: Path) -> None:
    make = ROOT / "screenshots" / "make.py"
    subprocess.run([sys.executable, str(make), str(tmp_path)], check=True, timeout=120)
    drawn = {p.name: words(p.read_text()) for p in tmp_path.glob("*.svg")}
    kept = {p.name: words(p.read_text()) for p in (ROOT / "screenshots").glob("*.svg")}
    assert drawn, "nothing was drawn"
    assert drawn == kept, "the program has changed: run `make screenshots` and look at them"
