"""RabbitMQ for the tests: the machine's or a private one, and virtual hosts on it."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import amqp
import psutil

from tests.servers.process import START_S, STOP_S, PrivateServer, ServerMissing, free_port, private_wanted, wait_for

PREFIX = "likeness_test_"
SCRIPTS = Path("/usr/lib/rabbitmq/bin")  # not /usr/sbin: the wrappers there let in only root and the user rabbitmq
CTL_S = 60


class Broker(Protocol):
    """A RabbitMQ that we may administer."""

    @property
    def url(self) -> str: ...

    def ctl(self, *arguments: str) -> str: ...


def answers(url: str) -> bool:
    parts = urlsplit(url)
    connection = amqp.Connection(
        f"{parts.hostname}:{parts.port or 5672}",
        parts.username or "guest",
        parts.password or "guest",
        virtual_host=unquote(parts.path[1:]) or "/",
        connect_timeout=3,
        read_timeout=3,
        write_timeout=3,
    )
    try:
        connection.connect()
    except (OSError, amqp.AMQPError):
        return False
    finally:
        with contextlib.suppress(OSError, amqp.AMQPError):
            connection.close()
    return True


def programs() -> Path:
    """The folder of rabbitmq-server and rabbitmqctl. Raises ServerMissing."""
    if not (SCRIPTS / "rabbitmq-server").exists():
        raise ServerMissing("RabbitMQ is not on this machine: as root, apt-get install rabbitmq-server")
    return SCRIPTS


def _ctl(program: str, arguments: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run([program, *arguments], env=env, capture_output=True, text=True, timeout=CTL_S, check=True)
    return done.stdout


class MachineRabbit:
    """The RabbitMQ that is already there."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ctl(self, *arguments: str) -> str:
        return _ctl("rabbitmqctl", arguments)


def machine_rabbit() -> MachineRabbit | None:
    """The machine's broker, if it answers and we may administer it. Raises ServerMissing if one was named and does not
    answer, or lets us make no virtual host."""
    if private_wanted():
        return None
    named = os.environ.get("LIKENESS_TEST_BROKER_URL")
    broker = MachineRabbit(named or "amqp://guest:guest@127.0.0.1:5672/%2F")
    if not answers(broker.url):
        if named:
            raise ServerMissing("no RabbitMQ answers at LIKENESS_TEST_BROKER_URL")
        return None
    try:
        broker.ctl("eval", "ok.")
    except (OSError, subprocess.SubprocessError):
        if named:
            raise ServerMissing(
                "rabbitmqctl cannot make virtual hosts at LIKENESS_TEST_BROKER_URL: run as root"
            ) from None
        return None
    return broker


class PrivateRabbit(PrivateServer):
    """A node with a name, a port mapper and a cookie of its own: it knows no other Erlang node."""

    def __init__(self, *, consumer_timeout_ms: int = 14_400_000) -> None:
        self._programs = programs()
        super().__init__("RabbitMQ")
        self._mapper: subprocess.Popen[bytes] | None = None
        self._mapper_port = free_port()
        (self.folder / "rabbitmq.conf").write_text(f"consumer_timeout = {consumer_timeout_ms}\n")
        (self.folder / "plugins").write_text("[].\n")
        files = {
            "HOME": "",
            "RABBITMQ_CONFIG_FILE": "rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": "none.config",
            "RABBITMQ_CONF_ENV_FILE": "none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": "plugins",
            "RABBITMQ_GENERATED_CONFIG_DIR": "generated",
            "RABBITMQ_MNESIA_BASE": "data",
            "RABBITMQ_LOG_BASE": "logs",
            "RABBITMQ_PID_FILE": "pid",
        }
        self._environment = {
            "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"likeness-{secrets.token_hex(4)}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_LOGS": "-",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            **{name: str(self.folder / file) for name, file in files.items()},
        }

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    def start(self) -> "PrivateRabbit":
        self._start_mapper()
        server = {
            # Else a shell stays in front of the Erlang machine, and signals reach the shell.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput -kernel inet_dist_use_interface {127,0,0,1}",
        }
        self.process = self.spawn([str(self._programs / "rabbitmq-server")], self._environment | server)
        self.await_start()
        return self

    def _start_mapper(self) -> None:
        """epmd, which Erlang would start as a daemon that nobody ends."""
        if self._mapper is None:
            command = ["epmd", "-port", str(self._mapper_port), "-address", "127.0.0.1"]
            self._mapper = self.spawn(command, self._environment)
            wait_for(self._mapper_answers, START_S, "epmd's start")

    def _mapper_answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._mapper_port)) == 0

    def answers(self) -> bool:
        return answers(self.url)

    def stop(self) -> None:
        """The orderly end: connections are closed, queues are on disk."""
        self.end(signal.SIGTERM)

    def ctl(self, *arguments: str) -> str:
        return _ctl(str(self._programs / "rabbitmqctl"), arguments, self._environment)

    def remove(self) -> None:
        self.kill()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait(STOP_S)
        super().remove()


