"""The database that the settings name: a file on this host, or a server that many hosts share."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from state.errors import InputError

if TYPE_CHECKING:
    from state.ports import Census, Liveness, Store

_FILE = "sqlite:///"
_SERVER = ("postgres", "postgresql")


@dataclass(frozen=True, slots=True)
class Kept:
    """`name` is for people, without a password; `shared`: by other hosts too. Making a `liveness` is being alive."""

    name: str
    store: Store
    census: Census
    liveness: Callable[[], Liveness]
    shared: bool = False


def opened(url: str) -> Kept:
    """The store at this URL, open; blocks. `InputError`: no such kind of database; `StoreError`: it can't be opened."""
    if is_server(url):
        from sqlalchemy import make_url

        from state.postgres import PostgresStore
        from state.postgres_liveness import PostgresCensus, PostgresLiveness

        with _decoded(url):
            store = PostgresStore(url)
        name = make_url(url).render_as_string(hide_password=True)
        return Kept(name, store, PostgresCensus(store), lambda: PostgresLiveness(url), shared=True)
    from state.liveness import FileCensus, FileLiveness
    from state.sqlite import SqliteStore

    path = database_path(url)
    workers = path.with_name(path.name + "-workers")
    return Kept(str(path), SqliteStore(path), FileCensus(workers), lambda: FileLiveness(workers))


def is_server(url: str) -> bool:
    """Whether it names a PostgreSQL database."""
    return url.partition(":")[0].partition("+")[0] in _SERVER


def database_path(url: str) -> Path:
    """The file of a SQLite URL. `InputError`: it is none."""
    if not url.startswith(_FILE):
        raise InputError(
            f"{url.partition(':')[0]}: is no kind of database that Atlas knows",
            "Leave ATLAS_DATABASE_URL unset, or use sqlite:////path/to/atlas.db or postgresql://user@host/database.",
        )
    path = url.removeprefix(_FILE)
    if not path or path == ":memory:":
        raise InputError("the database must be a file: its state outlives the process", "sqlite:////path/to/atlas.db")
    return Path(path).absolute()


def upgrade_database(url: str) -> str:
    """Bring the database to the newest revision; returns its name without a password. Blocks. `StoreTooNew` for one
    that is newer, `StoreUnavailable` for one that is some other program's, or away."""
    if is_server(url):
        from state.postgres import upgrade_postgres

        with _decoded(url):
            return upgrade_postgres(url)
    from state.sqlite import upgrade_file

    path = database_path(url)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    upgrade_file(path)
    return str(path)


@contextmanager
def _decoded(url: str) -> Generator[None]:
    """`InputError` for a database without an encoding (`SQL_ASCII`, as of a server that was made without a locale): the
    driver then hands out bytes, which nothing here expects."""
    try:
        yield
    except TypeError:
        import psycopg
        from sqlalchemy import make_url

        with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)) as asked:
            encoding = asked.info.parameter_status("server_encoding")
        if encoding == "UTF8":
            raise
        raise InputError(
            f"the encoding of the database is {encoding}, and has to be UTF8",
            "Make another: createdb --encoding UTF8 --template template0 NAME",
        ) from None
