"""The bank's accounts: how events fold into an account's state, and which commands it accepts in that state.

A reducer is an `initial` state and a function `evolve(state, event)` that returns the state after one more event.
evcli calls it for each event of a stream, from the first on; stopping earlier gives the state of an earlier moment.
So it must depend on nothing but its arguments: no clock, no files, no randomness. Nor does it judge: an event is a
fact that has happened, and a balance below zero is shown, not refused.

Judging is what a decider does, before anything has happened: given the state and a command, it returns the events
that follow, or raises `Rejected`. Here each command is a function; its arguments are those of `evcli do`.
"""

# ruff: noqa: INP001 (evcli loads this file by its path; it belongs to no package)

from typing import Any

from evcli import Rejected

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


def deposit(state: dict[str, Any], amount: float) -> list[Any]:
    """Put money in."""
    check(state, amount)
    return [("money.deposited", {"amount": amount})]


def withdraw(state: dict[str, Any], amount: float) -> list[Any]:
    """Take money out, if there is enough."""
    check(state, amount)
    require(state, amount)
    return [("money.withdrawn", {"amount": amount})]


def transfer(state: dict[str, Any], amount: float, to: str, stream: str) -> list[Any]:
    """Send money to another account: one commit over two streams, so that it is never here and there, or nowhere."""
    check(state, amount)
    require(state, amount)
    if to == stream:
        raise Rejected("an account cannot send money to itself", code="same_account")
    if not to.startswith("accounts/"):
        raise Rejected(f"{to!r} is no account, as accounts/bob is", code="no_account")
    return [
        ("money.sent", {"amount": amount, "to": to}),
        {"stream": to, "type": "money.received", "data": {"amount": amount, "from": stream}, "expect": "exists"},
    ]


def check(state: dict[str, Any], amount: float) -> None:
    """Do nothing if the account is open, and the amount is one."""
    if not state["open"]:
        raise Rejected("the account is not open", code="not_open")
    if amount <= 0 or round(amount, 2) != amount:
        raise Rejected(f"{amount} is no amount of money", code="bad_amount")


def require(state: dict[str, Any], amount: float) -> None:
    """Do nothing if there is enough in the account."""
    if state["balance"] < amount:
        raise Rejected(f"insufficient funds: {state['balance']:.2f}", code="insufficient_funds")


def undo(event: dict[str, Any], _state: dict[str, Any]) -> list[Any] | None:
    """Return what compensates an entry: the contrary one. What was sent comes back from where it went."""
    amount, note = event["data"].get("amount"), f"undoes {event['stream']}@{event['version']}"
    match event["type"]:
        case "money.deposited":
            return [("money.withdrawn", {"amount": amount, "note": note})]
        case "money.withdrawn" | "fee.charged":
            return [("money.deposited", {"amount": amount, "note": note})]
        case "money.sent":
            other = event["data"]["to"]
            return [
                ("money.received", {"amount": amount, "from": other, "note": note}),
                (other, "money.sent", {"amount": amount, "to": event["stream"], "note": note}),
            ]
    return None


commands = {"deposit": deposit, "withdraw": withdraw, "transfer": transfer}
