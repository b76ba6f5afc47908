"""Waiting for others only so long."""

import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def within(seconds: float, ask: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """The answer, or what was raised. Raises TimeoutError; the question then stays open in a thread of its own."""
    answers: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(ask(*arguments, **options))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="patience", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError
    return answers[0]
