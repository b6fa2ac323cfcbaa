"""What every candidate generator must hold. A new one gets all of it by one line:

class TestTwoTower(RetrieverContract, model=TwoTowerSpec()): ...
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import train.trainer
from core.dataset import Dataset
from core.errors import UserError
from core.files import hash_tree
from tests.train.clubs import users
from train.batch import Batch
from train.histories import Histories
from train.models.retrieve.base import CountedModel, Reads, RetrieverModel, Scores, Towers
from train.pairs import ENTITY, Tables, read_interactions, read_tables, take
from train.retriever import Retriever, load_retriever, queries_at
from train.retriever_training import train_retriever
from train.spec import OptimizerSpec, RetrieverSpec

CPU = torch.device("cpu")


class Killed(BaseException):
    """Stands for `kill -9`: nothing catches it."""


class RetrieverContract:
    """Inherited by one test class a model; the fixture `clubs` is a data set of `tests.train.clubs`."""

    model: ClassVar[RetrieverModel]

    def __init_subclass__(cls, *, model: RetrieverModel) -> None:
        cls.model = model

    @property
    def spec(self) -> RetrieverSpec:
        """Settings that train in a moment."""
        optimizer = OptimizerSpec(rate=0.01, embedding_rate=0.1)
        return RetrieverSpec(model=self.model, epochs=3, batch_size=64, optimizer=optimizer, monitor_k=5, patience=3)

    def train(self, dataset: Dataset, out: Path, *, seed: int = 0) -> dict[str, Any]:
        """Train into `out`."""
        return train_retriever(dataset, self.spec, out, seed=seed, device=CPU)

    def trained(self, dataset: Dataset, out: Path) -> tuple[Retriever, Tables]:
        """A trained one, what is known of all users when the validation split begins, and the features of all items."""
        self.train(dataset, out)
        retriever = load_retriever(out)
        tables = read_tables(dataset, retriever.user_features, retriever.item_features)
        queries = queries_at(tables.user, Histories.of(read_interactions(dataset)), "valid")
        return retriever, Tables(queries, tables.item)

    @staticmethod
    @torch.inference_mode()
    def answers(retriever: Retriever, queries: Batch) -> Tensor:
        """The vector of each user, or the scores of all items where a model has none."""
        module = retriever.module
        scores: Tensor = retriever.query_module(queries) if isinstance(module, Towers) else module(queries)
        return scores

    def test_scores_are_one_an_item(self, clubs: Dataset, tmp_path: Path) -> None:
        retriever, tables = self.trained(clubs, tmp_path / "out")
        if isinstance(retriever.module, Towers):
            pytest.skip("it has vectors")
        score_UI = self.answers(retriever, tables.user)
        assert score_UI.dtype == torch.float32
        assert score_UI.shape == (len(tables.user), retriever.items)
        assert score_UI.isfinite().all()

    def test_vectors_of_both_sides_meet(self, clubs: Dataset, tmp_path: Path) -> None:
        retriever, tables = self.trained(clubs, tmp_path / "out")
        if isinstance(retriever.module, Scores):
            pytest.skip("it has no vectors")
        user_UV, item_IV = retriever.user_vectors(tables.user), retriever.item_vectors(tables.item)
        assert user_UV.dtype == item_IV.dtype == torch.float32
        assert user_UV.shape == (len(tables.user), item_IV.shape[1])
        assert len(item_IV) == len(tables.item) == retriever.items
        assert user_UV.isfinite().all()
        assert item_IV.isfinite().all()

    def test_a_row_is_its_own_whatever_lies_beside_it(self, clubs: Dataset, tmp_path: Path) -> None:
        retriever, tables = self.trained(clubs, tmp_path / "out")
        some = torch.tensor([7, 3, 3, 0])
        every = self.answers(retriever, tables.user)
        assert torch.allclose(self.answers(retriever, take(tables.user, some)), every[some], atol=1e-6)
        if isinstance(retriever.module, Towers):
            item_IV = retriever.item_vectors(tables.item)
            assert torch.allclose(retriever.item_vectors(take(tables.item, some)), item_IV[some], atol=1e-6)

    def test_a_query_needs_no_number_of_the_user(self, clubs: Dataset, tmp_path: Path) -> None:
        if Reads.USER in self.model.reads:
            pytest.skip("it reads the number of the user")
        retriever, tables = self.trained(clubs, tmp_path / "out")
        bare = Batch(tables.user.ids_BF.long(), tables.user.dense_BD, lists=tables.user.lists)
        assert torch.equal(self.answers(retriever, bare), self.answers(retriever, tables.user))

    def test_somebody_unknown_gets_what_anybody_unknown_gets(self, clubs: Dataset, tmp_path: Path) -> None:
        if Reads.USER not in self.model.reads:
            pytest.skip("it does not read the number of the user")
        retriever, tables = self.trained(clubs, tmp_path / "out")
        _, newcomer_U = users()
        unknown_B = torch.cat([torch.from_numpy(newcomer_U).nonzero().squeeze(1), torch.tensor([len(newcomer_U)])])
        none_B0 = torch.zeros(len(unknown_B), 0)
        found = self.answers(retriever, Batch(none_B0.long(), none_B0, extra={ENTITY: unknown_B}))
        assert found.isfinite().all()
        assert (found == found[0]).all()
        assert not (self.answers(retriever, tables.user) == found[0]).all()

    def test_equal_seeds_give_equal_bytes(self, clubs: Dataset, tmp_path: Path) -> None:
        self.train(clubs, tmp_path / "a")
        self.train(clubs, tmp_path / "b")
        assert hash_tree(tmp_path / "a") == hash_tree(tmp_path / "b")

    def test_training_leaves_the_random_state_alone(self, clubs: Dataset, tmp_path: Path) -> None:
        before = torch.get_rng_state()
        self.train(clubs, tmp_path / "out")
        assert torch.equal(before, torch.get_rng_state())

    def test_training_again_is_a_look_at_what_is_there(self, clubs: Dataset, tmp_path: Path) -> None:
        first = self.train(clubs, tmp_path / "out")
        stamp = (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns
        second = self.train(clubs, tmp_path / "out")
        assert (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns == stamp
        assert {name: first[name] for name in second} == second
        self.train(clubs, tmp_path / "out", seed=1)
        assert (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns != stamp

    def test_the_files_tell_the_story(self, clubs: Dataset, tmp_path: Path) -> None:
        figures = self.train(clubs, tmp_path / "out")
        assert sorted(hash_tree(tmp_path / "out")) == [
            "history.json",
            "model.json",
            "model.safetensors",
        ]
        history = json.loads((tmp_path / "out" / "history.json").read_text())
        assert history["monitor"] == "recall@5"
        assert [epoch["epoch"] for epoch in history["epochs"]] == list(range(1, figures["epochs"] + 1))
        assert all(set(epoch["valid"]) == {"recall@5", "ndcg@5"} for epoch in history["epochs"])
        assert "seconds" not in json.dumps(history)

    @pytest.mark.parametrize("moment", [1, 4, 5, 8, 11])
    def test_a_killed_training_goes_on_as_if_it_had_not_been(
        self, clubs: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
    ) -> None:
        if isinstance(self.model, CountedModel):
            pytest.skip("it has no steps to be killed between")
        whole = self.train(clubs, tmp_path / "whole")
        eager = self.spec.model_copy(update={"checkpoint_seconds": 0.0})
        with monkeypatch.context() as patch:
            self._kill_before_save(patch, moment)
            with pytest.raises(Killed):
                train_retriever(clubs, eager, tmp_path / "out", seed=0, device=CPU)
        assert not (tmp_path / "out" / "model.json").exists()
        resumed = train_retriever(clubs, eager, tmp_path / "out", seed=0, device=CPU)
        assert resumed["rows"] < whole["rows"] or moment == 1
        for name in ("model.safetensors", "history.json"):
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()

    @staticmethod
    def _kill_before_save(patch: pytest.MonkeyPatch, moment: int) -> None:
        """Die right before the checkpoint of that number is written."""
        save, calls = train.trainer.save_checkpoint, []

        def dying(*args: Any) -> None:
            calls.append(1)
            if len(calls) == moment:
                raise Killed
            save(*args)

        patch.setattr(train.trainer, "save_checkpoint", dying)

    @pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
    @pytest.mark.parametrize("damage", ["gone", "cut", "other"])
    def test_damage_is_told(self, clubs: Dataset, tmp_path: Path, name: str, damage: str) -> None:
        self.train(clubs, tmp_path / "out")
        file = tmp_path / "out" / name
        content = file.read_bytes()
        file.unlink()
        if damage == "cut":
            file.write_bytes(content[: len(content) // 2])
        if damage == "other":
            file.write_bytes(b"{}" if name.endswith("json") else content[:8] + b"{}" + content[10:])
        with pytest.raises(UserError) as told:
            load_retriever(tmp_path / "out")
        assert str(tmp_path) in str(told.value)

    def test_a_newer_version_is_told(self, clubs: Dataset, tmp_path: Path) -> None:
        self.train(clubs, tmp_path / "out")
        file = tmp_path / "out" / "model.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "version": 99}))
        with pytest.raises(UserError, match="version 99"):
            load_retriever(tmp_path / "out")

    def test_the_data_set_is_left_as_it_is(self, clubs: Dataset, tmp_path: Path) -> None:
        copy = Dataset(Path(shutil.copytree(clubs.path, tmp_path / "data")))
        before = hash_tree(copy.path)
        self.train(copy, tmp_path / "out")
        assert hash_tree(copy.path) == before
