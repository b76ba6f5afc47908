"""The reference job in plain Celery: one task, and a canvas of chains, groups and chords.

Results are its records. What keeps work from being lost is switched on: late acknowledgements, publisher confirms, and
a result backend that waits for its server.
"""

import json
import os

from celery import Celery, chain, group
from celery.canvas import Signature

from benchmarks import reference

SETTINGS = "REFERENCE_CELERY"

app = Celery("reference")
app.conf.update(
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    result_backend_always_retry=True,
    **json.loads(os.environ.get(SETTINGS, "{}")),
)


@app.task(name="step")
def step(job: str, key: str) -> str:
    return reference.body(job, key)


def canvas(job: str, scenes: int) -> Signature:
    """The last task's id is the job's name: by it others see the job end."""
    return chain(
        *(step.si(job, name) for name in reference.HEAD),
        group(_scene(job, number) for number in range(1, scenes + 1)),
        step.si(job, "stitch"),
        step.si(job, "enhance"),
        step.si(job, "publish").set(task_id=job),
    )


def _scene(job: str, number: int) -> Signature:
    voice, background, pose, lip_sync = (step.si(job, reference.key(name, number)) for name in reference.SCENE)
    return chain(voice, group(background, pose), lip_sync)
