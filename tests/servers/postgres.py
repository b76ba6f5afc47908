"""PostgreSQL for the tests: the machine's or a private one, and databases cloned from a template."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql

from tests.servers.process import PrivateServer, ServerMissing, private_wanted

PREFIX = "likeness_test_"
LOCKS = 0x6C696B65  # the class of our advisory locks


def connect(url: str) -> Any:
    return psycopg2.connect(url.replace("+psycopg2", ""), connect_timeout=3)


def answers(url: str) -> bool:
    try:
        connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


def named_postgres() -> str | None:
    """The URL of the server that the environment names. Raises ServerMissing if it does not answer."""
    named = None if private_wanted() else os.environ.get("LIKENESS_TEST_DATABASE_URL")
    if named and not answers(named):
        raise ServerMissing("no PostgreSQL answers at LIKENESS_TEST_DATABASE_URL")
    return named or None


def machine_postgres() -> str | None:
    """The URL of the server that is already there. Raises ServerMissing if one was named and does not answer."""
    if private_wanted():
        return None
    if named := named_postgres():
        return named
    users = ("postgres", pwd.getpwuid(os.geteuid()).pw_name)
    usual = (f"postgresql+psycopg2://{user}@127.0.0.1:5432/postgres" for user in users)
    return next((url for url in usual if answers(url) and _may_create(url)), None)


def _may_create(url: str) -> bool:
    with contextlib.closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")
        return bool(cursor.fetchone()[0])


def programs() -> Path:
    """The folder of initdb and postgres: the newest version that Debian installed. Raises ServerMissing."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    initdb = found[-1] if found else shutil.which("initdb")
    if initdb is None:
        raise ServerMissing("PostgreSQL is not on this machine: as root, apt-get install postgresql")
    return Path(initdb).resolve().parent


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ServerMissing("PostgreSQL does not run as root, and there is no user postgres or nobody")


class PrivatePostgres(PrivateServer):
    """Without fsync: its data outlives a kill, and need not outlive the machine."""

    SETTINGS = ("fsync=off", "full_page_writes=off", "max_connections=200", "log_min_messages=warning")

    def __init__(self) -> None:
        self._programs = programs()
        super().__init__("PostgreSQL")
        self._owner: dict[str, Any] = {}
        if os.geteuid() == 0:
            owner = _unprivileged()
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self._owner = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        command = [str(self._programs / "initdb"), "-D", str(self.folder / "data"), "-U", "postgres", "-A", "trust"]
        done = subprocess.run(
            [*command, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            capture_output=True,
            text=True,
            cwd=self.folder,
            **self._owner,
        )
        if done.returncode:
            raise ServerMissing(f"initdb failed: {done.stderr.strip().splitlines()[-1]}")

    @property
    def url(self) -> str:
        return f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> "PrivatePostgres":
        command = [str(self._programs / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder)]
        settings = [part for setting in self.SETTINGS for part in ("-c", setting)]
        self.process = self.spawn([*command, "-h", "127.0.0.1", "-p", str(self.port), *settings], **self._owner)
        self.await_start()
        return self

    def answers(self) -> bool:
        return answers(self.url)

    def stop(self) -> None:
        """The fast shutdown: sessions are cut, the data is in order."""
        self.end(signal.SIGINT)


class Databases:
    """The databases of one test run: a template, and clones of it.

    While the run lives it holds an advisory lock of its number, by which a later
    run can tell what a dead one left behind, and drops it.
    """

    def __init__(self, server_url: str) -> None:
        self._server = server_url
        self._run = secrets.randbelow(2**31)
        self._made = 0
        self._connection = connect(server_url)
        self._connection.autocommit = True
        self._ask("SELECT pg_advisory_lock(%s, %s)", (LOCKS, self._run))
        self._drop_leftovers()
        self.template = f"{PREFIX}{self._run}_template"
        self._ask(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.template)))

    def _ask(self, statement: Any, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def _drop_leftovers(self) -> None:
        for (name,) in self._ask("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (PREFIX,)):
            run = name.removeprefix(PREFIX).partition("_")[0]
            if run.isdigit() and self._ask("SELECT pg_try_advisory_lock(%s, %s)", (LOCKS, int(run))) == [(True,)]:
                self.drop(name)
                self._ask("SELECT pg_advisory_unlock(%s, %s)", (LOCKS, int(run)))

    def url(self, name: str) -> str:
        return urlunsplit(urlsplit(self._server)._replace(path=f"/{name}"))

    def clone(self) -> str:
        """A new database like the template; answers its name. Nobody may be connected to the template."""
        self._made += 1
        name = f"{PREFIX}{self._run}_{self._made}"
        self._ask(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(self.template)))
        return name

    def drop(self, name: str) -> None:
        self._ask(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def close(self) -> None:
        for made in range(1, self._made + 1):
            self.drop(f"{PREFIX}{self._run}_{made}")
        self.drop(self.template)
        self._connection.close()
