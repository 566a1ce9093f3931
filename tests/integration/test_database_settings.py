"""Databases that can't be used, told in words."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import make_url

from orchestrator.cli.persistence import opened, upgrade_database
from state.errors import InputError
from tests.services.postgres import statement


@pytest.mark.postgres
def test_a_database_without_an_encoding_is_refused_in_words(postgres_server: str) -> None:
    name = f"atlas_test_{uuid.uuid4().hex}"
    statement(postgres_server, f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    try:
        url = make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
        for use in (opened, upgrade_database):
            with pytest.raises(InputError, match="the encoding of the database is SQL_ASCII, and has to be UTF8"):
                use(url)
    finally:
        statement(postgres_server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
