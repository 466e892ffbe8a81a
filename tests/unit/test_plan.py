# SPDX-License-Identifier: MIT
"""A plan's file: what it may say, and what is said of one that is wrong."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luo_tui.model import KernelImage
from luo_tui.uapi.command_line import parameters, with_added
from luo_tui.update.hook import SECONDS, Hook, HookPoint
from luo_tui.update.plan import BadPlan, Plan, changes, parse_plan, plan_lines, plan_text

WHOLE = """\
format = 1
target = "7.3.4-hv"
initrd = "/boot/initrd.img-7.3.4-hv"
change = "CHG-1"
reason = "a new kernel"
approved_by = "eve"
losses = ["pci 0000:00:04.0: it is reset"]
finish = true
wait = 1200

[command_line]
add = ["kho=on", 'dyndbg="file a +p"']
remove = ["quiet"]

[hooks.before-freeze]
run = ["/usr/local/sbin/pause", "all guests"]
seconds = 20

[hooks.on-failure]
run = ["/usr/local/sbin/resume"]
"""


def test_a_whole_plan_is_read() -> None:
    plan = parse_plan(WHOLE)
    assert (plan.target, plan.initrd) == ("7.3.4-hv", "/boot/initrd.img-7.3.4-hv")
    assert (plan.change, plan.reason, plan.approved_by) == ("CHG-1", "a new kernel", "eve")
    assert plan.losses == ("pci 0000:00:04.0: it is reset",)
    assert (plan.finish, plan.wait) == (True, 1200)
    assert plan.hooks == {
        HookPoint.BEFORE_FREEZE: Hook(
            HookPoint.BEFORE_FREEZE, ("/usr/local/sbin/pause", "all guests"), 20
        ),
        HookPoint.ON_FAILURE: Hook(HookPoint.ON_FAILURE, ("/usr/local/sbin/resume",), SECONDS),
    }
    assert plan.digest != parse_plan(WHOLE + "\n").digest


def test_the_least_plan_agrees_to_nothing() -> None:
    plan = parse_plan("format = 1")
    assert plan == Plan(digest=plan.digest)
    assert not plan.finish
    assert not plan.losses


def test_its_steps_are_told_in_the_order_in_which_they_happen() -> None:
    lines = list(plan_lines(parse_plan(WHOLE)))
    assert lines[:4] == [
        "change      CHG-1",
        "reason      a new kernel",
        "approved    eve",
        "target      7.3.4-hv",
    ]
    assert lines[-6:] == [
        "step        load",
        "step        prepare",
        "hook        before-freeze: /usr/local/sbin/pause all guests (at most 20 s)",
        "step        kexec",
        "step        finish, if all is restored within 1,200 s",
        "hook        on-failure: /usr/local/sbin/resume (at most 60 s)",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "format: must be 1"),
        ("format = 2", "format: must be 1"),
        ("format = true", "format: must be 1"),
        ("format = 1\ntarget nothing\n", "line 2"),
        ("format = 1\ntraget = 'x'", "traget: there is no such key"),
        ("format = 1\ntarget = ''", "target: must be a name or a path"),
        ("format = 1\ntarget = 7", "target: must be a name or a path"),
        ("format = 1\ninitrd = 'initrd.img'", "initrd: must be a path that begins with /"),
        ('format = 1\nreason = "a\\u001b[2J"', "reason: must be a text of one line"),
        ("format = 1\nfinish = 1", "finish: must be true or false"),
        ("format = 1\nwait = -1", "wait: must be a whole number from 0 to 86400"),
        ("format = 1\nwait = true", "wait: must be a whole number"),
        ("format = 1\nlosses = 'all'", "losses: must be a list of lines"),
        ("format = 1\ncommand_line = 'quiet'", "command_line: must be a table"),
        ("format = 1\n[command_line]\nadd = ['--']", "command_line.add: must be a list"),
        ("format = 1\n[command_line]\nremove = ['kho=on']", "command_line.remove: must be a list"),
        ("format = 1\n[command_line]\nset = []", "command_line.set: there is no such key"),
        ("format = 1\nhooks = []", "hooks: must be a table of hooks"),
        ("format = 1\n[hooks.before-lunch]\nrun = ['/x']", "hooks.before-lunch: there is no such"),
        ("format = 1\n[hooks.on-cancel]\nseconds = 5", "hooks.on-cancel: must be a table with run"),
        ("format = 1\n[hooks.on-cancel]\nrun = 'x y'", "hooks.on-cancel.run: must be a list"),
        ("format = 1\n[hooks.on-cancel]\nrun = ['x']", "hooks.on-cancel.run: must be a list"),
        ("format = 1\n[hooks.on-cancel]\nrun = ['/x']\nseconds = 0", "hooks.on-cancel.seconds"),
        ("format = 1\n[hooks.on-cancel]\nrun = ['/x']\nseconds = true", "on-cancel.seconds"),
        ("format = 1\nx = " + "[" * 5000, ""),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, said: str) -> None:
    with pytest.raises(BadPlan) as wrong:
        parse_plan(text)
    assert said in str(wrong.value)
    assert "\n" not in str(wrong.value)


@given(st.text())
@settings(max_examples=200)
def test_no_text_does_more_than_be_refused(text: str) -> None:
    for whole in (text, f"format = 1\n{text}", f"format = 1\n[hooks.on-cancel]\n{text}"):
        with contextlib.suppress(BadPlan):
            assert len(parse_plan(whole).digest) == 64


@pytest.mark.parametrize(
    ("present", "changed"),
    [
        ("root=/dev/vda quiet", "root=/dev/vda kho=on"),
        ("quiet", "kho=on"),
        ("", "kho=on"),
        ("quiet  a -- b kho=off", "a kho=on -- b kho=off"),
    ],
)
def test_the_command_line_is_changed_where_the_kernel_reads_it(present: str, changed: str) -> None:
    assert Plan(add=("kho=on",), remove=("quiet",)).command_line(present) == changed


def test_an_unchanged_line_stays_byte_for_byte() -> None:
    assert Plan().command_line('  a  "b ') == '  a  "b '


def test_what_the_kernel_would_not_read_is_refused() -> None:
    with pytest.raises(BadPlan, match="a quote is open"):
        Plan(add=("kho=on",)).command_line('root=/dev/vda "quiet')


@given(
    st.text('ab=- "', max_size=30),
    st.lists(st.sampled_from(["kho=on", 'x="a b"', "y"]), max_size=3),
)
def test_a_changed_line_is_read_as_it_is_meant_or_refused(line: str, added: list[str]) -> None:
    try:
        changed = Plan(add=tuple(added)).command_line(line)
    except BadPlan:
        assert '"' in line
        return
    kept, found = list(parameters(line)), list(parameters(changed))
    assert found == [*kept, *(p for one in added for p in parameters(one))]
    assert with_added(line, ()) == line


PLANNED = Plan(
    target="7.3.4-hv", initrd="/boot/own.img", add=("console=ttyS1",), remove=("quiet", "loglevel")
)
AS_PLANNED = KernelImage("/boot/vmlinuz-7.3.4-hv", "7.3.4-hv", initrd="/boot/own.img")


@pytest.mark.parametrize(
    ("image", "line", "said"),
    [
        (AS_PLANNED, "root=/dev/vda console=ttyS1", ""),
        (AS_PLANNED._replace(release="7.3.5-hv"), "console=ttyS1", "it names 7.3.4-hv"),
        (AS_PLANNED._replace(initrd=""), "console=ttyS1", "and this is none"),
        (AS_PLANNED, "console=ttyS1 quiet", "what the plan takes off"),
        (AS_PLANNED, "console=ttyS1 -- quiet", ""),
        (AS_PLANNED, "root=/dev/vda", "lacks console=ttyS1"),
        (AS_PLANNED, "root=/dev/vda -- console=ttyS1", "lacks console=ttyS1"),
    ],
)
def test_a_target_that_is_not_the_planned_one_is_told(
    image: KernelImage, line: str, said: str
) -> None:
    told = PLANNED.departure(image, line)
    assert said in told if said else told == ""


@pytest.mark.parametrize("name", ["7.3.4-hv", "vmlinuz-7.3.4-hv", "/boot/vmlinuz-7.3.4-hv", ""])
def test_a_plan_names_its_target_in_three_ways_or_not(name: str) -> None:
    assert Plan(target=name).departure(AS_PLANNED, "") == ""


@pytest.mark.parametrize(
    ("present", "line", "add", "remove"),
    [
        ("a b=1", "a b=1", (), ()),
        ("a b=1 quiet", "a b=2", ("b=2",), ("b", "quiet")),
        ("a", 'a c="x y"', ('c="x y"',), ()),
        ("console=tty0 console=ttyS0", "console=ttyS0", ("console=ttyS0",), ("console",)),
        ("a", "a -- b", (), ()),
    ],
)
def test_what_leads_from_one_line_to_another_is_a_plans(
    present: str, line: str, add: tuple[str, ...], remove: tuple[str, ...]
) -> None:
    assert changes(present, line) == (add, remove)
    made = Plan(add=add, remove=remove).command_line(present)
    assert sorted(map(str, parameters(made))) == sorted(map(str, parameters(line)))


def test_a_plan_like_another_is_a_plan() -> None:
    like = Plan("x", "/boot/i", ('a="b c"',), ("quiet",), "CHG-1", 'a "reason"', "eve", ("all",))
    read = parse_plan(plan_text("7.3.4-hv", ["it is reset"], like))
    assert read == replace(like, target="7.3.4-hv", approved_by="", losses=(), digest=read.digest)
