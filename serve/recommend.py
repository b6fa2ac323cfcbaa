"""Recommendations in three stages: the retriever's candidates, what the user already has taken out, ranking.

Legend of shapes: N candidates, D width of a vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from core.errors import UserError
from serve.bundle import HISTORY_COLUMN, RANKER, RETRIEVER, Bundle
from serve.catalogue import Catalogue
from serve.columns import features_of, parse_features
from serve.people import People, Person
from serve.recommendation import Item, Recommendation, Stage
from serve.signature import Array, Signature, is_null

CANDIDATES = 200
"""How many items the ranker sees where the bundle does not say."""
MOST = 1000
"""The largest k that is answered."""


class MissingValue(UserError):
    """A feature is null that training never saw null and that no operator fills, so a model gave no number."""


class Recommender:
    """Answers who should see what. Safe to call from several threads.

    Args:
        bundle: An opened bundle that knows items.
        candidates: How many items the ranker sees; by default what the bundle was exported with.
        threads: Threads that one request may use.
        people: Who the users are and what they already have; by default what the bundle knows.

    Raises:
        UserError: The bundle knows no items, or a part of it is broken.
    """

    def __init__(
        self, bundle: Bundle, candidates: int | None = None, threads: int = 1, people: People | None = None
    ) -> None:
        if not bundle.has_items:
            message = "this bundle knows no items, so it can score rows but not recommend"
            raise UserError(message, where=str(bundle.path), cure="give the data a user and an item role")
        self.bundle = bundle
        self.candidates = candidates or int(bundle.manifest.get("candidates", CANDIDATES))
        held = bundle.signatures
        self._ranker = bundle.model(RANKER, threads) if RANKER in held else None
        self._retriever = bundle.model(RETRIEVER, threads) if RETRIEVER in held else None
        self._index = bundle.search() if self._retriever else None
        self._catalogue = Catalogue.read(bundle)
        self._people = people or People.read(bundle)
        inputs = features_of(tuple(held.values()), "user", "context")
        # What somebody met, where a model reads it: raw columns of that name are nobody's history.
        self._history = HISTORY_COLUMN if "history" in bundle.manifest.get("reads", []) else None
        # The id says who asks, and with it what has been seen; as a feature it would only say the first.
        self._inputs = {name: item for name, item in inputs.items() if name != bundle.roles.user}

    def recommend(
        self, user: int | str | None = None, features: Mapping[str, Any] | None = None, k: int = 10
    ) -> Recommendation:
        """The k items to show to a user.

        Args:
            user: Raw id. An unknown one, or None, is a cold user: all that is not in `features` is null.
            features: Raw user (and context) columns that are given now; they replace what the bundle knows.
            k: How many items.

        Returns:
            At most k items, best first, none of which the user already has, nor is in a `history` that is given.

        Raises:
            MissingValue: A model can't do without a value that nobody gave.
            UserError: k is out of range, or a feature is unknown or of the wrong type.
        """
        _check_k(k)
        given = parse_features(features or {}, self._inputs)
        person = self._people.find(user, given)
        if self._history is not None and self._history in given:
            met = self._catalogue.rows_of(given[self._history][0])
            person = replace(person, seen=np.union1d(person.seen, met))
        rows, scores, found = self._find(person, max(self.candidates, k))
        kept, filtered = self._filter(person, rows, max(self.candidates, k))
        order, ranked = self._rank(person, rows[kept], scores[kept], k)
        items = tuple(Item(*self._catalogue.show(int(row)), float(score)) for row, score in order)
        return Recommendation(person.id, person.known, items, (found, filtered, ranked))

    def _find(self, person: Person, count: int) -> tuple[Array, Array, Stage]:
        """Candidates: more than `count`, so that enough are left when the seen ones are out."""
        start = perf_counter()
        total = len(self._catalogue)
        if self._retriever is None or self._index is None:
            rows, scores = np.arange(total), np.zeros(total, np.float32)
            return rows, scores, Stage("candidates", total, total, {}, perf_counter() - start)
        answer = self._retriever.run(person.columns_for(self._retriever.signature))
        if np.isnan(answer).any():
            raise _missing(_nulls(person, self._retriever.signature) or ["this user"])
        found_scores, found_rows = self._index.search(answer, count + len(person.seen))
        there = found_rows[0] >= 0
        rows, scores = found_rows[0][there], found_scores[0][there]
        dropped = {"farther from the user": total - len(rows)}
        return rows, scores, Stage("candidates", total, len(rows), dropped, perf_counter() - start)

    def _filter(self, person: Person, rows: Array, count: int) -> tuple[Array, Stage]:
        """Positions of the candidates that the user has not seen."""
        start = perf_counter()
        unseen = np.flatnonzero(~np.isin(rows, person.seen))
        # Without a retriever there is no order yet, so nothing is cut.
        kept = unseen[:count] if self._retriever else unseen
        dropped = {"already seen": len(rows) - len(unseen), "beyond the candidates": len(unseen) - len(kept)}
        return kept, Stage("filtering", len(rows), len(kept), dropped, perf_counter() - start)

    def _rank(self, person: Person, rows: Array, scores: Array, k: int) -> tuple[list[tuple[int, float]], Stage]:
        """The best k of the candidates by the ranker, or by the retriever where there is no ranker."""
        start = perf_counter()
        if self._ranker and len(rows):
            signature = self._ranker.signature
            items = self._catalogue.columns_for(signature, rows)
            scored = self._ranker.run({**person.columns_for(signature), **items})
            # A ranker that reads no item column gives one score for all of them.
            scores = np.broadcast_to(scored, rows.shape)
            if np.isnan(scores).all() and (nulls := _nulls(person, signature)):
                raise _missing(nulls)
        # Equal scores: the item with the smaller id first.
        order = np.lexsort((rows, -scores))
        order = order[~np.isnan(scores[order])]
        best = [(int(rows[at]), float(scores[at])) for at in order[:k]]
        dropped = {"without a score": len(rows) - len(order), "ranked lower": len(order) - len(best)}
        return best, Stage("ranking", len(rows), len(best), dropped, perf_counter() - start)


def _check_k(k: object) -> None:
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= MOST:
        raise UserError(f"k must be a whole number between 1 and {MOST}, got {k!r}", where="k")


def _nulls(person: Person, signature: Signature) -> list[str]:
    columns = person.columns_for(signature)
    return [item.name for item in signature.inputs if item.name in columns and is_null(columns[item.name])]


def _missing(names: list[str]) -> MissingValue:
    return MissingValue(
        f"the model cannot tell anything without a value for {' or '.join(names)}",
        cure="give it among the features, or add fill_median or fill_missing to the workflow",
    )
