"""One model of the bundle in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import UserError
from serve.signature import Array, Signature


class Model:
    """A loaded model; calls from several threads at once are fine.

    Args:
        file: The ONNX file; its external data are memory-mapped from the file beside it.
        signature: What it takes and gives.
        threads: Threads that one request may use. One is fastest for the few thousand rows of a request,
            and leaves the other cores to other requests.

    Raises:
        UserError: The file is not a model that ONNX Runtime can load.
    """

    def __init__(self, file: Path, signature: Signature, threads: int = 1) -> None:
        self.signature = signature
        self._session = _session(file, threads)
        declared = tuple(each.name for each in self._session.get_inputs())
        known = tuple(item.name for item in signature.tensors)
        if set(declared) != set(known):
            shown = f"{', '.join(declared)} against {', '.join(known)}"
            raise UserError(f"the model's inputs differ from schema.json: {shown}", where=str(file))

    def run(self, columns: Mapping[str, Array]) -> Array:
        """Run the model over raw columns.

        Args:
            columns: Every input by name, each [rows] or [1]; see `Signature.check`.

        Returns:
            float32 [rows], or [rows, width].

        Raises:
            UserError: The columns do not fit the signature.
        """
        self.signature.check(columns)
        return self.run_checked(columns)

    def run_checked(self, columns: Mapping[str, Array]) -> Array:
        """Run the model over columns that are known to fit."""
        output: Array = self.answers(columns, [self.signature.output])[self.signature.output]
        return output

    def answers(self, columns: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Run the model over columns that are known to fit: some of `Signature.outputs`, by name."""
        found = self._session.run(list(outputs), self.signature.feed(columns))
        return dict(zip(outputs, found, strict=True))


def _session(file: Path, threads: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - the runtime's own classes share no public base
        message = f"ONNX Runtime cannot load the model ({str(error).splitlines()[0]})"
        raise UserError(message, where=str(file), cure="export the bundle again") from None
