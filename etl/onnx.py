"""The small protocol through which an operator writes itself into a serving graph.

The graph is built by `serve`; operators only see this. Nulls travel as values: NaN in floats, the smallest
int64 in integers, "" in strings. Every value is a vector [n] where n is the number of rows, or 1 for a value
that holds for all rows of the request (a user against many candidates).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

INT_NULL = -(2**63)
"""What stands for null in an int64 input."""


@dataclass(frozen=True)
class Value:
    """One tensor of the graph: its name and its element type (int64, float32, float64, string, bool)."""

    name: str
    dtype: str


class GraphBuilder(Protocol):
    """Adds nodes to a graph; knows nothing of operators."""

    def op(self, kind: str, *inputs: Value, dtype: str, domain: str = "", **attributes: Any) -> Value:
        """Add the node `kind` with one output of element type `dtype`."""
        ...

    def constant(self, values: Any, dtype: str) -> Value:
        """Add a constant: a scalar, a list or a numpy array (large ones become initializers)."""
        ...
