"""The version of the program."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def program_version() -> str:
    """The version of the installed distribution, `unknown` where the source runs uninstalled."""
    try:
        return version("gyrfalcon")
    except PackageNotFoundError:
        return "unknown"
