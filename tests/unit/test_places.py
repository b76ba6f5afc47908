"""The places for letters: prompt endpoints get many, and those that do not answer never all."""

from tasks.places import MOST, MOST_IF_SLOW, Places


def enter_all(places: Places, client: str) -> int:
    """How many places the client gets."""
    entered = 0
    while places.enter(client):
        entered += 1
    return entered


def answer(places: Places, client: str, *, times: int = 1, alive: bool = True, latency_ms: int = 5) -> None:
    for _ in range(times):
        places.heard(client, alive=alive, latency_ms=latency_ms)


def test_a_client_that_was_not_heard_of_gets_one_place() -> None:
    assert enter_all(Places(32), "shop") == 1


def test_prompt_answers_make_room_up_to_a_bound() -> None:
    places = Places(32)
    answer(places, "shop", times=3)
    assert enter_all(places, "shop") == 4
    answer(places, "shop", times=100)
    assert 4 + enter_all(places, "shop") == MOST


def test_slow_answers_make_little_room() -> None:
    places = Places(32)
    answer(places, "shop", times=100, latency_ms=3000)
    assert enter_all(places, "shop") == MOST_IF_SLOW


def test_an_endpoint_that_does_not_answer_is_asked_with_one_letter_at_a_time() -> None:
    places = Places(32)
    answer(places, "shop", times=100)
    answer(places, "shop", alive=False)
    assert enter_all(places, "shop") == 1


def test_any_number_of_dead_endpoints_leave_half_of_the_places() -> None:
    places = Places(10)
    answer(places, "shop", times=3)
    for number in range(100):
        answer(places, f"dead-{number}", alive=False)
    assert sum(enter_all(places, f"dead-{number}") for number in range(100)) == 5
    assert enter_all(places, "shop") == 4


def test_who_leaves_hears_that_somebody_found_no_room() -> None:
    places = Places(32)
    assert places.enter("shop")
    assert not places.enter("shop")
    assert places.leave("shop")
    assert places.enter("shop")
    assert not places.leave("shop")


def test_help_is_called_once_for_each_place_that_is_free() -> None:
    places = Places(32)
    assert places.enter("shop")
    assert not places.wants("shop")
    answer(places, "shop")
    assert places.wants("shop")
    assert not places.wants("shop")
    assert places.enter("shop")
    assert not places.wants("shop")
