"""One Celery task for each stage, under the stage's name, and `advance`."""

from celery.app.task import Task

from db.jobs import Move
from pipeline.routes import STAGES
from tasks.app import app
from tasks.launching import launch
from tasks.perform import StageFailed, perform


@app.task(name="advance", bind=True)
def advance(self: Task, job_id: str, number: int) -> None:
    """The end of a segment: ask what is next."""
    if launch(job_id, number=number) == Move() and self.request.delivery_info["redelivered"]:
        launch(job_id)  # who had it before may have launched what follows, and not have sent it


def _register(name: str) -> Task:
    @app.task(name=name, bind=True, throws=(StageFailed,))
    def run(self: Task, job_id: str, step: str, number: int) -> None:
        perform(self, job_id, step, number)

    return run


STAGE_TASKS = {name: _register(name) for name in STAGES}
