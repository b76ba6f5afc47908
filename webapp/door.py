"""What the web process holds for all requests."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from flask import current_app, g, request
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from db.database import Database
from pipeline.settings import Client, Settings
from providers.storage import Storage
from schemas.links import Links
from webapp.handoff import Handoff
from webapp.metrics import Metrics

T = TypeVar("T")
NAME = "likeness"
PATIENCE_S = 2.0  # long enough for the pool to replace connections that a restart of the database broke


@dataclass(frozen=True)
class Door:
    settings: Settings
    database: Database
    storage: Storage
    handoff: Handoff
    metrics: Metrics


def door() -> Door:
    """That of the running app."""
    return cast(Door, current_app.extensions[NAME])


def client() -> Client:
    """Who calls; auth has seen to it that there is one."""
    return cast(Client, g.client)


def links() -> Links:
    return Links(door().settings, request.url_root)


def in_turn(work: Callable[[Connection], T]) -> T:
    """For work that takes a turn at a job. Raises db.database.DatabaseAway as well."""
    return door().database.in_turn(work, patience_s=PATIENCE_S)


def in_transaction(work: Callable[[Session], T]) -> T:
    """Raises db.database.DatabaseAway rather than let a caller wait."""
    return door().database.patiently(work, patience_s=PATIENCE_S)