class VirtualHosts:
    """The virtual hosts of one test run, made some at a time: each call of rabbitmqctl starts an Erlang machine.

    Each has the number of the run's process in its name, by which a later run
    can tell what a dead one left behind, and deletes it.
    """

    BATCH = 4

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._user = urlsplit(broker.url).username or "guest"
        self._made = 0
        self._unused: list[str] = []
        self._used: list[str] = []
        self._drop_leftovers()

    def make(self) -> str:
        """The URL of a virtual host that nobody used before."""
        if not self._unused:
            numbers = range(self._made, self._made + self.BATCH)
            self._unused = [f"{PREFIX}{os.getpid()}_{number}" for number in numbers]
            self._made += self.BATCH
            self._ask(
                self._unused,
                'rabbit_vhost:add(V, <<"likeness">>)',
                f'rabbit_auth_backend_internal:set_permissions(<<"{self._user}">>, V, '
                '<<".*">>, <<".*">>, <<".*">>, <<"likeness">>)',
            )
        self._used.append(self._unused.pop(0))
        return urlunsplit(urlsplit(self._broker.url)._replace(path="/" + quote(self._used[-1], safe="")))

    def give_back(self, url: str) -> None:
        """Nobody needs it any more. Those of ten files fill a broker that may open a thousand files: a worker declares
        thirty queues, and each is counted as three files."""
        name = unquote(urlsplit(url).path[1:])
        self._used.remove(name)
        self._drop([name])

    def messages(self, url: str) -> int:
        """In all queues of this virtual host, those that somebody is at work on included."""
        return sum(map(int, self._listed(url, "list_queues", "messages")))

    def connections(self, url: str) -> int:
        """To this virtual host."""
        vhost = unquote(urlsplit(url).path[1:])
        return self._broker.ctl("list_connections", "--quiet", "--no-table-headers", "vhost").split().count(vhost)

    def _listed(self, url: str, *what: str) -> list[str]:
        command, *columns = what
        vhost = unquote(urlsplit(url).path[1:])
        return self._broker.ctl(command, "--quiet", "--no-table-headers", "--vhost", vhost, *columns).split()

    def close(self) -> None:
        self._drop([*self._used, *self._unused])

    def _drop(self, names: Sequence[str]) -> None:
        if names:
            # `catch`: a run beside this one may have found the same leftovers and been quicker.
            self._ask(names, 'catch rabbit_vhost:delete(V, <<"likeness">>)')

    def _drop_leftovers(self) -> None:
        left = [
            name for name in self._broker.ctl("list_vhosts", "--quiet", "--no-table-headers").split() if _dead(name)
        ]
        self._drop(left)

    def _ask(self, names: Sequence[str], *verbs: str) -> None:
        listed = ", ".join(f'<<"{name}">>' for name in names)
        self._broker.ctl("eval", f"[begin {', '.join(verbs)} end || V <- [{listed}]].")


def _dead(vhost: str) -> bool:
    process = vhost.removeprefix(PREFIX).partition("_")[0]
    return vhost.startswith(PREFIX) and process.isdigit() and not psutil.pid_exists(int(process))
