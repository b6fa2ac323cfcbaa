"""The examples in the docstrings of `train` run, and give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import train

MODULES = sorted(module.name for module in pkgutil.walk_packages(train.__path__, "train."))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
