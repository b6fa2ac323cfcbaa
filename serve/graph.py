"""The builder behind `etl.onnx.GraphBuilder`: operators add nodes, serving gets an ONNX model.

Every name that the builder makes carries its prefix, so that its graph merges with another one without clashes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from etl.onnx import Value

OPSET = 18
ML_OPSET = 4
PREFIX = "etl_"
IR_VERSION = 10
DOMAINS = {"": OPSET, "ai.onnx.ml": ML_OPSET, "com.microsoft": 1}

ELEMENTS = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}
"""Element types of ONNX by our names."""


class OnnxGraph:
    """Collects nodes and constants, then makes a model of them.

    Args:
        prefix: Starts every name that the builder makes.

    Example:
        >>> graph = OnnxGraph()
        >>> age = graph.input("age", "float32")
        >>> one = graph.constant(1.0, "float32")
        >>> model = graph.to_model([age], {"older": graph.op("Add", age, one, dtype="float32")})
        >>> run(model, {"age": np.array([1, 2], np.float32)})["older"].tolist()
        [2.0, 3.0]
    """

    def __init__(self, prefix: str = PREFIX) -> None:
        self.prefix = prefix
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._domains = {"": OPSET}

    def input(self, name: str, dtype: str) -> Value:
        """Name an input of the graph, a vector; its name carries no prefix."""
        _element(dtype)
        return Value(name, dtype)

    def op(self, kind: str, *inputs: Value, dtype: str, domain: str = "", **attributes: Any) -> Value:
        """Add the node `kind` with one output of element type `dtype`; numpy attributes become tensors."""
        _element(dtype)
        if domain not in DOMAINS:
            raise ValueError(f"domain must be one of {sorted(DOMAINS)}, got {domain!r}")
        self._domains[domain] = DOMAINS[domain]
        output = Value(f"{self.prefix}{len(self._nodes)}_{kind}", dtype)
        settings = {name: _attribute(value) for name, value in attributes.items()}
        names = [value.name for value in inputs]
        node = helper.make_node(kind, names, [output.name], name=f"{output.name}_node", domain=domain, **settings)
        self._nodes.append(node)
        return output

    def constant(self, values: Any, dtype: str) -> Value:
        """Add a constant: a scalar, a list or a numpy array; equal ones are kept once."""
        _element(dtype)
        array = np.asarray(values, dtype=object if dtype == "string" else np.dtype(dtype))
        key = (dtype, array.shape, json.dumps(array.tolist()).encode() if dtype == "string" else array.tobytes())
        if key not in self._known:
            value = Value(f"{self.prefix}constant_{len(self._constants)}", dtype)
            self._constants.append(_tensor(array, value.name))
            self._known[key] = value
        return self._known[key]

    def external(self, name: str, shape: Sequence[int], dtype: str, *, offset: int, length: int) -> Value:
        """Add a constant whose bytes lie in the file `name` beside the model."""
        value = Value(f"{self.prefix}constant_{len(self._constants)}", dtype)
        tensor = TensorProto(name=value.name, data_type=_element(dtype), dims=shape, data_location=TensorProto.EXTERNAL)
        for key, told in (("location", name), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(told))
        self._constants.append(tensor)
        return value

    def loop_body(self, inputs: Sequence[Value], going: Value, out: Value, rank: int) -> onnx.GraphProto:
        """Make the body of a node Loop; it may also use values of the graph that the node lies in.

        Args:
            inputs: The number of the step and whether it goes on, both scalars, and what is carried, if it is.
            going: Whether it goes on.
            out: What is carried to the next step, or one row of what the loop gives.
            rank: Number of dimensions of `out`, and of what is carried.
        """
        ends = {f"{self.prefix}goes_on": going, f"{self.prefix}gives": out}
        shapes: tuple[list[str | None], ...] = ([], [], [None] * rank)
        return helper.make_graph(
            [*self._nodes, *(self._named(name, value) for name, value in ends.items())],
            f"{self.prefix}graph",
            [_info(value.name, value.dtype, shape) for value, shape in zip(inputs, shapes, strict=False)],
            [_info(name, value.dtype, shape) for (name, value), shape in zip(ends.items(), shapes[1:], strict=True)],
            self._constants,
        )

    def to_model(
        self, inputs: Sequence[Value], outputs: Mapping[str, Value], ranks: Mapping[str, int] | None = None
    ) -> onnx.ModelProto:
        """Make the model.

        Args:
            inputs: What `input` gave; each is a vector whose length is its own free dimension.
            outputs: Name in the model -> value. A value can be given several names.
            ranks: Output -> number of its dimensions; one where it isn't told.
        """
        finals = [self._named(name, value) for name, value in outputs.items()]
        graph = helper.make_graph(
            [*self._nodes, *finals],
            f"{self.prefix}graph",
            # One symbol an input: a shared one would let the runtime reuse buffers of the wrong length.
            [_info(value.name, value.dtype, [f"{value.name}_rows"]) for value in inputs],
            [_info(name, value.dtype, [None] * (ranks or {}).get(name, 1)) for name, value in outputs.items()],
            self._constants,
        )
        imports = [helper.make_opsetid(domain, version) for domain, version in sorted(self._domains.items())]
        return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="gyrfalcon")

    def _named(self, name: str, value: Value) -> NodeProto:
        return helper.make_node("Identity", [value.name], [name], name=f"{self.prefix}output_{name}")


def run(model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Check a model and run it once with ONNX Runtime on one thread: output name -> array."""
    import onnxruntime as ort

    onnx.checker.check_model(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def _element(dtype: str) -> int:
    if dtype not in ELEMENTS:
        raise ValueError(f"dtype must be one of {sorted(ELEMENTS)}, got {dtype!r}")
    return int(ELEMENTS[dtype])


def _tensor(array: NDArray[Any], name: str) -> TensorProto:
    if array.dtype == object:
        texts = [str(value).encode() for value in array.ravel().tolist()]
        return TensorProto(name=name, data_type=TensorProto.STRING, dims=array.shape, string_data=texts)
    return numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)


def _attribute(value: Any) -> Any:
    return _tensor(value, "") if isinstance(value, np.ndarray) else value


def _info(name: str, dtype: str, shape: Sequence[str | None]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _element(dtype), shape)
