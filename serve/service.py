"""What the server answers with, endpoint by endpoint; knows nothing of sockets and of asyncio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from core.errors import UserError
from core.suggest import did_you_mean
from core.version import program_version
from serve.bundle import Bundle
from serve.columns import features_of, typed, whole
from serve.http import BYTES, HTML, JSON, HttpError, Request, Response, json_response
from serve.metrics import CONTENT_TYPE, Metrics
from serve.page import page
from serve.protocol import (
    HEAD_LENGTH,
    MODEL_VERSION,
    describe_model,
    format_response,
    parse_object,
    parse_request,
)
from serve.recommend import Recommender

Handler = Callable[[Request], Response]
RECOMMEND_KEYS = ("user", "k", "features")
MOST = 1 << 26
"""Numbers that an answer may hold: 256 MiB. Scores of all items are many for a small request."""


class Service:
    """The models and the recommender of one bundle behind handlers.

    Args:
        bundle: An opened bundle.
        metrics: Takes the counts.
        threads: Threads that one request may use.

    Raises:
        UserError: A part of the bundle is broken.
    """

    def __init__(self, bundle: Bundle, metrics: Metrics, threads: int = 1) -> None:
        self._bundle, self._metrics = bundle, metrics
        self._models = {name: bundle.model(name, threads) for name in sorted(bundle.signatures)}
        self._recommender = Recommender(bundle, threads=threads) if bundle.has_items else None
        self._inputs = features_of(tuple(bundle.signatures.values()), "user", "context")

    def route(self, request: Request) -> tuple[str, Handler]:
        """The endpoint's name (for the metrics) and what answers the request.

        Raises:
            HttpError: There is no such path, or not with this method.
        """
        match request.path.strip("/").split("/"):
            case [""]:
                return _only("GET", request, "page", self._page)
            case ["v2"]:
                return _only("GET", request, "server", self._server)
            case ["v2", "health", "live" | "ready"]:
                return _only("GET", request, "health", _nothing)
            case ["v2", "models", name, *rest]:
                return self._model_route(request, name, _without_version(rest))
            case ["recommend"]:
                return self._recommend_route(request)
            case ["metrics"]:
                return _only("GET", request, "metrics", self._metrics_text)
        raise HttpError(404, f"there is no path {request.path!r}")

    def _model_route(self, request: Request, name: str, rest: list[str]) -> tuple[str, Handler]:
        if name not in self._models:
            raise HttpError(404, f"there is no model {name!r}; {did_you_mean(name, self._models)}")
        match rest:
            case []:
                return _only("GET", request, "model", lambda _: self._describe(name))
            case ["ready"]:
                return _only("GET", request, "health", _nothing)
            case ["infer"]:
                return _only("POST", request, "infer", lambda one: self._infer(name, one))
        raise HttpError(404, f"there is no path {request.path!r}")

    def _recommend_route(self, request: Request) -> tuple[str, Handler]:
        if request.method not in ("GET", "POST"):
            raise HttpError(405, "this path takes GET and POST", {"allow": "GET, POST"})
        return "recommend", self._recommend

    def _page(self, _: Request) -> Response:
        return Response(page(self._bundle).encode(), content_type=HTML)

    def _server(self, _: Request) -> Response:
        return json_response({"name": "gyrfalcon", "version": program_version(), "extensions": ["binary_tensor_data"]})

    def _describe(self, name: str) -> Response:
        return json_response(describe_model(name, self._models[name].signature))

    def _metrics_text(self, _: Request) -> Response:
        return Response(self._metrics.text(), content_type=CONTENT_TYPE)

    def _infer(self, name: str, request: Request) -> Response:
        model = self._models[name]
        parsed = parse_request(request.body, request.headers.get(HEAD_LENGTH), model.signature)
        if parsed.rows * model.signature.width > MOST:
            told = f"{parsed.rows} rows of {model.signature.width} numbers each are more than {MOST} numbers"
            raise UserError(told, where="shape", cure="ask for fewer rows at a time")
        answers = model.answers(parsed.columns, list(parsed.outputs))
        self._metrics.rows.labels(name).inc(parsed.rows)
        answer = format_response(name, parsed, answers)
        if answer.head_length is None:
            return Response(answer.body)
        return Response(answer.body, content_type=BYTES, headers={HEAD_LENGTH: str(answer.head_length)})

    def _recommend(self, request: Request) -> Response:
        if self._recommender is None:
            raise HttpError(404, "this bundle knows no items, so it can score rows but not recommend")
        asked = parse_object(request.body) if request.method == "POST" else self._from_query(request.query)
        for key in asked:
            if key not in RECOMMEND_KEYS:
                raise UserError(f"unknown key {key!r}", cure=did_you_mean(key, RECOMMEND_KEYS))
        features = asked.get("features") or {}
        if not isinstance(features, dict):
            raise UserError("`features` must be an object")
        found = self._recommender.recommend(asked.get("user"), features, asked.get("k", 10))
        for stage in found.stages:
            self._metrics.stages.labels(stage.name).observe(stage.seconds)
            for reason, count in stage.dropped.items():
                self._metrics.dropped.labels(stage.name, reason).inc(count)
        return json_response(found.to_json())

    def _from_query(self, query: str) -> dict[str, Any]:
        """`user=1&k=10&age=30`: every other key is a feature, read as its input's type."""
        given = dict(parse_qsl(query, keep_blank_values=True))
        asked: dict[str, Any] = {"user": given.pop("user", None)}
        if "k" in given:
            asked["k"] = whole(given.pop("k"), "k")
        asked["features"] = {name: typed(name, text, self._inputs) for name, text in given.items()}
        return asked


def _only(method: str, request: Request, name: str, handler: Handler) -> tuple[str, Handler]:
    if request.method == method or (method, request.method) == ("GET", "HEAD"):
        return name, handler
    raise HttpError(405, f"this path takes {method}", {"allow": method})


def _nothing(_: Request) -> Response:
    return Response(b"", content_type=JSON)


def _without_version(rest: list[str]) -> list[str]:
    if rest[:1] != ["versions"]:
        return rest
    if rest[1:2] != [MODEL_VERSION]:
        raise HttpError(404, f"there is only version {MODEL_VERSION} of a model")
    return rest[2:]
