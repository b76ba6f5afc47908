"""Says which servers the tests will use, and brings what is missing."""

import sys
from collections.abc import Callable
from pathlib import Path

from tests.servers import debian, postgres, rabbit
from tests.servers.process import ServerMissing


def _program(programs: Callable[[], Path]) -> bool:
    try:
        print(f"a private server, from {programs()}")
    except ServerMissing:
        return False
    return True


def main() -> int:
    packages = []
    try:
        if postgres.named_postgres():
            print("PostgreSQL: the named one, in databases of our own")
        elif not _program(postgres.programs):
            if postgres.machine_postgres():
                print("PostgreSQL: the machine's, in databases of our own")
            else:
                packages.append("postgresql")
        if rabbit.machine_rabbit():
            print("RabbitMQ: the machine's, in virtual hosts of our own")
        elif not _program(rabbit.programs):
            packages.append("rabbitmq-server")
        if packages:
            debian.install(packages)
    except ServerMissing as error:
        print(f"tests: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
