"""What it was measured on: the machine and the versions, without any name or path of it."""

import os
import platform
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Final

from tests.bench.running import ROOT

_CPU: Final = re.compile(r"^model name\s*: (.+)$", re.MULTILINE)
_MEMORY: Final = re.compile(r"^MemTotal:\s*(\d+) kB$", re.MULTILINE)


def cores() -> set[int]:
    """Return the cores that this process may use, where the system tells; else none."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def describe(file_system: str) -> dict[str, str]:
    """Return what there is to know of the machine: processor, cores, memory, file system, kernel."""
    return {
        "processor": _processor(),
        "cores": str(len(cores()) or os.cpu_count() or "unknown"),
        "memory": _memory(),
        "file system": file_system,
        "kernel": f"{platform.system()} {platform.release()}",
    }


def commit() -> str:
    """Return which evcli was measured: the commit, and whether its code was changed since."""
    try:
        asked = ["git", "log", "-1", "--format=%h", "HEAD"]
        found = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        status = ["git", "status", "--porcelain", "--", "evcli"]
        changed = subprocess.run(status, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{found}, changed" if changed else found


def code_digest() -> str:
    """Return a hash of evcli's code: what was measured of another one is not gone on with."""
    digest = sha256()
    for path in sorted((ROOT / "evcli").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _processor() -> str:
    found = _CPU.search(_text("/proc/cpuinfo"))
    return found[1] if found else _sysctl("machdep.cpu.brand_string") or platform.machine()


def _memory() -> str:
    found = _MEMORY.search(_text("/proc/meminfo"))
    size = int(found[1]) * 1024 if found else int(_sysctl("hw.memsize") or 0)
    return f"{size / (1 << 30):.0f} GiB" if size else "unknown"


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _sysctl(name: str) -> str:
    if sys.platform != "darwin":
        return ""
    done = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False)
    return done.stdout.strip()
