"""Resources that this process may use: memory, CPUs, open files; with the limits of containers."""

import os
import platform
import sys
from functools import cache
from pathlib import Path

from facever.core.console import byte_count
from facever.errors import ConfigError

_CGROUP = Path("/sys/fs/cgroup")
_SHARED = Path("/dev/shm")
_INFORMATION = Path("/proc/meminfo")
_CPUS = Path("/proc/cpuinfo")

_MEMORY = (  # cgroup v2 and v1: limit, usage, and the part of it that can be reclaimed
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)


def processes_here() -> int:
    """Return the number of training processes on this machine (torchrun's LOCAL_WORLD_SIZE)."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def free_memory(shared: bool, cgroup: Path = _CGROUP) -> int:
    """Return the bytes that this process can still use, on the machine and in its container.

    Args:
        shared: Whether the memory is shared between processes, which /dev/shm may limit.
        cgroup: Folder of the container's limits, cgroup v1 or v2.
    """
    found = [_available()]
    for limit, used, statistics, cached in _MEMORY:
        numbers = _words(cgroup / limit) + _words(cgroup / used)
        if len(numbers) == 2 and numbers[0] != "max":
            given_back = _field(cgroup / statistics, cached) or 0  # cache of files
            found.append(max(int(numbers[0]) - int(numbers[1]) + given_back, 0))
    if shared and (free := free_shared()) is not None:
        found.append(free)
    return min(found)


def require_memory(needed: int, what: str) -> None:
    """Refuse an allocation of more memory than is free.

    A system that overcommits memory would otherwise kill this process, or others, later.

    Args:
        needed: Bytes.
        what: Description of the allocation with its settings, for the message.

    Raises:
        ConfigError: The free memory is too small; the message has both numbers.
    """
    free = free_memory(shared=False)
    if needed > free:
        raise ConfigError(
            f"{what} needs {byte_count(needed)} of memory, but {byte_count(free)} are free"
        )


def peak_memory() -> int | None:
    """Return the largest memory of this process so far, in bytes; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def free_shared() -> int | None:
    """Return the free bytes of /dev/shm; None if there is no such file system."""
    if not _SHARED.is_dir():
        return None
    status = os.statvfs(_SHARED)
    return status.f_bavail * status.f_frsize


def usable_cpus(cgroup: Path = _CGROUP) -> int:
    """Return the number of CPUs that this process may use, by affinity and the container's quota.

    Args:
        cgroup: As for `free_memory`.
    """
    bound = hasattr(os, "sched_getaffinity")  # not on macOS
    found = [len(os.sched_getaffinity(0)) if bound else os.cpu_count() or 1]
    period = _words(cgroup / "cpu/cpu.cfs_period_us")
    for quota in (_words(cgroup / "cpu.max"), _words(cgroup / "cpu/cpu.cfs_quota_us") + period):
        if len(quota) == 2 and quota[0] not in ("max", "-1"):
            found.append(max(int(quota[0]) // int(quota[1]), 1))
    return min(found)


def most_processes() -> int:
    """Return the largest allowed number of processes: 64 or four per usable CPU, whichever is
    larger.
    """
    return max(64, 4 * usable_cpus())


def most_open_files() -> int:
    """Return the number of files that this process may have open (RLIMIT_NOFILE, the soft
    limit).
    """
    limit = os.sysconf("SC_OPEN_MAX") if hasattr(os, "sysconf") else 512  # not on Windows
    return limit if limit >= 0 else 2**31  # -1: no limit


def multiplies_bfloat16() -> bool:
    """Return whether the CPU has instructions for bfloat16 products: AMX or AVX-512 BF16.

    torch computes such products on every CPU, but without these instructions slower than float32.
    """
    import torch

    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
    # torch 2.11
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


@cache
def instruction_sets() -> frozenset[str]:
    """Return the names of the CPU's instruction sets, as in /proc/cpuinfo of Linux.

    Empty for an x86 CPU on another system; {"neon"} for a 64-bit ARM CPU.
    """
    if platform.machine() in ("aarch64", "arm64"):
        return frozenset({"neon"})
    lines = _CPUS.read_text(encoding="utf-8").splitlines() if _CPUS.is_file() else []
    return frozenset(next((line.split() for line in lines if line.startswith("flags")), []))


def multiplies_int8() -> bool:
    """Return whether the CPU has instructions for sums of int8 products: AMX or AVX-512 VNNI."""
    return bool(instruction_sets() & {"amx_int8", "avx512_vnni"})


def _available() -> int:
    kilobytes = _field(_INFORMATION, "MemAvailable:")
    if kilobytes is not None:
        return kilobytes * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _words(path: Path) -> list[str]:
    return path.read_text(encoding="ascii").split() if path.is_file() else []


def _field(path: Path, name: str) -> int | None:
    """Return the number after a name."""
    words = _words(path)
    return int(words[words.index(name) + 1]) if name in words else None


def processor_name() -> str:
    """Return the name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
