"""Requests and answers of the Open Inference protocol (KServe v2) with its binary tensor extension.

A body is a JSON head, and behind it the raw bytes of those tensors whose `parameters` say `binary_data_size`;
the header `Inference-Header-Content-Length` says where the head ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import UserError
from core.suggest import did_you_mean
from serve.lists import split
from serve.signature import Array, Input, Signature
from serve.tensors import DATATYPES, check_shape, from_bytes, from_json, to_bytes, to_json

HEAD_LENGTH = "inference-header-content-length"
MODEL_VERSION = "1"


@dataclass(frozen=True)
class InferRequest:
    """A checked request.

    Attributes:
        id: The client's name for it, given back.
        columns: Every input of the model by name.
        rows: Length of the answer.
        outputs: What goes back, and whether as raw bytes; of a request that names none, every output.
    """

    id: str | None
    columns: Mapping[str, Array]
    rows: int
    outputs: Mapping[str, bool]


@dataclass(frozen=True)
class InferResponse:
    """An answer on the wire: the body, and where its JSON head ends when raw bytes follow."""

    body: bytes
    head_length: int | None


def parse_request(body: bytes, head_length: str | None, signature: Signature) -> InferRequest:
    """Read a request.

    Args:
        body: The whole body.
        head_length: The header `Inference-Header-Content-Length`, when it was given.
        signature: Of the model that is asked.

    Raises:
        UserError: The request is malformed or does not fit the model.
    """
    head_bytes, rest = _split(body, head_length)
    head = parse_object(head_bytes)
    inputs = head.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(each, dict) for each in inputs):
        raise UserError("the request must hold a list `inputs` of objects")
    known = {item.name: item for item in signature.tensors}
    elements = {item.tensors[0].name for item in signature.inputs if item.is_list}
    tensors: dict[str, Array] = {}
    for each in inputs:
        item = _known(each, known)
        if item.name in tensors:
            raise UserError("the input is given twice", where=item.name)
        tensors[item.name], rest = _read(item, each, rest, least=0 if item.name in elements else 1)
    if rest:
        raise UserError(f"{len(rest)} bytes follow behind the last input")
    columns = _columns(tensors, signature)
    identity = head.get("id")
    if identity is not None and not isinstance(identity, str):
        raise UserError("`id` must be a text")
    return InferRequest(identity, columns, signature.check(columns), _wanted_outputs(head, signature))


def format_response(name: str, request: InferRequest, answers: Mapping[str, Array]) -> InferResponse:
    """Write the answer: the outputs that were asked for."""
    outputs, raw = [], b""
    for key, binary in request.outputs.items():
        values = answers[key]
        output: dict[str, Any] = {"name": key, "datatype": "FP32", "shape": list(values.shape)}
        if binary:
            part = to_bytes(values)
            output["parameters"], raw = {"binary_data_size": len(part)}, raw + part
        else:
            output["data"] = to_json(values)
        outputs.append(output)
    head: dict[str, Any] = {"model_name": name, "model_version": MODEL_VERSION, "outputs": outputs}
    if request.id is not None:
        head["id"] = request.id
    text = json.dumps(head).encode()
    return InferResponse(text + raw, len(text) if any(request.outputs.values()) else None)


def _columns(tensors: Mapping[str, Array], signature: Signature) -> dict[str, Array]:
    """The columns that tensors make: the two of a list become one."""
    columns = dict(tensors)
    for item in signature.inputs:
        names = [one.name for one in item.tensors]
        given = [name for name in names if name in columns]
        if not item.is_list or not given:
            continue
        if len(given) < len(names):
            (missing,) = set(names) - set(given)
            raise UserError(f"{given[0]} needs {missing} beside it", where=given[0])
        values, offsets = (columns.pop(name) for name in names)
        columns[item.name] = split(values, offsets, names[1])
    return columns


def describe_model(name: str, signature: Signature) -> dict[str, Any]:
    """Metadata of a model; -1 is a free dimension."""
    inputs = [{"name": item.name, "datatype": DATATYPES[item.dtype], "shape": [-1]} for item in signature.tensors]
    shape = [-1, signature.width] if signature.width else [-1]
    outputs = [{"name": signature.output, "datatype": "FP32", "shape": shape}]
    outputs += [{"name": name, "datatype": "FP32", "shape": [-1]} for name in signature.further]
    head = {"name": name, "versions": [MODEL_VERSION], "platform": "onnxruntime_onnx"}
    return {**head, "inputs": inputs, "outputs": outputs}


def parse_object(text: bytes) -> dict[str, Any]:
    """Bytes as a JSON object.

    Raises:
        UserError: They are not JSON, or not an object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"the body is not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise UserError("the body must be a JSON object")
    return value


def _split(body: bytes, head_length: str | None) -> tuple[bytes, bytes]:
    if head_length is None:
        return body, b""
    if not head_length.isascii() or not head_length.isdigit() or int(head_length[:19]) > len(body):
        raise UserError(f"the header {HEAD_LENGTH} must be a length within the body, got {head_length!r}")
    return body[: int(head_length)], body[int(head_length) :]


def _known(given: Mapping[str, Any], known: Mapping[str, Input]) -> Input:
    name = given.get("name")
    if not isinstance(name, str) or name not in known:
        raise UserError(f"the model has no input {name!r}", cure=did_you_mean(name, known))
    return known[name]


def _read(item: Input, given: Mapping[str, Any], rest: bytes, *, least: int = 1) -> tuple[Array, bytes]:
    """One tensor of the request, of at least so many values, and the bytes that are left behind it."""
    if given.get("datatype") != DATATYPES[item.dtype]:
        wanted = DATATYPES[item.dtype]
        raise UserError(f"the datatype must be {wanted}, got {given.get('datatype')!r}", where=item.name)
    length = check_shape(item, given.get("shape"), least=least)
    parameters = given.get("parameters") or {}
    if not isinstance(parameters, dict) or "shared_memory_region" in parameters:
        raise UserError("the parameters cannot be used; shared memory is not offered", where=item.name)
    size = parameters.get("binary_data_size")
    if size is None:
        return from_json(item, length, given.get("data")), rest
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(rest):
        message = f"binary_data_size must be a length within the body, got {size!r}; {len(rest)} bytes are left"
        raise UserError(message, where=item.name)
    return from_bytes(item, length, rest[:size]), rest[size:]


def _wanted_outputs(head: Mapping[str, Any], signature: Signature) -> dict[str, bool]:
    """What goes back, and whether as bytes: an output's own word counts before the request's."""
    outputs = head.get("outputs") or []
    if not isinstance(outputs, list) or not all(isinstance(each, dict) for each in outputs):
        raise UserError("`outputs` must be a list of objects")
    usual = bool(_parameters(head).get("binary_data_output", False))
    wanted: dict[str, bool] = {}
    for each in outputs:
        name = each.get("name")
        if name not in signature.outputs:
            raise UserError(f"the model has no output {name!r}", cure=f"it has {', '.join(signature.outputs)}")
        parameters = _parameters(each)
        if parameters.keys() & {"classification", "shared_memory_region"}:
            raise UserError("neither classification nor shared memory is offered", where=str(name))
        wanted[str(name)] = bool(parameters.get("binary_data", usual))
    return wanted or dict.fromkeys(signature.outputs, usual)


def _parameters(value: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = value.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise UserError("`parameters` must be an object")
    return parameters
