# SPDX-License-Identifier: MIT
"""Status for programs: the schema tells all of it, and nothing that is not there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from luo_tui.cli.status import MOST, schema_text, status_json, status_text
from luo_tui.model import Resource, Resources, ResourceState, Snapshot, SourceHealth, Stamps
from luo_tui.monitor.reading import reader
from luo_tui.orchestrator import Move, Orchestrator
from luo_tui.orchestrator.choose import open_orchestrator
from luo_tui.orchestrator.simulated import SimulatedHost, SimulatedOrchestrator
from luo_tui.update.device_outcome import outlook
from luo_tui.update.journal import open_journal
from luo_tui.update.lock import Lock
from luo_tui.update.person import Person

SCHEMA: dict[str, Any] = json.loads(schema_text())


@pytest.fixture
def host(tmp_path: Path) -> SimulatedHost:
    return SimulatedHost.create(tmp_path / "host", "default", 0)


def look(orchestrator: Orchestrator) -> Snapshot:
    return reader(orchestrator, orchestrator.surroundings())()


def plain(orchestrator: Orchestrator, folder: Path) -> dict[str, Any]:
    found = json.loads(json.dumps(status_json(orchestrator, look(orchestrator), folder)))
    assert isinstance(found, dict)
    return found


def compare(schema: dict[str, Any], value: Any, at: str) -> None:
    """Assert that objects have exactly the schema's keys, all of which it requires."""
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema["properties"]) == set(value) == set(schema["required"]), at
        for key, inner in schema["properties"].items():
            compare(inner, value[key], f"{at}.{key}")
    elif isinstance(value, list):
        for one in value:
            compare(schema["items"], one, f"{at}[]")


def described(schema: dict[str, Any], at: str) -> Iterator[tuple[str, str]]:
    for key, inner in schema.get("properties", {}).items():
        yield f"{at}.{key}", inner.get("description", "")
        yield from described(inner, f"{at}.{key}")
        yield from described(inner.get("items", {}), f"{at}.{key}[]")


def hold_to_schema(found: dict[str, Any]) -> None:
    jsonschema.validate(found, SCHEMA, jsonschema.Draft202012Validator)
    compare(SCHEMA, found, "status")


def test_the_schema_is_one_and_says_what_everything_is() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    told = dict(described(SCHEMA, "status"))
    assert len(told) > 80
    assert [at for at, text in told.items() if not text.endswith(".")] == []


def test_the_simulated_host_keeps_to_the_schema(host: SimulatedHost, tmp_path: Path) -> None:
    found = plain(SimulatedOrchestrator(host), tmp_path)
    assert found["resources"]
    assert found["images"]
    assert found["devices"]
    assert found["vitals"]["memory_total"] > found["vitals"]["memory_available"] > 0
    hold_to_schema(found)
    with pytest.raises(jsonschema.ValidationError):
        hold_to_schema({**found, "state": "asleep"})
    with pytest.raises(AssertionError):
        hold_to_schema({**found, "more": 1})


def test_an_open_window_and_a_blackout_keep_to_the_schema(
    host: SimulatedHost, tmp_path: Path
) -> None:
    lock = Lock(host.lock_folder)
    lock.take(Person("ann", "pts/1", "", 77))
    journal, _ = open_journal(tmp_path, "boot-1")
    journal.write("opened", who="ann", release="old")
    journal.write("jump", target="new", tokens=[3, 4])
    try:
        stamps = Stamps(1_000, 1, 2, 3_000, 4_000, 5_000, 9_000)
        snapshot = look(SimulatedOrchestrator(host))._replace(stamps=stamps)
        found = json.loads(json.dumps(status_json(SimulatedOrchestrator(host), snapshot, tmp_path)))
    finally:
        journal.close(trim=True)
        lock.release()
    assert found["window"]["tokens"] == [3, 4]
    assert found["owner"]["user"] == "ann"
    assert found["blackout_ms"]["total"] == 6
    hold_to_schema(found)


