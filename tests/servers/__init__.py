"""Real PostgreSQL and RabbitMQ for the tests: the machine's where they answer, private ones where they do not.

`python -m tests.servers` says which it will be and, as root, installs the Debian
packages where there is neither a server nor its program. A private server lives
in a temporary folder on ports of its own, dies with the process that started it,
and can be stopped, killed and frozen: faults are tried on those alone.

LIKENESS_TEST_DATABASE_URL   a PostgreSQL on which databases may be created (else 127.0.0.1:5432 is tried)
LIKENESS_TEST_BROKER_URL     a RabbitMQ on this machine (else guest at 127.0.0.1:5672 is tried)
LIKENESS_TEST_SERVERS        `private`: use none of the machine's
"""
