"""Real PostgreSQL and RabbitMQ for the tests. The broker is the machine's where it answers, else a private one; the
database is a private one where its program is installed, for without fsync it is faster, else the machine's.

`python -m tests.servers` says which it will be and, as root, installs the Debian
packages where there is neither a server nor its program. A private server lives
in a temporary folder on ports of its own, dies with the process that started it,
and can be stopped, killed and frozen: faults are tried on those alone.

LIKENESS_TEST_DATABASE_URL   a PostgreSQL on which databases may be created
LIKENESS_TEST_BROKER_URL     a RabbitMQ on this machine (else guest at 127.0.0.1:5672 is tried)
LIKENESS_TEST_SERVERS        `private`: use none of the machine's
"""
