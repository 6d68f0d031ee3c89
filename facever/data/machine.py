"""What this process may use of its machine: memory, CPUs, open files; containers have less."""

import os
from pathlib import Path

from facever.core.console import byte_count
from facever.errors import ConfigError

_CGROUP = Path("/sys/fs/cgroup")
_SHARED = Path("/dev/shm")
_INFORMATION = Path("/proc/meminfo")

_MEMORY = (  # of cgroup v2 and v1: what may be taken, what is, and how much of that is given back
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)


def processes_here() -> int:
    """Return how many training processes share this machine (torchrun's LOCAL_WORLD_SIZE)."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def free_memory(shared: bool, cgroup: Path = _CGROUP) -> int:
    """Return the bytes that this process may still take: of the machine and of its container.

    Args:
        shared: Memory that processes share, for which /dev/shm may have less.
        cgroup: Where the container's limits are, of cgroup v1 or v2.
    """
    found = [_available()]
    for limit, used, statistics, cached in _MEMORY:
        numbers = _words(cgroup / limit) + _words(cgroup / used)
        if len(numbers) == 2 and numbers[0] != "max":
            given_back = _field(cgroup / statistics, cached) or 0  # files that were read
            found.append(max(int(numbers[0]) - int(numbers[1]) + given_back, 0))
    if shared and (free := free_shared()) is not None:
        found.append(free)
    return min(found)


def require_memory(needed: int, what: str) -> None:
    """Refuse what needs more memory than is free, before it is made.

    A system that lends more than it has would otherwise end this process, or others, later.

    Args:
        needed: Bytes.
        what: What needs them, with the settings that it comes from.

    Raises:
        ConfigError: Names both numbers.
    """
    free = free_memory(shared=False)
    if needed > free:
        raise ConfigError(
            f"{what} needs {byte_count(needed)} of memory, and {byte_count(free)} are free here"
        )


def free_shared() -> int | None:
    """Return the bytes that are free in /dev/shm, None where there is no such file system."""
    if not _SHARED.is_dir():
        return None
    status = os.statvfs(_SHARED)
    return status.f_bavail * status.f_frsize


def usable_cpus(cgroup: Path = _CGROUP) -> int:
    """Return how many CPUs this process may use: it is bound to some, its container has a quota.

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
    """Return how many processes of one kind may be asked for: 64, or four for each usable CPU."""
    return max(64, 4 * usable_cpus())


def most_open_files() -> int:
    """Return how many files this process may have open (RLIMIT_NOFILE, the soft limit)."""
    limit = os.sysconf("SC_OPEN_MAX") if hasattr(os, "sysconf") else 512  # not on Windows
    return limit if limit >= 0 else 2**31  # -1: as many as it wants


def multiplies_bfloat16() -> bool:
    """Return whether the CPU has instructions for products of bfloat16: AMX or AVX-512 BF16.

    torch computes such products on any CPU, but slower than those of float32 where it has none.
    """
    import torch

    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
    # torch 2.11
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def _available() -> int:
    kilobytes = _field(_INFORMATION, "MemAvailable:")
    if kilobytes is not None:
        return kilobytes * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _words(path: Path) -> list[str]:
    return path.read_text(encoding="ascii").split() if path.is_file() else []


def _field(path: Path, name: str) -> int | None:
    """Return the number that follows a name."""
    words = _words(path)
    return int(words[words.index(name) + 1]) if name in words else None
