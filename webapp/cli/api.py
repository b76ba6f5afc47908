"""The service, as its callers see it: a thin HTTP client whose errors are lines for people."""

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import click
import requests
from requests.auth import AuthBase

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT_S = (5.0, 60.0)  # to connect, and between two bytes
CHUNK = 1 << 20


class Refused(click.ClickException):
    """The service said no: RFC 9457 problem details."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(problem.get("code", ""))
        title = str(problem.get("title") or f"the service answered {status}").rstrip(".")
        detail = str(problem.get("detail") or "").strip()
        errors = [each for each in problem.get("errors") or [] if isinstance(each, dict)]
        if errors:  # they say in full what the detail sums up
            flaws = (
                f"  {each.get('pointer') or each.get('parameter') or 'the body'}: {each.get('detail')}"
                for each in errors
            )
            super().__init__("\n".join([f"{title} ({status})", *flaws]))
        else:
            super().__init__(f"{title} ({status}){f': {detail}' if detail else ''}")


class Away(click.ClickException):
    """Nobody answered, or not in a way that the service does."""


class _Bearer(AuthBase):
    """As `auth` and not as a header, which requests would replace by what a .netrc says."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Api:
    """`direct` ignores the proxies of the environment: for a service on this machine."""

    def __init__(self, url: str, token: str, *, direct: bool = False) -> None:
        self.url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = not direct
        self._session.auth = _Bearer(token)
        self._session.headers["User-Agent"] = "likeness-cli"

    def submit(self, call: str, payload: Any, key: str) -> tuple[dict[str, Any], bool]:
        """Post to a call that makes or moves a job; answers the job, and whether the key was used before."""
        answer = self._ask("POST", f"/v1/{call}", json=payload, headers={"Idempotency-Key": key})
        return _object(answer), answer.headers.get("Idempotent-Replayed") == "true"

    def upload(self, file: Path) -> dict[str, Any]:
        with file.open("rb") as stream:
            return _object(self._ask("POST", "/v1/assets", files={"file": (file.name, stream)}))

    def job(self, job_id: str) -> dict[str, Any]:
        return _object(self._ask("GET", f"/v1/jobs/{_part(job_id)}"))

    def stages(self, job_id: str) -> list[dict[str, Any]]:
        return self._listed(f"/v1/jobs/{_part(job_id)}/stages", "stages")

    def events(self, job_id: str) -> list[dict[str, Any]]:
        return self._listed(f"/v1/jobs/{_part(job_id)}/events", "events")

    def cancel(self, job_id: str) -> dict[str, Any]:
        return _object(self._ask("POST", f"/v1/jobs/{_part(job_id)}/cancel"))

    def explain(self, job_id: str) -> dict[str, Any]:
        return _object(self._ask("GET", f"/v1/jobs/{_part(job_id)}/explain"))

    def approvals(self, job_id: str) -> list[dict[str, Any]]:
        return self._listed(f"/v1/jobs/{_part(job_id)}/approvals", "approvals")

    def decide(self, job_id: str, payload: Any, key: str) -> tuple[dict[str, Any], bool]:
        return self.submit(f"jobs/{_part(job_id)}/approvals", payload, key)

    def plan(self, job_id: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """What a retry would do; nothing changes."""
        asked = {**payload, "dry_run": True}
        return _object(self._ask("POST", f"/v1/jobs/{_part(job_id)}/retries", json=asked))

    def retry(self, job_id: str, payload: Any, key: str) -> tuple[dict[str, Any], bool]:
        return self.submit(f"jobs/{_part(job_id)}/retries", payload, key)

    def forget(self, identity: str) -> dict[str, Any]:
        collection = "voices" if identity.startswith("voc_") else "avatars"
        return _object(self._ask("DELETE", f"/v1/{collection}/{_part(identity)}"))

    def download(self, asset_id: str, into: Path) -> None:
        """The file is whole or not there."""
        partial = into.with_name(f".{into.name}.part")
        try:
            with (
                self._ask("GET", f"/v1/assets/{_part(asset_id)}/content", stream=True) as answer,
                partial.open("wb") as sink,
            ):
                for piece in answer.iter_content(CHUNK):
                    sink.write(piece)
            partial.replace(into)
        except requests.RequestException as error:
            raise Away(f"the download of {into.name} broke off ({type(error).__name__})") from error
        finally:
            partial.unlink(missing_ok=True)

    def _listed(self, path: str, name: str) -> list[dict[str, Any]]:
        found = self._ask("GET", path).json()
        return cast(list[dict[str, Any]], found[name] if isinstance(found, dict) else found)

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            # no redirects: the token and the payload are for this address alone
            answer = self._session.request(method, self.url + path, timeout=TIMEOUT_S, allow_redirects=False, **options)
        except requests.exceptions.InvalidURL as error:
            raise click.UsageError(f"{self.url} is no address of a service: set LIKENESS_URL or --url.") from error
        except requests.RequestException as error:
            raise Away(
                f"no service answers at {self.url} ({type(error).__name__}): is it running, is LIKENESS_URL right?"
            ) from error
        if answer.ok and not answer.is_redirect:
            return answer
        raise _refusal(answer)


def _refusal(answer: requests.Response) -> click.ClickException:
    try:
        problem = answer.json()
    except requests.exceptions.JSONDecodeError:
        problem = None
    if not isinstance(problem, dict):
        return Away(f"{answer.url} answered {answer.status_code}, and not as this service does: is LIKENESS_URL right?")
    return Refused(answer.status_code, problem)


def _object(answer: requests.Response) -> dict[str, Any]:
    try:
        return cast(dict[str, Any], answer.json())
    except requests.exceptions.JSONDecodeError:
        raise Away(f"{answer.url} gave no JSON: is LIKENESS_URL right?") from None


def _part(name: str) -> str:
    """An id as a part of a path: whatever is typed stays one part."""
    return quote(name, safe="")


def with_api(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command `--url` and `--token`, and as its first argument the Api."""

    @click.option(
        "--url", envvar="LIKENESS_URL", default=DEFAULT_URL, show_default=True, show_envvar=True, help="The service."
    )
    @click.option(
        "--token", envvar="LIKENESS_TOKEN", show_envvar=True, help="The service token; better in the environment."
    )
    @functools.wraps(command)
    def wrapped(*arguments: Any, url: str, token: str | None, **options: Any) -> Any:
        if not token:
            raise click.UsageError("Give the service token: set LIKENESS_TOKEN (`likeness clients new` makes one).")
        return command(Api(url, token), *arguments, **options)

    return wrapped


def show(job: Mapping[str, Any]) -> str:
    """A job as JSON for a pipe."""
    return json.dumps(job, ensure_ascii=False, indent=2)
