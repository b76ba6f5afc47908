"""The door: the HTTP API, its docs, and the command line."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from pipeline.settings import Settings

CANNOT_BOOT = 3  # gunicorn stops at this code of a worker, and starts another one at any other


def create_app(settings: "Settings | None" = None, *, launch: "Callable[[str], None] | None" = None) -> "Flask":
    """The WSGI application. Without settings it is the door of a process: it reads the environment and sets the log up.

    `launch(job_id)` sends what a job runs next; it is called after the commit, from a thread of its own.
    """
    # imported here: the command line lives in this package too, and must start without the weight of the service
    from webapp.app import assemble

    chosen = _environment() if settings is None else settings
    if launch is None:
        from tasks import launching  # Celery reads the environment when it is imported

        return assemble(chosen, launching.begin, launching.resume)
    return assemble(chosen, launch)


def _environment() -> "Settings":
    from schemas import environment, logs

    try:
        found = environment.read()
    except environment.SettingsInvalid as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(CANNOT_BOOT) from None
    logs.configure()
    return found
