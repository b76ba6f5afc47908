"""Amounts as callers write them."""

from decimal import Decimal
from typing import Any

from schemas.strict import Choice, Matching, Strict

CURRENCY = "USD"


class MoneyFields(Strict):
    amount = Matching(
        r"(0|[1-9][0-9]{0,6})(\.[0-9]{1,4})?",
        form='a decimal string such as "5.00"',
        required=True,
        metadata={"example": "5.00"},
    )
    currency = Choice((CURRENCY,), load_default=CURRENCY)


def amount(data: dict[str, Any]) -> Decimal:
    return Decimal(data["amount"])


def written(value: Decimal) -> str:
    return f"{value:.4f}"
