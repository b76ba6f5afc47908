"""Celery's settings: one module for the workers, beat, Flower and whoever publishes.

Each value that is not Celery's default has its reason beside it.
"""

import sys

from kombu import Exchange, Queue

from schemas import environment

try:
    _settings = environment.read()
except environment.SettingsInvalid as error:
    sys.exit(str(error))

DELIVERY_LIMIT = (
    10  # a healthy long step may lose its worker to several deploys; a poisonous one must not loop for ever
)

_exchange = Exchange("likeness", type="topic", durable=True)
_dead_letters = Exchange("likeness.dead", type="fanout", durable=True)


def _queue(name: str, **arguments: str) -> Queue:
    limited = {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}
    return Queue(name, _exchange, routing_key=f"{name}.#", queue_arguments=limited | arguments)


DEAD = Queue("dead", _dead_letters, routing_key="#", queue_arguments={"x-queue-type": "quorum"})

broker_url = _settings.broker_url
result_backend = "tasks.backend:RecordBackend"

_kept = {"x-dead-letter-exchange": _dead_letters.name}
task_queues = [_queue(name, **_kept) for name in ("avatar", "marketing", "callback")]
task_queues += [_queue("maintenance")]  # the clock brings its work again; a sweep that expired is not poison
task_default_queue = "maintenance"
task_default_exchange = _exchange.name
task_default_exchange_type = "topic"
task_default_routing_key = "maintenance.task"
task_default_queue_type = "quorum"
task_create_missing_queues = False  # a misspelt queue must fail, not swallow messages

if broker_url.startswith("memory://"):
    broker_transport_options = {"polling_interval": 0.02}  # its default of a second would be felt at every step
else:
    broker_transport_options = {"confirm_publish": True}  # without it a dying broker loses what it had taken
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # never give up
broker_heartbeat = 30
task_publish_retry_policy = {"max_retries": 2, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5}

task_acks_late = True  # an early acknowledgement loses the step with its worker
task_reject_on_worker_lost = True
worker_prefetch_multiplier = 1
worker_cancel_long_running_tasks_on_connection_loss = True  # else the step and all that follows it run twice
worker_max_memory_per_child = 1_048_576  # KiB: media libraries leak; a step of 720p takes 0.4 GiB
worker_max_tasks_per_child = 5_000
worker_hijack_root_logger = False
worker_send_task_events = True
task_send_sent_event = False  # it would cost as much as the message itself; a queue's depth tells what waits
task_store_eager_result = False
task_track_started = False  # the stage record is the truth
task_ignore_result = False  # a join needs to hear of its parts
result_expires = None  # there is nothing to expire
timezone = "UTC"
accept_content = ["json"]

beat_schedule = {
    "sweep": {
        "task": "sweep",
        "schedule": 1.0,
        # a sweep that was not begun in time is of no use: the next one does it all
        "options": {"queue": "maintenance", "routing_key": "maintenance.sweep", "expires": 5},
    },
    "forget": {
        "task": "forget",
        "schedule": 3600.0,
        "options": {"queue": "maintenance", "routing_key": "maintenance.forget", "expires": 3600},
    },
}
