"""What the machine and its container allow, read from files as the kernel writes them."""

import os
from pathlib import Path

import pytest

from facever.data import machine
from facever.data.machine import (
    free_memory,
    most_open_files,
    multiplies_bfloat16,
    multiplies_int8,
    processes_here,
    usable_cpus,
)

NO_LIMIT = 9223372036854771712  # what cgroup v1 says


def write(root: Path, contents: dict[str, str]) -> Path:
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


@pytest.fixture(autouse=True)
def this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """5,000 KiB of memory, 64 CPUs."""
    information = tmp_path / "meminfo"
    information.write_text("MemTotal:  9000 kB\nMemFree:  10 kB\nMemAvailable:    5000 kB\n")
    monkeypatch.setattr(machine, "_INFORMATION", information)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def test_without_a_container_the_machine_counts(tmp_path: Path) -> None:
    assert free_memory(shared=False, cgroup=tmp_path / "none") == 5000 * 1024
    assert usable_cpus(tmp_path / "none") == 64
    write(tmp_path, {"memory.max": "max", "memory.current": "300", "cpu.max": "max 100000"})
    assert free_memory(shared=False, cgroup=tmp_path) == 5000 * 1024
    assert usable_cpus(tmp_path) == 64


def test_of_a_container_of_either_kind_files_that_were_read_are_free(tmp_path: Path) -> None:
    second = write(
        tmp_path / "v2",
        {
            "memory.max": "1000",
            "memory.current": "900",
            "memory.stat": "anon 100\nactive_file 150\ninactive_file 650",
        },
    )
    assert free_memory(shared=False, cgroup=second) == 1000 - 900 + 650
    (second / "memory.stat").unlink()
    assert free_memory(shared=False, cgroup=second) == 100
    write(second, {"memory.current": "1001"})
    assert free_memory(shared=False, cgroup=second) == 0
    first = write(
        tmp_path / "v1",
        {
            "memory/memory.limit_in_bytes": "1000",
            "memory/memory.usage_in_bytes": "900",
            "memory/memory.stat": "inactive_file 5\ntotal_cache 700\ntotal_inactive_file 600",
        },
    )
    assert free_memory(shared=False, cgroup=first) == 1000 - 900 + 600
    write(first, {"memory/memory.limit_in_bytes": str(NO_LIMIT)})
    assert free_memory(shared=False, cgroup=first) == 5000 * 1024


def test_shared_memory_may_have_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_SHARED", tmp_path)
    little = os.statvfs_result((1, 10, 100, 60, 50, 0, 0, 0, 0, 0))
    monkeypatch.setattr(os, "statvfs", lambda path: little)
    assert free_memory(shared=True, cgroup=tmp_path) == 500
    assert free_memory(shared=False, cgroup=tmp_path) == 5000 * 1024


@pytest.mark.parametrize(
    ("quota", "cpus"), [("400000", 4), ("450000", 4), ("50000", 1), ("6500000", 64)]
)
def test_a_quota_of_cpus(quota: str, cpus: int, tmp_path: Path) -> None:
    assert usable_cpus(write(tmp_path / "v2", {"cpu.max": f"{quota} 100000"})) == cpus
    first = write(
        tmp_path / "v1", {"cpu/cpu.cfs_quota_us": quota, "cpu/cpu.cfs_period_us": "100000"}
    )
    assert usable_cpus(first) == cpus
    write(first, {"cpu/cpu.cfs_quota_us": "-1"})
    assert usable_cpus(first) == 64


def test_processes_and_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert processes_here() == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert processes_here() == 4
    for limit, files in ((1024, 1024), (-1, 2**31)):
        monkeypatch.setattr(os, "sysconf", {"SC_OPEN_MAX": limit}.__getitem__)
        assert most_open_files() == files


def test_instructions_for_bfloat16_are_those_that_the_kernel_lists() -> None:
    information = Path("/proc/cpuinfo")
    if not information.is_file():
        pytest.skip("no /proc/cpuinfo")
    flags = set(information.read_text().split())
    assert multiplies_bfloat16() == bool(flags & {"amx_bf16", "avx512_bf16"})


@pytest.mark.parametrize(
    ("capabilities", "has"),
    [
        ({"amx_bf16": True, "avx512_bf16": False}, True),
        ({"amx_bf16": False, "avx512_bf16": True}, True),
        ({"amx_bf16": False, "avx512_bf16": False, "avx512_f": True}, False),
        ({"architecture": "aarch64", "bf16": True}, False),  # not measured
    ],
)
def test_amx_or_avx_512_multiplies_bfloat16(capabilities, has, monkeypatch) -> None:
    import torch

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert multiplies_bfloat16() == has


@pytest.mark.parametrize("has", [(True, False), (False, True), (False, False)])
def test_torch_2_11_tells_it_too(has, monkeypatch) -> None:
    import torch

    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has[0])
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has[1])
    assert multiplies_bfloat16() == any(has)


@pytest.mark.parametrize(
    ("flags", "fast"),
    [("fpu avx2 avx512_vnni", True), ("fpu avx2 amx_int8 sse", True), ("fpu avx2 avx512f", False)],
)
def test_int8_instructions_are_those_of_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, fast: bool
) -> None:
    processors = tmp_path / "cpuinfo"
    processors.write_text(f"processor : 0\nflags\t\t: {flags}\nbugs : spectre_v1\n")
    monkeypatch.setattr(machine, "_CPUS", processors)
    monkeypatch.setattr(machine.platform, "machine", lambda: "x86_64")
    machine.instruction_sets.cache_clear()
    try:
        assert "avx2" in machine.instruction_sets()
        assert multiplies_int8() is fast
    finally:
        monkeypatch.undo()
        machine.instruction_sets.cache_clear()
