"""Is there a CUDA device? Asked of the driver, never by importing a package: many import well without a device."""

from __future__ import annotations

import ctypes
import os
from functools import cache

_DRIVERS = ("libcuda.so.1", "nvcuda.dll")


@cache
def device_count() -> int:
    """Number of CUDA devices that the driver shows to this process; 0 without a driver.

    Only the driver library is loaded, and no context is created. `CUDA_VISIBLE_DEVICES` is honoured.

    Example:
        >>> device_count() >= 0
        True
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return 0
    for name in _DRIVERS:
        try:
            driver = ctypes.CDLL(name)
        except OSError:
            continue
        count = ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value
    return 0
