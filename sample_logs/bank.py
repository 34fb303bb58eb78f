"""Fold an account's events into its state: whose it is, what is in it, whether it is open, when it last changed.

A reducer is an `initial` state and a function `evolve(state, event)` that returns the state after one more event.
evcli calls it for each event of a stream, from the first on; stopping earlier gives the state of an earlier moment.
So it must depend on nothing but its arguments: no clock, no files, no randomness. Nor does it judge: an event is a
fact that has happened, and a balance below zero is shown, not refused.
"""

# ruff: noqa: INP001 (evcli loads this file by its path; it belongs to no package)

from typing import Any

initial = {"owner": None, "balance": 0.0, "open": False, "last": None}

# What each event does to the balance. An event of any other type leaves it alone, so that the types of tomorrow can
# be recorded today.
SIGNS = {
    "money.deposited": +1,
    "money.received": +1,
    "money.withdrawn": -1,
    "money.sent": -1,
    "fee.charged": -1,
}


def evolve(state: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """Return the state after ``event``; the state given may be changed, evcli hands over its only copy."""
    match event["type"]:
        case "account.opened":
            state["owner"] = event["data"]["owner"]
            state["open"] = True
        case "account.closed":
            state["open"] = False
        case kind if kind in SIGNS:
            # The log keeps an amount as it was written (10.00), but here it is a binary float: 0.1 + 0.2 is
            # 0.30000000000000004. Rounded to cents after every step, the error never adds up.
            state["balance"] = round(state["balance"] + SIGNS[kind] * event["data"]["amount"], 2)
    state["last"] = event["time"]
    return state
