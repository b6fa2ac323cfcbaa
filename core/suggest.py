"""Guesses at what a mistyped word was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(word: object, choices: Iterable[str]) -> str | None:
    """The choice nearest to a word, or None when nothing is near.

    Example:
        >>> closest("epoch", ["epochs", "seed"])
        'epochs'
    """
    names = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(str(word).lower(), list(names), n=1, cutoff=0.6)
    return names[found[0]] if found else None


def did_you_mean(word: object, choices: Iterable[str]) -> str:
    """The end of an error message: the likely word and every possible one.

    Example:
        >>> did_you_mean("dlmr", ["dlrm", "mlp"])
        'did you mean dlrm? (one of: dlrm, mlp)'
    """
    known = sorted(set(choices))
    listed = f"one of: {', '.join(known)}"
    guess = closest(word, known)
    return f"did you mean {guess}? ({listed})" if guess else listed
