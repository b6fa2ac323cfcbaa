"""The manifest of a bundle: which files belong to it, and whether they are still what was exported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.files import hash_file, inside, read_json

KIND = "gyrfalcon-bundle"
VERSION = 1
MANIFEST = "manifest.json"
CURE = "export the bundle again, or copy it whole"


def describe_files(path: Path) -> dict[str, dict[str, Any]]:
    """Size and hash of every file of a bundle but the manifest."""
    files = sorted(file for file in path.iterdir() if file.is_file() and file.name != MANIFEST)
    return {file.name: {"bytes": file.stat().st_size, "sha256": hash_file(file)} for file in files}


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest.

    Raises:
        UserError: There is none, it is another file's, or its version is newer.
    """
    file = path / MANIFEST
    if not file.exists():
        raise UserError("there is no bundle here", where=str(path), cure="give a directory that export wrote")
    manifest = read_json(file)
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise UserError("this is not a bundle's manifest", where=str(file))
    version = manifest.get("version")
    if not isinstance(version, int) or version > VERSION:
        message = f"the bundle has version {version}, this program reads up to {VERSION}"
        raise UserError(message, where=str(file), cure="update gyrfalcon")
    entries = manifest.get("files")
    if not isinstance(entries, dict) or not all(_is_entry(entry) for entry in entries.values()):
        raise UserError("the manifest does not list the files", where=str(file), cure=CURE)
    return manifest


def check_sizes(path: Path, manifest: Mapping[str, Any]) -> None:
    """Compare the sizes of all files, a cheap look at every start.

    Raises:
        UserError: A file is missing or has another size; or its name leads out of the bundle.
    """
    for name, entry in manifest["files"].items():
        file = inside(path, name)
        if not file.is_file():
            raise UserError("a file of the bundle is missing", where=str(path / name), cure=CURE)
        if file.stat().st_size != entry["bytes"]:
            message = f"the file has {file.stat().st_size} bytes, {entry['bytes']} were exported"
            raise UserError(message, where=str(path / name), cure=CURE)


def check_hashes(path: Path, manifest: Mapping[str, Any]) -> int:
    """Read every file and compare its hash: the number of files.

    Raises:
        UserError: A file has changed since the export.
    """
    for name, entry in manifest["files"].items():
        if hash_file(inside(path, name)) != entry["sha256"]:
            message = "the content differs from what was exported (its hash has changed)"
            raise UserError(message, where=str(path / name), cure=CURE)
    return len(manifest["files"])


def require(path: Path, manifest: Mapping[str, Any], names: Iterable[str]) -> None:
    """Check that files are among those of the bundle.

    Raises:
        UserError: One is not.
    """
    for name in names:
        if name not in manifest["files"]:
            raise UserError(f"the bundle lists no {name}", where=str(path / MANIFEST), cure=CURE)


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    return isinstance(entry.get("sha256"), str) and isinstance(entry.get("bytes"), int)
