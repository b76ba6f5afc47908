"""A Celery result backend whose only memory is the stage records.

There are no result rows and no polling for chords: when a part of a chord
returns, the records say whether everything the body reads is there.
"""

from typing import Any

from celery import states
from celery.backends.base import BaseBackend
from celery.canvas import Signature, maybe_signature

from db import records
from tasks.course import ADVANCE, head
from tasks.house import house


class RecordBackend(BaseBackend):
    """Never says that a task succeeded: the parent of a dead child would acknowledge on the strength of it."""

    supports_autoexpire = True
    persistent = True

    def ensure_chords_allowed(self) -> None:
        return None

    def apply_chord(self, header_result_args: Any, body: Signature, **kwargs: Any) -> None:
        return None

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        return result

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        return {"task_id": task_id, "status": states.PENDING, "result": None}

    def get_task_meta(self, task_id: str, cache: bool = True) -> dict[str, Any]:
        return self._get_task_meta_for(task_id)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> None:
        """Send the body when it can run. Of a race both may send it: the claim drops one."""
        if state != states.SUCCESS:
            return
        body = maybe_signature(request.chord, app=self.app)
        first = head(self.app, body)
        job_id, step = first.args[0], None if first.task == ADVANCE else first.args[1]
        if house().database.patiently(lambda session: records.ready(session, job_id, step)):
            body.apply_async()
