"""The dask-cuda engine on a cluster without GPUs: how it starts, and what happens when it loses a worker.

The cluster is `distributed.LocalCluster`; cudf-polars' engine, which needs a device, is a stand-in that makes the
workers wait for each other as the real one does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from distributed import Client, LocalCluster
from pydantic import ValidationError

from core.errors import UserError
from etl.engines import dask_cuda
from etl.engines.dask_cuda import DaskCudaEngine
from etl.engines.spec import DaskCudaEngineSpec
from etl.engines.watch import Watch

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(120)]


def cluster(_: Any = None) -> LocalCluster:
    return LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1")


class Plan:
    """Stands for a lazy frame whose workers wait for each other; `deaths` attempts lose a worker."""

    def __init__(self, deaths: int = 0) -> None:
        self.deaths, self.attempts = deaths, 0

    def collect(self, engine: Client) -> str:
        self.attempts += 1
        if self.attempts > self.deaths:
            return "done"
        victim = next(iter(engine.run(os.getpid).values()))
        threading.Timer(0.5, os.kill, (victim, signal.SIGKILL)).start()
        engine.run(time.sleep, 3600)
        return "never"


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def engine(client: Client, _: DaskCudaEngineSpec) -> Iterator[Client]:
        yield client

    monkeypatch.setattr(dask_cuda, "require_gpu", lambda *_: None)
    monkeypatch.setattr(dask_cuda, "local_cluster", cluster)
    monkeypatch.setattr(dask_cuda, "start_engine", engine)


@pytest.mark.slow
def test_a_lost_worker_is_replaced_and_the_plan_run_again(on_cpu: None, caplog: pytest.LogCaptureFixture) -> None:
    plan = Plan(deaths=1)
    with DaskCudaEngine(DaskCudaEngineSpec()) as engine:
        assert engine.collect([plan]) == ["done"]
    assert plan.attempts == 2
    assert "was lost; the plan is run again" in caplog.text


@pytest.mark.slow
def test_a_second_loss_is_a_clear_error(on_cpu: None) -> None:
    with (
        DaskCudaEngine(DaskCudaEngineSpec(retries=0)) as engine,
        pytest.raises(UserError, match=r"engine dask-cuda: worker tcp://127.0.0.1:\d+ was lost; .*run again"),
    ):
        engine.collect([Plan(deaths=1)])


def test_an_error_of_a_plan_is_no_lost_worker(on_cpu: None) -> None:
    class Broken(Plan):
        def collect(self, engine: Client) -> str:
            raise ZeroDivisionError

    with DaskCudaEngine(DaskCudaEngineSpec()) as engine, pytest.raises(ZeroDivisionError):
        engine.collect([Broken()])


def test_a_watch_over_healthy_workers_sees_nothing(on_cpu: None) -> None:
    with cluster() as workers, Client(workers) as client:
        with Watch(client, every=0.01) as watch:
            assert client.submit(sum, [1, 2]).result() == 3
        assert watch.lost == ()


def test_an_error_before_the_next_look_tells_who_was_lost() -> None:
    class Stand:
        workers: tuple[str, ...] = ("a", "b")

        def scheduler_info(self, **_: Any) -> dict[str, Any]:
            return {"workers": dict.fromkeys(self.workers)}

    client = Stand()
    watch = Watch(client, every=3600)

    def lose() -> None:
        client.workers = ("a",)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), watch:
        lose()
    assert watch.lost == ("b",)


def test_nobody_at_the_address(on_cpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cuda, "_ANSWER", "1s")
    with pytest.raises(UserError, match=r"etl\.engine\.scheduler: no scheduler .* tcp://127\.0\.0\.1:1"):
        DaskCudaEngine(DaskCudaEngineSpec(scheduler="tcp://127.0.0.1:1"))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"scheduler": "tcp://a:1", "workers": 2}, "workers is set where the workers of tcp://a:1 are started"),
        ({"workers": 3, "devices": [0, 1]}, "workers is 3, but devices names 2"),
        ({"rmm_pool": "8 gigs"}, "8GiB or 500MB, got '8 gigs'"),
        ({"protocol": "http"}, "'tcp' or 'ucx'"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        DaskCudaEngineSpec.model_validate(settings)


def test_sizes_are_read() -> None:
    spec = DaskCudaEngineSpec.model_validate({"rmm_pool": "8GiB", "spill": "20GiB", "devices": [1, 2]})
    assert (spec.rmm_pool, spec.spill, spec.devices) == (8 << 30, 20 << 30, (1, 2))
    assert DaskCudaEngineSpec.model_validate(spec.model_dump(mode="json")) == spec
