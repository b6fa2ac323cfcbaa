"""A few hundred rows in the shape of each data set that people bring themselves: same columns, types and format."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

USERS, ITEMS = 20, 15
START = datetime(2011, 1, 1)  # noqa: DTZ001  the files tell no zone either


def beauty(path: Path) -> None:
    """The reviews of each user by time, the last two held out."""
    rng, rows = np.random.default_rng(0), []
    for user in range(30):
        many = int(rng.integers(5, 12))
        items, parts = rng.permutation(ITEMS)[:many], ["train"] * (many - 2) + ["valid", "test"]
        rows += [(f"A{user}", f"B{item}", at, part) for at, (item, part) in enumerate(zip(items, parts, strict=True))]
    pl.DataFrame(rows, schema=["user_id", "item_id", "seq_pos", "split"], orient="row").write_parquet(path)


def gowalla(path: Path) -> None:
    """Check-ins, some of them held out."""
    rng, rows = np.random.default_rng(0), []
    for user in range(30):
        rows += [
            (user, int(item), "train" if at < 8 else "test") for at, item in enumerate(rng.permutation(ITEMS)[:10])
        ]
    pl.DataFrame(rows, schema=["user_id", "item_id", "split"], orient="row").write_parquet(path)


def ml1m(path: Path) -> None:
    """`ratings.dat`: users and films have ten ratings at least."""
    rng, lines = np.random.default_rng(0), []
    for user in range(1, USERS + 1):
        for at, item in enumerate(rng.permutation(ITEMS)[:12]):
            lines.append(f"{user}::{item + 1}::{rng.integers(3, 6)}::{978_300_000 + at // 2}\n")
    path.write_text("".join(lines))


def ml20m(path: Path) -> None:
    """`ratings.csv`: halves of stars, half of the films of each user above four."""
    rng, lines = np.random.default_rng(0), ["userId,movieId,rating,timestamp\n"]
    for user in range(1, 31):
        for at, item in enumerate(rng.permutation(ITEMS)[:12]):
            lines.append(f"{user},{item + 1},{4.5 if at % 2 else 3.5 + at % 4 / 2},{1_112_484_727 + at}\n")
    path.write_text("".join(lines))


def booking(path: Path) -> None:
    """`booking_train_set.csv`: trips of four cities, some of them returns."""
    rng = np.random.default_rng(0)
    lines = ["user_id,checkin,checkout,city_id,device_class,affiliate_id,booker_country,hotel_country,utrip_id\n"]
    for trip in range(75):
        for at, city in enumerate(rng.integers(0, ITEMS, 4)):
            dates = f"2016-08-{13 + at},2016-08-{14 + at}"
            lines.append(f"{1000027 + trip},{dates},{8183 + city},desktop,7168,Elbonia,Gondal,{1000027 + trip}_1\n")
    path.write_text("".join(lines))


def retail(path: Path) -> None:
    """An invoice a day: a customer comes every eighth day, buys some things again, and a few are cancelled."""
    rng, rows = np.random.default_rng(0), []
    for invoice in range(200):
        user, when = invoice % 8, START + timedelta(days=invoice)
        for item in rng.permutation(ITEMS)[:2]:
            number = f"C{invoice}" if invoice % 50 == 49 else str(536365 + invoice)
            price = round(float(rng.random()) + 0.5, 2)
            rows.append(
                (number, f"8{item}", f"MUG {item}", int(rng.integers(1, 9)), when, price, user, "United Kingdom")
            )
    names = ["invoice", "item_id", "description", "quantity", "timestamp", "price", "user_id", "country"]
    pl.DataFrame(rows, schema=names, orient="row").write_parquet(path)


FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "beauty": ("beauty.parquet", beauty),
    "gowalla": ("gowalla.parquet", gowalla),
    "ml1m": ("ratings.dat", ml1m),
    "ml20m": ("ratings.csv", ml20m),
    "booking": ("booking_train_set.csv", booking),
    "online": ("online_retail.parquet", retail),
    "retail": ("online_retail.parquet", retail),
}
"""By the first word of a config's name: the file that it reads, and what writes one."""
