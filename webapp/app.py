"""The WSGI application, put together."""

from collections.abc import Callable

from flask import Flask

from db import overview
from db.database import Database
from pipeline.settings import Settings
from providers.storage import Storage
from webapp import auth, errors, openapi, operations, probes, traffic
from webapp.api import BLUEPRINTS, hooks
from webapp.door import NAME, Door
from webapp.handoff import Handoff
from webapp.metrics import Metrics
from webapp.uploads import StreamingRequest

SCRAPE_S = 1.0


def assemble(settings: Settings, launch: Callable[[str], None], resume: Callable[[str], None] | None = None) -> Flask:
    app = Flask("webapp", static_folder=None)
    app.request_class = StreamingRequest
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of the default provider
    app.json.ensure_ascii = False  # type: ignore[attr-defined]

    database = Database(settings.database_url)
    metrics = Metrics(lambda: database.patiently(overview.backlog, patience_s=SCRAPE_S))
    app.extensions[NAME] = Door(settings, database, Storage(settings.storage_url), Handoff(launch, resume), metrics)

    traffic.register(app)
    auth.register(app)
    errors.register(app)
    api = openapi.create(app)
    for blueprint in BLUEPRINTS:
        api.register_blueprint(blueprint)
    app.register_blueprint(hooks.blueprint)  # for vendors, not for callers: so it is not in the API's description
    app.register_blueprint(operations.create(api, (probes.database(database), probes.broker(settings.broker_url))))
    return app
