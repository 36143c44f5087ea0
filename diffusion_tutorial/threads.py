"""How many threads torch takes, and how they wait. It has to be settled before torch is loaded, and only where nobody has.

Threads that wait by spinning are quick where a program has its cores to itself. Where two programs share them, a second
lesson, a training beside, a room full of kernels on one server, they spin against each other and everything becomes up to
20 times slower (benchmarks/README.md); so here they wait passively. In a container with a CPU quota torch sees the host's
cores, and takes as many threads; so the quota says how many.
"""

import math
import os
from pathlib import Path

WAIT, COUNT = "OMP_WAIT_POLICY", "OMP_NUM_THREADS"
CGROUP = Path("/sys/fs/cgroup")


def settle() -> None:
    """Passive waiting, unless the environment says how to wait; the quota's number of threads, unless it says how many."""
    if not {WAIT, "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & set(os.environ):
        os.environ[WAIT] = "PASSIVE"
    cores = quota()
    if cores is not None and COUNT not in os.environ:
        os.environ[COUNT] = str(cores)


def quota(cgroup: Path = CGROUP) -> int | None:
    """The cores that a container may use, at least 1; None where nothing holds it back from all that the machine has."""
    allowed = _of_cgroup(cgroup)
    if allowed is None or allowed >= (os.cpu_count() or 1):
        return None
    return max(1, math.floor(allowed + 0.5))


def _of_cgroup(cgroup: Path) -> float | None:
    """Microseconds of CPU a period, divided by the period: version 2 keeps both in a file, version 1 one in each of two."""
    try:
        if (cgroup / "cpu.max").exists():
            most, period = (cgroup / "cpu.max").read_text().split()
        else:
            most, period = ((cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return float(most) / float(period) if most.strip() not in ("max", "-1") else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
