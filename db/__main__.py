"""`python -m db upgrade`: the release command."""

import sys

from sqlalchemy.exc import OperationalError

from db.schema import upgrade
from schemas import environment


def main(arguments: list[str]) -> int:
    if arguments != ["upgrade"]:
        print("usage: python -m db upgrade", file=sys.stderr)
        return 2
    try:
        upgrade(environment.read().database_url)
    except environment.SettingsInvalid as error:
        print(error, file=sys.stderr)
        return 1
    except OperationalError as error:
        print(f"the database cannot be used: {str(error.orig).splitlines()[0]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
