"""Settings from YAML: what is read, and what each fault says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, field_validator

from core.config import dump, json_schema, load, load_text
from core.errors import UserError
from core.spec import Spec
from core.union import ByKind, ByName


class Model(Spec):
    """A model of the test."""

    embedding_dim: int = Field(16, gt=0)

    @field_validator("embedding_dim")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 8:
            raise ValueError(f"must be a multiple of 8, got {value}")
        return value


class Dlrm(Model):
    """One with a setting of its own."""

    dropout: float = 0.0


class Mlp(Model):
    """One without."""


class Clip(Spec):
    """An operator with aliases."""

    min_value: float | None = Field(None, alias="min")


class Log(Spec):
    """An operator without settings."""


class Table(Spec):
    """A table."""

    path: str


class Feature(Spec):
    """Columns and their operators."""

    columns: tuple[str, ...]
    ops: tuple[Annotated[Spec, ByName({"clip": Clip, "log": Log})], ...] = ()
    table: str | Table = "x"


class Root(Spec):
    """The whole."""

    model: Annotated[Model, ByKind({"dlrm": Dlrm, "mlp": Mlp}, noun="model")]
    features: tuple[Feature, ...] = ()
    rate: float = 0.1


GOOD = """\
model: {kind: dlrm, embedding_dim: 8}
rate: 1e-3
features:
  - {columns: [a, no], ops: [log, {clip: {min: 1}}], table: {path: b}}
