"""The most memory that a stage held."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def reset_peak() -> bool:
    """Forget the peak so far, where the kernel allows it.

    Returns:
        Whether it did. Where not, `peak_bytes` is the peak since the process started.
    """
    with contextlib.suppress(OSError):
        _RESET.write_text("5")
        return True
    return False


def peak_bytes() -> int:
    """The largest resident memory of this process, in bytes.

    Example:
        >>> peak_bytes() > 1_000_000
        True
    """
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
