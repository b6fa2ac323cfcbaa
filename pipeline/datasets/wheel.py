"""Data that travel inside a wheel: downloaded with pip, never installed, and believed only when the hash agrees."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError
from core.files import hash_file

MAX_MEMBER = 256 * 2**20
"""Bytes that one member may unpack to: far above any named data set, far below a zip bomb."""
TIMEOUT = 600
"""Seconds that pip may take."""


@dataclass(frozen=True)
class Wheel:
    """A release of a package that carries data.

    Attributes:
        project: The package's name.
        version: The exact release.
        sha256: Hash of the wheel, in hexadecimal.

    Example:
        >>> Wheel("recbole", "1.2.1", "9c99").requirement
        'recbole==1.2.1'
    """

    project: str
    version: str
    sha256: str

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.project}=={self.version}"

    @property
    def pattern(self) -> str:
        """Glob of the wheel's file name."""
        return f"{re.sub(r'[-_.]+', '_', self.project)}-{self.version}-*.whl"


def read_members(wheel: Wheel, members: Sequence[str], *, by_hand: Path) -> Mapping[str, bytes]:
    """Read files out of a wheel that is downloaded for the purpose and thrown away afterwards.

    Args:
        wheel: The release that holds them.
        members: Their full names inside the wheel.
        by_hand: A directory where the wheel is looked for before the network is asked.

    Returns:
        The content of each member under its name.

    Raises:
        UserError: The download failed, the hash differs, or a member is missing.
    """
    kept = next(iter(sorted(by_hand.glob(wheel.pattern))), None)
    if kept is not None:
        return _unpack(_checked(kept, wheel), members)
    with tempfile.TemporaryDirectory(prefix="gyrfalcon-") as folder:
        return _unpack(_checked(_download(wheel, Path(folder), by_hand), wheel), members)


def _download(wheel: Wheel, folder: Path, by_hand: Path) -> Path:
    """Ask pip for the wheel alone: no dependencies, nothing built, nothing installed."""
    options = ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--disable-pip-version-check"]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        *options,
        "--quiet",
        "--no-input",
        "--dest",
        str(folder),
    ]
    try:
        # nothing in the command comes from a file or the network
        done = subprocess.run(
            [*command, wheel.requirement],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            env={**os.environ, "PIP_REQUIRE_VIRTUALENV": "0"},
        )
    except subprocess.TimeoutExpired:
        raise _failed(wheel, by_hand, f"no answer within {TIMEOUT} s") from None
    found = sorted(folder.glob("*.whl"))
    if done.returncode or not found:
        raise _failed(wheel, by_hand, _last_error(done.stderr))
    return found[0]


def _last_error(text: str) -> str:
    """Find the line in which pip says what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR") or "No module named pip" in line]
    return (errors or lines or ["pip said nothing"])[-1].removeprefix("ERROR:").strip()


def _failed(wheel: Wheel, by_hand: Path, why: str) -> UserError:
    return UserError(
        f"the download failed ({why})",
        where=wheel.requirement,
        cure="check the network and pip's settings, or on a machine that has a network run "
        f"`pip download --no-deps {wheel.requirement}` and put the wheel into {by_hand}",
    )


def _checked(file: Path, wheel: Wheel) -> Path:
    found = hash_file(file)
    if found != wheel.sha256:
        raise UserError(
            f"the wheel has the sha256 {found}, expected {wheel.sha256}",
            where=f"{wheel.requirement} ({file.name})",
            cure="the file is damaged or was changed on its way; remove it and fetch again",
        )
    return file


def _unpack(file: Path, members: Sequence[str]) -> Mapping[str, bytes]:
    """Read members by their exact names into memory, so that no name inside the archive becomes a path."""
    content: dict[str, bytes] = {}
    with zipfile.ZipFile(file) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        for name in members:
            if name not in sizes:
                raise UserError(f"there is no {name!r} in it", where=file.name)
            if sizes[name] > MAX_MEMBER:
                raise UserError(f"{name!r} unpacks to {sizes[name]} bytes, at most {MAX_MEMBER}", where=file.name)
            content[name] = archive.read(name)
    return content
