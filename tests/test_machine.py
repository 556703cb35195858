"""What this machine offers is told from files as the system writes them."""

from __future__ import annotations

import pytest

from swinkit import machine

MIB = 2**20


@pytest.mark.parametrize(
    ("limit", "held", "files", "left"),
    [
        ("max", 900 * MIB, 0, 800),
        (1000 * MIB, 900 * MIB, 0, 100),
        (1000 * MIB, 900 * MIB, 600 * MIB, 700),
        (10 * MIB, 90 * MIB, 0, 0),
    ],
)
def test_what_a_container_read_from_files_is_still_to_be_had(limit, held, files, left, monkeypatch):
    texts = {
        "/proc/meminfo": f"MemTotal:  9999999 kB\nMemAvailable:  {800 * 1024} kB\n",
        "/sys/fs/cgroup/memory.max": f"{limit}\n",
        "/sys/fs/cgroup/memory.current": f"{held}\n",
        "/sys/fs/cgroup/memory.stat": f"anon 5\ninactive_file {files}\nactive_file 7\n",
    }
    monkeypatch.setattr(machine, "read", lambda path: texts.get(path, ""))
    assert machine.available_memory() == left * MIB
