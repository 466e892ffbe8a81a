# SPDX-License-Identifier: MIT
"""The machines that the contract is held against, through one interface."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any, Protocol

from luo_tui.orchestrator.simulated import (
    RUNNING,
    TARGET,
    SimulatedHost,
    SimulatedJump,
    SimulatedOrchestrator,
)
from tests.contract.agent import Agent


class Machine(Protocol):
    """A machine with an agent on it."""

    kernels: tuple[str, str]
    """Releases that it can run; it boots into the first."""

    def boot(self) -> None:
        """Start it, cold, with nothing preserved."""
        ...

    def call(self, operation: str, **arguments: object) -> Any:
        """Let the agent do something; OSError with the errno that it met."""
        ...

    def kexec(self, operation: str = "reboot") -> Any:
        """Jump, and wait for an agent in the new boot.

        OSError if the machine stays and says so; what ``operation`` returns if it
        returns at all.
        """
        ...

    def restart_agent(self) -> None:
        """End the agent's process and begin another in the same boot."""
        ...

    def stop(self) -> None:
        """Switch it off."""
        ...


class SimulatedMachine:
    """The simulated orchestrator, in process."""

    kernels = (RUNNING, TARGET)

    def __init__(
        self, folder: Path, kind: type[SimulatedOrchestrator] = SimulatedOrchestrator
    ) -> None:
        self._folder, self._kind = folder, kind
        self._agent: Agent | None = None

    def boot(self) -> None:
        self.stop()
        self._host = SimulatedHost(self._folder)
        self._host.lay_boot()
        self._agent = Agent(self._kind(self._host))

    def call(self, operation: str, **arguments: object) -> Any:
        result = getattr(self._agent, operation)(**arguments)
        # What is not plain would not come through the lab's pipe either.
        return json.loads(json.dumps(result))

    def kexec(self, operation: str = "reboot") -> Any:
        try:
            return self.call(operation)
        except SimulatedJump:
            self.restart_agent()
        return None

    def restart_agent(self) -> None:
        assert self._agent is not None
        self._agent.end()
        self._agent = Agent(self._kind(self._host))

    def stop(self) -> None:
        if self._agent is not None:
            self._agent.end()
            self._agent = None


class LabMachine:
    """luo.ko, or what else the kernel has, on a real kernel in the lab, over ssh."""

    def __init__(self, machine: Any, kernels: tuple[str, str], extra: str = "") -> None:
        self._machine, self._extra = machine, extra
        self.kernels = kernels
        self._agent: subprocess.Popen[str] | None = None

    def boot(self) -> None:
        self.stop()
        if self._extra:
            self._machine.boot(extra=self._extra)
        else:
            self._machine.start()
        self._start()

    def call(self, operation: str, **arguments: object) -> Any:
        answer = self._ask(operation, arguments)
        assert answer is not None, f"the agent ended at {operation}"
        if "errno" in answer:
            raise OSError(answer["errno"], answer["text"])
        return answer["result"]

    def kexec(self, operation: str = "reboot") -> Any:
        before, boots = self._machine.boot_id(), self._boots()
        self._send(operation, {})
        assert self._agent is not None
        assert self._agent.stdout is not None
        end = time.monotonic() + 90
        # The connection is not told that its other end has gone; the serial line tells sooner.
        while self._boots() == boots and time.monotonic() < end:
            if select.select([self._agent.stdout], [], [], 0.1)[0]:
                line = self._agent.stdout.readline()
                if not line:
                    break
                answer = json.loads(line)
                if "errno" in answer:
                    raise OSError(answer["errno"], answer["text"])
                return answer["result"]
        self._machine.wait_ready(before, 90)
        self.restart_agent()
        return None

    def shell(self, command: str) -> str:
        """Run a line in the guest's shell, as root; it has to succeed."""
        return str(self._machine.must(command))

    def log(self) -> str:
        """Return all that the kernels have printed since the machine was switched on."""
        return str(self._machine.log())

    def _boots(self) -> int:
        return int(self._machine.log().count("lab: ready"))

    def restart_agent(self, user: str = "root") -> None:
        """End the agent and begin another, as ``user``; ``watcher`` is nobody special."""
        self._end()
        self._start(user)

    def stop(self) -> None:
        self._end()
        self._machine.remove()

    def _start(self, user: str = "root") -> None:
        self._agent = subprocess.Popen(
            [*self._machine.ssh_command(user), "python3 -u /usr/lib/luo-tui/agent.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        assert self._agent.stdout is not None
        assert json.loads(self._agent.stdout.readline()) == {"result": "ready"}

    def _end(self) -> None:
        if self._agent is not None:
            self._agent.kill()
            self._agent.communicate()
            self._agent = None

    def _ask(self, operation: str, arguments: dict[str, object]) -> dict[str, Any] | None:
        self._send(operation, arguments)
        assert self._agent is not None
        assert self._agent.stdout is not None
        line = self._agent.stdout.readline()
        return dict(json.loads(line)) if line else None

    def _send(self, operation: str, arguments: dict[str, object]) -> None:
        assert self._agent is not None
        assert self._agent.stdin is not None
        request = json.dumps({"call": operation, "with": arguments})
        print(request, file=self._agent.stdin, flush=True)
