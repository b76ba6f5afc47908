"""A capability as a stage sees it: the preferred adapter, or the next one where the operator has set one up.

Never silently: who was passed over, and why, goes into the record.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol

import structlog

from pipeline.calls import NotYet
from pipeline.errors import ConcurrencyLimited, ProviderError, ProviderMissing, VoiceElsewhere, VoiceMissing
from pipeline.outcome import Error, Wait
from pipeline.ports import DELETED, ClonedVoice

log = structlog.get_logger()


class Offer(Protocol):
    """An adapter that may serve, such as a `Candidate`."""

    @property
    def family(self) -> str: ...

    def adapter(self) -> Any:
        """Raises ProviderMissing."""
        ...


class Served:
    """Stands in for the adapter; `provider` names who served.

    An adapter that cannot serve gives way to the next: at once where that will not pass (no key, no money), else when
    the step has no try left (`last_try`). Where nobody is left, what may pass makes the step wait.
    """

    def __init__(self, capability: str, candidates: Sequence[Offer], *, last_try: bool) -> None:
        self._capability = capability
        self._candidates = candidates
        self._last_try = last_try
        self.provider: str | None = None
        self.passed_over: list[dict[str, str]] = []

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            return self._call(method, *arguments, **options)

        return call

    def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        self.passed_over = []
        voice = next((each for each in arguments if isinstance(each, ClonedVoice)), None)
        *preferred, last = self._candidates if voice is None else self._who_speaks(voice)
        for candidate in preferred:
            try:
                return self._ask(candidate, method, *arguments, **options)
            except ProviderMissing as error:
                self._pass_over(candidate, error.code, error.message)
            except ProviderError as error:
                if not error.gives_way or (error.retryable and not self._last_try):
                    raise _waiting(error, candidate.family) from error
                self._pass_over(candidate, error.code, error.message)
        try:
            return self._ask(last, method, *arguments, **options)
        except ProviderMissing as error:
            reasons = [*(f"{each['provider']}: {each['message']}" for each in self.passed_over), error.message]
            raise ProviderMissing(
                f"No provider for {self._capability} can be used here.", capability=self._capability, reasons=reasons
            ) from error
        except ProviderError as error:
            raise _waiting(error, last.family) from error

    def _who_speaks(self, voice: ClonedVoice) -> Sequence[Offer]:
        """A cloned voice lives with one family: if that cannot serve just now, no other can in its place."""
        if voice.provider == DELETED:
            raise VoiceMissing("The voice was deleted. Make a new video, with another voice.")
        able = [candidate for candidate in self._candidates if candidate.family == voice.provider]
        if not able:
            raise VoiceElsewhere(
                f"This voice lives with {voice.provider}, which is not set up here for {self._capability}."
                " Set it up, or name another voice.",
                provider=voice.provider,
            )
        for candidate in self._candidates:
            if candidate not in able:
                self._pass_over(candidate, VoiceElsewhere.code, f"The voice lives with {voice.provider}.")
        return able

    def _ask(self, candidate: Offer, method: str, *arguments: Any, **options: Any) -> Any:
        adapter = candidate.adapter()
        self.provider = candidate.family
        return getattr(adapter, method)(*arguments, **options)

    def _pass_over(self, candidate: Offer, code: str, message: str) -> None:
        self.passed_over.append({"provider": candidate.family, "code": code, "message": message})
        log.warning("provider passed over", provider=candidate.family, capability=self._capability, code=code)


def _waiting(error: ProviderError, provider: str) -> Exception:
    """What passes by itself, or when the operator has seen to it, is no failure of the step."""
    if error.pause_s is None:
        return error
    fact = Error(error.code, error.message, True, error.details)
    awaits = f"slot:{provider}" if isinstance(error, ConcurrencyLimited) else None
    return NotYet(Wait(timedelta(seconds=error.pause_s), error.message, awaits=awaits, error=fact))