def test_times_are_told_so_that_they_cannot_be_misread(host: SimulatedHost, tmp_path: Path) -> None:
    """Names of phases have commas of their own, and a record's time is not the operator's."""
    journal, _ = open_journal(tmp_path, "boot-1")
    journal.write("opened", who="ann", release="old")
    journal.close(trim=True)
    stamps = Stamps(1_000, 1, 2, 3_000, 4_000, 5_000, 9_000)
    snapshot = look(SimulatedOrchestrator(host))._replace(stamps=stamps)
    lines = list(status_text(SimulatedOrchestrator(host), snapshot, tmp_path))
    blackout = next(line for line in lines if line.startswith("blackout "))
    assert blackout == (
        "blackout    6.0 ms (freeze: 1.0 ms; device shutdown, until the jump: 1.0 ms; "
        "jump, kernel boot, userspace up to luo.ko: 4.0 ms)"
    )
    window = next(line for line in lines if line.startswith("window "))
    assert re.fullmatch(r"window      left open by ann at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", window)


def test_this_host_keeps_to_the_schema(tmp_path: Path) -> None:
    hold_to_schema(plain(open_orchestrator(), tmp_path))


def test_people_are_told_of_everything(host: SimulatedHost, tmp_path: Path) -> None:
    text = "\n".join(
        status_text(SimulatedOrchestrator(host), look(SimulatedOrchestrator(host)), tmp_path)
    )
    for word in ("LUO state", "step", "kexec", "kdump", "window", "memory", "load", "devices"):
        assert f"\n{word}" in f"\n{text}", word
    assert "guest-web1: is carried by the next update" in text
    host.move(Move.PREPARE)
    text = "\n".join(
        status_text(SimulatedOrchestrator(host), look(SimulatedOrchestrator(host)), tmp_path)
    )
    assert "guest-web1: survives a kexec now" in text


def test_what_is_not_known_is_told_and_is_no_fault(host: SimulatedHost, tmp_path: Path) -> None:
    health = {
        "devices": SourceHealth("devices", missing=("sda1 may be in use by ZFS",)),
        "resources": SourceHealth("resources", "Too many open files", 1.0),
        "host activity": SourceHealth("host activity"),
    }
    snapshot = look(SimulatedOrchestrator(host))._replace(health=health)
    lines = list(status_text(SimulatedOrchestrator(host), snapshot, tmp_path))
    assert "unknown     devices: sda1 may be in use by ZFS" in lines
    assert "fault       resources: Too many open files" in lines
    found = json.loads(json.dumps(status_json(SimulatedOrchestrator(host), snapshot, tmp_path)))
    assert found["missing"] == {"devices": ["sda1 may be in use by ZFS"]}
    assert found["faults"] == {"resources": "Too many open files"}
    hold_to_schema(found)
    odd = Resources([Resource(1, "?", ResourceState.UNKNOWN)])
    found = json.loads(
        json.dumps(
            status_json(SimulatedOrchestrator(host), snapshot._replace(resources=odd), tmp_path)
        )
    )
    assert found["resources"][0]["fate"] == "nothing can be said of it: its state is not known"
    hold_to_schema(found)


def test_long_lists_are_cut_only_for_people_who_do_not_want_all(
    host: SimulatedHost, tmp_path: Path
) -> None:
    many = Resources(Resource(t, "memfd", ResourceState.PRESERVED, f"n{t}") for t in range(9_820))
    snapshot = look(SimulatedOrchestrator(host))._replace(resources=many)
    lines = list(status_text(SimulatedOrchestrator(host), snapshot, tmp_path))
    assert "  and 9,800 more: --all" in lines
    assert sum("n19:" in line for line in lines) == 1
    assert not any("n20:" in line for line in lines)
    assert sum("memfd" in line for line in lines) == MOST
    lines = list(status_text(SimulatedOrchestrator(host), snapshot, tmp_path, whole=True))
    assert sum("memfd" in line for line in lines) == 9_820
    assert not any("--all" in line for line in lines)
    assert len(status_json(SimulatedOrchestrator(host), snapshot, tmp_path)["resources"]) == 9_820


def test_what_will_happen_to_a_resource(host: SimulatedHost) -> None:
    snapshot = look(SimulatedOrchestrator(host))
    came = Resource(1, "memfd", ResourceState.INCOMING)
    assert "unless somebody restores it" in outlook(came, snapshot)
    assert "before luo-x is there" in outlook(came._replace(handler="luo-x"), snapshot)
    assert "does not carry it" in outlook(came._replace(state=ResourceState.RESTORED), snapshot)
    refused = Resource(1, "memfd", ResourceState.PRESERVED, result=16)
    assert "(EBUSY)" in outlook(refused, snapshot)
