"""The benchmark's application with stopwatches, for the table of where the time of a step goes."""

from typing import Any

from celery import signals
from celery.app import trace
from kombu import messaging

from benchmarks import likeness_app
from benchmarks.profile import Stopwatches
from db import statements
from db.dialect import Dialect
from tasks import launching, perform, posting

app = likeness_app.app
_watches = Stopwatches()
_publish = messaging.Producer._publish
_execute = statements.execute


def _publishing(producer: Any, body: Any, *args: Any, **kwargs: Any) -> Any:
    exchange = args[8] if len(args) > 8 else kwargs.get("exchange")
    with _watches.timed("monitoring events" if "celeryev" in str(exchange) else "messages"):
        return _publish(producer, body, *args, **kwargs)  # type: ignore[no-untyped-call]


def _executing(connection: Any, sql: str, values: Any) -> Any:
    with _watches.timed("commits" if sql.endswith("COMMIT") else "statements"):
        return _execute(connection, sql, values)


@signals.worker_process_init.connect
def _start(**_: Any) -> None:
    """In the pool's processes alone: the main process names functions to them, which must stay as they are."""
    for name in ("do_execute", "do_executemany", "do_execute_no_params", "do_begin"):
        setattr(Dialect, name, _watches.wrap("statements", getattr(Dialect, name)))
    setattr(Dialect, "do_commit", _watches.wrap("commits", Dialect.do_commit))  # noqa: B010  # as below
    statements.execute = _executing
    setattr(messaging.Producer, "_publish", _publishing)  # noqa: B010  # a method that types forbid to replace
    posting.PostingProducer.settle = _watches.wrap("confirmations", posting.PostingProducer.settle)  # type: ignore[method-assign]
    trace.fast_trace_task = _watches.wrap("celery", trace.fast_trace_task)


# tasks.stages takes these when the worker imports it, which is later
perform.perform = _watches.wrap("likeness", perform.perform)
launching.launch = _watches.wrap("likeness", launching.launch)
signals.worker_process_shutdown.connect(_watches.keep)
