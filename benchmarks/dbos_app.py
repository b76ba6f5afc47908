"""The reference job in DBOS Transact, in two forms: `python -m benchmarks.dbos_app` is one worker.

`threads` is what its documentation shows first, and what suits bodies that block: plain functions, and a child workflow
for whatever runs beside something else. `event_loop` is the form that writes least: coroutines, and scenes side by side
within one workflow, at step numbers that are reserved before.
"""

import asyncio
import os
import signal
import threading
from functools import partial

from dbos import DBOS, DBOSConfig, StepReservation

from benchmarks import reference
from benchmarks.peer import WORKER

URL = "REFERENCE_DBOS_URL"
QUEUE = "jobs"
POLL_S = 0.05  # by itself a second, for which every job would wait
AT_A_TIME = 10  # jobs in each worker: more or fewer were slower


@DBOS.step()
def step(job: str, key: str) -> str:
    return reference.body(job, key)


@DBOS.step()
def publish(job: str) -> str:
    """The last one has a name of its own: by it others see the job end."""
    return reference.body(job, "publish")


@DBOS.workflow()
def threads(job: str, scenes: int) -> None:
    for name in reference.HEAD:
        step(job, name)
    made = [DBOS.start_workflow(_scene, job, number) for number in range(1, scenes + 1)]
    for scene in made:
        scene.get_result()
    step(job, "stitch")
    step(job, "enhance")
    publish(job)


@DBOS.workflow()
def _scene(job: str, number: int) -> None:
    voice, *beside, lip_sync = (reference.key(name, number) for name in reference.SCENE)
    step(job, voice)
    made = [DBOS.start_workflow(_beside, job, key) for key in beside]
    for each in made:
        each.get_result()
    step(job, lip_sync)


@DBOS.workflow()
def _beside(job: str, key: str) -> None:
    step(job, key)


@DBOS.step()
async def step_async(job: str, key: str) -> str:
    return reference.body(job, key)


@DBOS.step()
async def publish_async(job: str) -> str:
    return reference.body(job, "publish")


@DBOS.workflow()
async def event_loop(job: str, scenes: int) -> None:
    for name in reference.HEAD:
        await step_async(job, name)
    reserved = [[DBOS.reserve_step() for _ in reference.SCENE] for _ in range(scenes)]
    await asyncio.gather(*(_scene_async(job, number, steps) for number, steps in enumerate(reserved, start=1)))
    await step_async(job, "stitch")
    await step_async(job, "enhance")
    await publish_async(job)


async def _scene_async(job: str, number: int, reserved: list[StepReservation]) -> None:
    voice, background, pose, lip_sync = (
        partial(place.run_async, None, step_async, job, reference.key(name, number))
        for place, name in zip(reserved, reference.SCENE, strict=True)
    )
    await voice()
    await asyncio.gather(background(), pose())
    await lip_sync()


def main() -> None:
    """A worker that has the same name after a restart takes up its own workflows again."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    DBOS(
        config=DBOSConfig(
            name="reference",
            system_database_url=os.environ[URL],
            application_version="1",
            executor_id=os.environ[WORKER],
            log_level="WARNING",
        )
    )
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=AT_A_TIME, polling_interval_sec=POLL_S)
    print("ready.", flush=True)
    over.wait()
    DBOS.destroy()


if __name__ == "__main__":
    main()
