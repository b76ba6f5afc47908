"""What vendors tell us: `POST /hooks/<family>`. No service token opens it: each vendor proves itself by its signature.

Only the id of the work is taken from it. It makes the step that waits for that work due; the result is asked of the
vendor by whoever then claims the step. So the worst that a webhook can do is one question too many.
"""

from flask import Blueprint, Response, request

from db import calls
from pipeline.errors import ProviderMissing
from providers.hooks import NotGenuine, reader
from webapp.door import door, in_transaction
from webapp.errors import HookRefused, NotFound

MOST_BYTES = 2**20  # results are told with their addresses, not with their bytes

blueprint = Blueprint("hooks", __name__, url_prefix="/hooks")


@blueprint.post("/<family>")
def hook(family: str) -> Response:
    """The vendor's word that something happened to a request. 200 too where no such request is known: it may be old."""
    read = reader(door().settings, family)
    if read is None:
        raise NotFound("webhook of", family[:80])
    request.max_content_length = MOST_BYTES
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        external_id = read(headers, request.get_data())
    except ProviderMissing:
        raise NotFound("webhook of", family[:80]) from None
    except NotGenuine as error:
        raise HookRefused(str(error)) from None
    in_transaction(lambda session: calls.notice(session, family, external_id))
    return Response(status=200)
