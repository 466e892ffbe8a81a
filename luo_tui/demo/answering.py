# SPDX-License-Identifier: MIT
"""What the demo's process answers for its simulated kernel, over a connection.

The other end is a :class:`~luo_tui.demo.remote_orchestrator.RemoteOrchestrator`.
A request is a name with arguments; its answer is a value, or an OSError to be
raised there. Descriptors go beside it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

from luo_tui.monitor.reading import reader
from luo_tui.orchestrator.simulated import SimulatedOrchestrator


class Answering:
    """Answers for one host."""

    def __init__(self, orchestrator: SimulatedOrchestrator, **more: Callable[..., object]) -> None:
        """``more`` are answers besides those of the kernel, by name."""
        self._orchestrator = orchestrator
        self._answers: Mapping[str, Callable[..., object]] = {
            "look": reader(orchestrator, orchestrator.surroundings()),
            "lock_folder": lambda: orchestrator.lock_folder,
            "checks_folder": lambda: orchestrator.checks_folder,
            "boot_folder": lambda: orchestrator.kexec.boot_folder,
            "running_kernel": orchestrator.running_kernel,
            "consoles": orchestrator.consoles,
            "firmware": orchestrator.firmware,
            "drivers": orchestrator.drivers,
            "memory_limits": orchestrator.memory_limits,
            "host": orchestrator.host,
            "state": orchestrator.state,
            "work": orchestrator.work,
            "condition": orchestrator.condition,
            "move": orchestrator.move,
            "unpreserve": orchestrator.unpreserve,
            "unload": orchestrator.kexec.unload,
            "kexec_state": orchestrator.kexec.state,
            "command_line": orchestrator.kexec.command_line,
            "reboot": orchestrator.kexec.reboot,
            **more,
        }

    def serve(self, link: Connection) -> None:
        """Answer until the other end has gone."""
        with link, contextlib.suppress(EOFError, ConnectionError):
            while True:
                name, arguments = link.recv()
                handle = -1
                try:
                    answer, handle = self._answer(link, name, arguments)
                except OSError as refused:
                    answer = refused
                link.send(answer)
                if handle >= 0:
                    reduction.send_handle(link, handle, 0)
                    os.close(handle)

    def _answer(
        self, link: Connection, name: str, arguments: tuple[Any, ...]
    ) -> tuple[object, int]:
        """Return the answer, and a descriptor that goes with it; -1 where there is none."""
        match name:
            case "load":
                self._load(link, *arguments)
                return None, -1
            case "preserve":
                return self._preserve(link), -1
            case "restore":
                return None, self._orchestrator.restore(*arguments)
            case _:
                return self._answers[name](*arguments), -1

    def _load(self, link: Connection, initrd: bool, command_line: str) -> None:
        """Load what comes as descriptors over the connection."""
        handles = [reduction.recv_handle(link) for _ in range(2 if initrd else 1)]
        try:
            self._orchestrator.kexec.load(handles[0], handles[1] if initrd else -1, command_line)
        finally:
            for handle in handles:
                os.close(handle)

    def _preserve(self, link: Connection) -> int:
        handle = reduction.recv_handle(link)
        try:
            return self._orchestrator.preserve(handle)
        finally:
            os.close(handle)