"""


def fault(text: str, *overrides: str) -> str:
    """The message that a config gets."""
    with pytest.raises(UserError) as caught:
        load_text(Root, text, "x.yaml", overrides)
    return str(caught.value)


def test_reads_both_forms_of_registries_and_numbers_of_yaml_1_2() -> None:
    root = load_text(Root, GOOD, "x.yaml")
    assert root.model == Dlrm(embedding_dim=8)
    assert root.features[0].ops == (Log(), Clip(min_value=1.0))
    assert root.features[0].columns == ("a", "no")
    assert root.rate == 1e-3


def test_dump_is_read_back_equal() -> None:
    root = load_text(Root, GOOD, "x.yaml")
    assert load_text(Root, dump(root), "again.yaml") == root
    assert "min: 1.0" in dump(root)


def test_a_name_alone_is_a_kind_with_defaults() -> None:
    assert load_text(Root, "model: mlp", "x.yaml").model == Mlp()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "model: {kind: dlrm, embedding_dim: 12}",
            "x.yaml:1:36: model.embedding_dim: must be a multiple of 8, got 12",
        ),
        (
            "model: {kind: dlmr}",
            "x.yaml:1:15: model.kind: there is no model 'dlmr'; did you mean dlrm? (one of: dlrm, mlp)",
        ),
        (
            "model: dlmr",
            "x.yaml:1:8: model: there is no model 'dlmr'; did you mean dlrm? (one of: dlrm, mlp)",
        ),
        ("model: {embedding_dim: 8}", "x.yaml:1:8: model: `kind` is missing; one of: dlrm, mlp"),
        ("model: 3", "x.yaml:1:8: model: must be the name of a model or a mapping with `kind`"),
        ("rate: 0.5", "x.yaml:1:1: model: is missing"),
        ("", "x.yaml:1:1: model: is missing"),
        (
            "model: mlp\nrat: 3",
            "x.yaml:2:1: rat: unknown key; did you mean rate? (one of: features, model, rate)",
        ),
        ("model: mlp\nrate: quick", 'x.yaml:2:7: rate: must be a number, got "quick"'),
        ("model: mlp\nrate: .nan", "x.yaml:2:7: rate: must be a finite number, got NaN"),
        ("model: mlp\nfeatures: [{columns: a}]", 'x.yaml:2:22: features.0.columns: must be a list, got "a"'),
        (
            "model: mlp\nfeatures: [{columns: [a], ops: [{clip: {mn: 1}}]}]",
            "x.yaml:2:41: features.0.ops.0.clip.mn: unknown key; did you mean min? (one of: min)",
        ),
        (
            "model: mlp\nfeatures: [{columns: [a], ops: [clp]}]",
            "x.yaml:2:33: features.0.ops.0: there is no operator 'clp'; did you mean clip? (one of: clip, log)",
        ),
        (
            "model: mlp\nfeatures: [{columns: [a], table: {pth: b}}]",
            (
                "x.yaml:2:27: features.0.table.path: is missing\n"
                "x.yaml:2:35: features.0.table.pth: unknown key; did you mean path? (one of: path)"
            ),
        ),
        (
            "model: mlp\nmodel: dlrm",
            "x.yaml:2:1: the key 'model' occurs twice, first at x.yaml:1:1; remove one",
        ),
        ("- 1", "x.yaml:1:1: a config is a mapping of keys to values"),
        ("a: &a [*a]", "x.yaml:1:4: this value contains itself"),
    ],
)
def test_fault_names_place_value_and_cure(text: str, message: str) -> None:
    assert fault(text) == message


def test_broken_yaml_is_placed() -> None:
    assert fault("a: [1,\nb: }").startswith("x.yaml:2:")
    assert fault("a: !!python/object/apply:os.getcwd []").startswith("x.yaml:1:4: this is not valid YAML")


def test_every_fault_is_told_in_the_order_of_the_file() -> None:
    lines = fault("rate: x\nmodel: {kind: dlrm, embedding_dim: 12, dropout: y}\nother: 1").splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "rate",
        "model.embedding_dim",
        "model.dropout",
        "other",
    ]


def test_overrides_change_values_deep_inside() -> None:
    root = load_text(Root, GOOD, "x.yaml", ["model.embedding_dim=16", "features.0.ops.1.clip.min=2", "rate=2e-1"])
    assert root.model.embedding_dim == 16
    assert root.features[0].ops[1] == Clip(min_value=2.0)
    assert root.rate == 0.2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.embedding_dim=12", "model.embedding_dim: must be a multiple of 8, got 12"),
        ("rat=1", "rat: unknown key; did you mean rate? (one of: features, model, rate)"),
        ("rate.x=1", "the path leads through the value 0.001, which holds no keys; set that value whole"),
        ("features.4=1", "4 is no place in a list of 1; count from 0"),
        ("rate", "this is not a change; write it as --set a.b.c=value"),
        ("=3", "this is not a change; write it as --set a.b.c=value"),
    ],
)
def test_a_bad_override_is_placed_at_itself(override: str, message: str) -> None:
    assert fault(GOOD, override) == f"--set {override}: {message}"


def test_a_good_override_heals_a_bad_value_in_the_file() -> None:
    assert load_text(Root, "model: {kind: dlrm, embedding_dim: 12}", "x.yaml", ["model.embedding_dim=8"])


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "latin.yaml"):
        with pytest.raises(UserError, match=path.name):
            load(Root, path)


def test_user_error_inside_a_validator_is_placed() -> None:
    class Picky(Spec):
        word: str

        @field_validator("word")
        @classmethod
        def _check(cls, value: str) -> str:
            raise UserError(f"never {value}")

    with pytest.raises(UserError, match=r"x\.yaml:1:1: never good"):
        load_text(Picky, "word: good", "x.yaml")


def test_json_schema_offers_every_kind_and_has_no_inner_definitions() -> None:
    schema = json_schema(Root)
    kinds = [choice["properties"]["kind"]["const"] for choice in schema["properties"]["model"]["anyOf"][1:]]
    assert kinds == ["dlrm", "mlp"]
    assert str(schema).count("$defs'") == 1


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers() | st.text() | st.booleans(), max_size=4))
def test_whatever_the_keys_there_is_no_other_error(data: dict[str, object]) -> None:
    import yaml

    with pytest.raises(UserError):
        load_text(Mlp, yaml.safe_dump({**data, "unknown!": 1}, allow_unicode=True), "x.yaml")
