"""The page at `/`: what this server answers, for people who open it in a browser."""

from __future__ import annotations

from html import escape

from serve.bundle import Bundle

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem}"
    "code,pre{background:#8882;border-radius:4px;padding:.1em .35em}pre{padding:.7em;overflow:auto}"
    "td{padding:.15rem 1rem .15rem 0;vertical-align:top}:root{color-scheme:light dark}"
)


def page(bundle: Bundle) -> str:
    """A short HTML page that lists the endpoints."""
    rows = [
        ("GET", "/v2/health/live", "alive"),
        ("GET", "/v2/health/ready", "ready to answer"),
        *[("GET", f"/v2/models/{name}", f"inputs and output of the {name}") for name in sorted(bundle.signatures)],
        *[("POST", f"/v2/models/{name}/infer", _inputs(bundle, name)) for name in sorted(bundle.signatures)],
        ("GET", "/metrics", "counts and times as Prometheus text"),
    ]
    if bundle.has_items:
        rows.insert(0, ("GET", "/recommend?user=ID&k=10", "recommendations; user features as further keys"))
        rows.insert(1, ("POST", "/recommend", 'the same as JSON: {"user": ..., "k": 10, "features": {...}}'))
    table = "".join(f"<tr><td>{method}<td><code>{escape(path)}</code><td>{escape(text)}" for method, path, text in rows)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Gyrfalcon</title><style>{STYLE}</style>"
        "<h1>Gyrfalcon</h1><p>This server speaks the Open Inference protocol (KServe v2) with the binary tensor "
        f"extension, so <code>tritonclient.http</code> works against it.</p><table>{table}</table>"
    )


def _inputs(bundle: Bundle, name: str) -> str:
    inputs = bundle.signatures[name].inputs
    shown = ", ".join(f"{item.name} {item.dtype}{' list' if item.is_list else ''}" for item in inputs[:12])
    return f"takes {shown}{', ...' if len(inputs) > len(inputs[:12]) else ''}"
