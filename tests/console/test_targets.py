# SPDX-License-Identifier: MIT
"""The choice of a target: from the list, or by the path of an image or of an initrd."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from luo_tui.console.console import Console
from luo_tui.console.screens.help import Help
from luo_tui.console.screens.target import TargetScreen
from luo_tui.console.screens.walk import WalkScreen
from luo_tui.console.widgets.field import Field
from tests.console.stage import Bench, flat, press, settle, text


async def typed(app: Console, pilot: Pilot[Any], image: str = "", initrd: str = "") -> None:
    """Write into the lines for paths, and press Enter there."""
    screen = app.screen
    assert isinstance(screen, TargetScreen)
    for name, path in (("image", image), ("initrd", initrd)):
        screen.query_one(f"#{name}", Field).value = path
    screen.query_one("#initrd", Field).focus()
    await press(pilot, "enter")
    while screen.is_current and screen._reading:
        await pilot.pause(0.01)
    await settle(pilot)


async def test_the_marked_image_goes_with_another_initrd(bench: Bench, tmp_path: Path) -> None:
    initrd = tmp_path / "initramfs-linux.img"
    initrd.write_bytes(b"x")
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "t", "tab", "tab", *str(initrd)[:3])
        await typed(app, pilot, initrd=str(initrd))
        assert isinstance(app.screen, WalkScreen)
        target = app.view.facts.image
        assert target is not None
        assert target.initrd == str(initrd)
        assert target.release == "7.3.4-hv"
        assert "initramfs-linux.img" in text(app)


async def test_a_kernel_of_a_boot_entry_is_listed_and_goes_with_the_entrys_initrd(
    bench: Bench,
) -> None:
    boot = bench.folder / "boot"
    listed = next(boot.glob("vmlinuz-7.3.4*"))
    own = boot / "abc"
    own.mkdir()
    listed.rename(own / "linux")
    (own / "joined.img").write_bytes(b"x")
    (boot / "loader/entries").mkdir(parents=True)
    (boot / "loader/entries/abc.conf").write_text(
        "title Of an entry\nlinux /abc/linux\ninitrd /abc/joined.img\n"
    )
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "t")
        assert "Of an entry" in text(app)
        await press(pilot, "enter")
        await settle(pilot)
        target = app.view.facts.image
        assert target is not None
        assert (target.path, target.initrd) == (str(own / "linux"), str(own / "joined.img"))


async def test_an_image_is_named_by_its_path(bench: Bench, tmp_path: Path) -> None:
    listed = next((bench.folder / "boot").glob("vmlinuz-7.3.4*"))
    image = tmp_path / "my-kernel"
    image.write_bytes(listed.read_bytes())
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "t")
        await typed(app, pilot, image=str(image))
        target = app.view.facts.image
        assert target is not None
        assert (target.path, target.release, target.initrd) == (str(image), "7.3.4-hv", "")


@pytest.mark.parametrize("line", ["image", "initrd"])
async def test_what_cannot_be_taken_is_said_and_nothing_is_chosen(
    bench: Bench, tmp_path: Path, line: str
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    app = bench.console()
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "t")
        for path, said in (
            ("/nonexistent/vmlinuz", "No such file or directory"),
            (str(tmp_path), "is a directory"),
            (str(pipe), "no ordinary file"),
            ("~nosuchuser/x", "no such user"),
            ("vmlinuz", "type the whole path"),
            ("/" + "x" * 300, "too long"),
            ("[red]/x[/]", "[red]/x[/]: type the whole path"),
        ):
            await typed(app, pilot, **{line: path})
            assert isinstance(app.screen, TargetScreen), path
            assert said in flat(app), path
        await press(pilot, "escape")
        assert app.view.facts.image is None


async def test_a_file_that_is_no_kernel_is_said_to_be_none(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "words"
    file.write_text("no kernel at all")
    app = bench.console()
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "t")
        await typed(app, pilot, image=str(file))
        assert isinstance(app.screen, TargetScreen)
        assert "is not a kernel image" in flat(app)


async def test_an_image_that_cannot_be_loaded_is_not_taken(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "t", "down", "down")
        assert "> vmlinuz-7.4.0-rc1" in text(app)
        await press(pilot, "enter")
        assert isinstance(app.screen, TargetScreen)
        assert "is cut short: 1087 of 1088 bytes are there. Choose another image." in flat(app)
        await press(pilot, "up", "enter")
        assert isinstance(app.screen, WalkScreen)


async def test_what_was_read_behind_the_help_is_not_lost(bench: Bench, tmp_path: Path) -> None:
    initrd = tmp_path / "initrd"
    initrd.write_bytes(b"x")
    app = bench.console()
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "t")
        screen = app.screen
        assert isinstance(screen, TargetScreen)
        screen.query_one("#initrd", Field).value = str(initrd)
        screen.action_choose()
        app.action_help()
        await pilot.pause(0.2)
        assert isinstance(app.screen, Help)
        await press(pilot, "escape", "enter")
        await pilot.pause(0.2)
        assert isinstance(app.screen, WalkScreen)


async def test_a_click_chooses_where_it_points(bench: Bench) -> None:
    app = bench.console()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "t")
        row = next(y for y, line in enumerate(text(app).splitlines()) if "runs now" in line)
        await pilot.click(offset=(10, row))
        await settle(pilot)
        assert isinstance(app.screen, WalkScreen)
        assert app.view.facts.image is not None
        assert app.view.facts.image.release == "7.3.3-hv"
