"""The whole service in one process, for the demo: PostgreSQL, an in-memory broker, a worker, the HTTP door.

`python -m webapp.cli.embedded FOLDER` writes one line of JSON to standard output, `{"url": …}` or `{"error": …}`, and
serves until its standard input ends: so it ends with its parent, however that dies. Everything else it says goes to
standard error.
"""

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import structlog
from werkzeug.serving import WSGIRequestHandler, make_server

from webapp.cli import postgres

HOST = "127.0.0.1"
THREADS = 6  # the four scenes of the demo at once, and two for callbacks beside them
PATIENCE_S = 3.0  # for what runs when the end comes: a rendering of minutes is not waited for

log = structlog.get_logger()


def main(folder: Path) -> int:
    with os.fdopen(os.dup(1), "w") as parent:
        os.dup2(2, 1)  # whoever prints, prints to the log
        try:
            with postgres.running(folder / "postgres") as database_url, _address() as door, ExitStack() as house:
                url = f"http://{HOST}:{door.getsockname()[1]}"
                os.environ |= {
                    "LIKENESS_DATABASE_URL": database_url,
                    "LIKENESS_BROKER_URL": "memory://",
                    "LIKENESS_STORAGE_URL": (folder / "assets").resolve().as_uri(),
                    "LIKENESS_PUBLIC_URL": url,
                }
                house.enter_context(_house(database_url, door))
                _tell(parent, url=url)
                sys.stdin.buffer.read()
                closing = threading.Thread(target=house.pop_all().close, name="closing", daemon=True)
                closing.start()
                closing.join(PATIENCE_S)
        except postgres.PostgresUnusable as error:
            _tell(parent, error=str(error))
            return 1
        except Exception as error:
            log.exception("the demo's service stopped")
            _tell(parent, error=f"the service does not start ({type(error).__name__})")
            return 1
    return 0


@contextmanager
def _house(database_url: str, door: socket.socket) -> Iterator[None]:
    # Celery's settings read the environment when they are imported: not before it is complete
    from db import schema
    from schemas import environment, logs
    from tasks import embedded
    from webapp import create_app

    logs.configure()
    schema.upgrade(database_url)
    app = create_app(environment.read())
    server = make_server(HOST, 0, app, threaded=True, request_handler=_Quiet, fd=door.fileno())
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="door", daemon=True)
    with embedded.worker(concurrency=THREADS):
        thread.start()
        try:
            yield
        finally:
            server.shutdown()


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: Any) -> None:
        """The app logs its requests itself."""


@contextmanager
def _address() -> Iterator[socket.socket]:
    """A free port, held from the moment it is known."""
    with socket.create_server((HOST, 0), backlog=64) as door:
        yield door


def _tell(parent: Any, **said: str) -> None:
    with suppress(BrokenPipeError):
        parent.write(json.dumps(said) + "\n")
        parent.flush()


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stderr.flush()
    os._exit(code)  # a thread that still renders must not keep the process: its step has no record of success
