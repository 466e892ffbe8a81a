# SPDX-License-Identifier: MIT
"""Updates between kernel versions, as real ones are: 7.2 to 7.3, and back; by both interfaces."""

from __future__ import annotations

import os
from collections.abc import Iterator

import machine as lab
import pytest

from tests.contract.machines import LabMachine
from tests.lab.test_holder import SESSIONS, kexec, must, resources, ssh, status

pytestmark = pytest.mark.extra

HUGE = 2 << 20


@pytest.fixture
def machine() -> Iterator[lab.Machine]:
    m = lab.Machine(f"test-{os.getpid()}-versions", lab.build(prior=True))
    yield m
    m.remove()


def test_sessions_go_to_the_next_version_and_come_back(machine: lab.Machine) -> None:
    assert machine.built is not None
    prior, new = (machine.built.kernels[n].release for n in ("prior", "new"))
    machine.boot(kernel="prior", extra=SESSIONS)
    must(machine, "head -c 20000000 /dev/urandom >/var/lib/luo-tui/web")
    digest = must(machine, "sha256sum </var/lib/luo-tui/web")
    for target in (new, prior):
        must(machine, "luo-tui hold /var/lib/luo-tui/web --name web")
        assert status(machine)["state"] == "preserving"
        kexec(machine, target)
        arrived = ssh(machine, "luo-tui arrive")
        assert arrived.returncode in (0, 15), arrived
        assert resources(status(machine)) == {"web": "incoming"}
        must(machine, "luo-tui restore web -o /tmp/back")
        assert must(machine, "sha256sum </tmp/back") == digest
        must(machine, "rm /tmp/back; luo-tui finish --yes")
        assert (status(machine)["state"], resources(status(machine))) == ("normal", {})
        assert machine.ssh("dmesg | grep -E 'WARNING|BUG:|Oops'").stdout == ""


def test_memory_goes_to_the_next_version_and_comes_back(machine: lab.Machine) -> None:
    assert machine.built is not None
    prior, new = (machine.built.kernels[n].release for n in ("prior", "new"))
    assert prior.startswith("7.2.")
    assert new.startswith("7.3.")
    machine.boot(kernel="prior")
    # Huge pages are handed over by other orders of folios than small ones are.
    machine.must("echo advise >/sys/kernel/mm/transparent_hugepage/shmem_enabled")
    luo = LabMachine(machine, (prior, new))
    luo.restart_agent()
    try:
        digests = {}
        for name, size in (("small", 300_001), ("holes", 9 << 20), ("large", 24 * HUGE)):
            fd = luo.call("memfd", name=name, size=size)
            at = size // 3
            digests[name] = luo.call("fill", fd=fd, at=at, size=size - at, seed=name)
            luo.call("preserve", fd=fd)

        for here, there in ((prior, new), (new, prior), (prior, new)):
            before = luo.call("picture")
            assert before["release"] == here
            assert luo.call("load", which=there) == there
            luo.call("move", move="prepare")
            luo.kexec()
            after = luo.call("picture")
            assert (after["release"], after["from_release"]) == (there, here)
            assert after["state"] == "updated"
            # The same text on both, or the newer kernel would have refused it.
            assert after["compatible"] == before["compatible"] != ""
            assert {r["name"] for r in after["resources"]} == set(digests)
            for resource in after["resources"]:
                fd = luo.call("restore", token=resource["token"])
                assert luo.call("digest", fd=fd) == digests[resource["name"]]
                luo.call("preserve", fd=fd)
            luo.call("move", move="finish")
            assert {r["state"] for r in luo.call("picture")["resources"]} == {"preserved"}
            assert machine.ssh("dmesg | grep -E 'WARNING|BUG:|Oops'").stdout == ""
    finally:
        luo.stop()
