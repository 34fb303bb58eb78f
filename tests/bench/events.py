"""The same events for everybody: a bank's, about 200 bytes each as JSON, always the same for the same number."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

TYPES: Final = ("money.deposited", "money.withdrawn", "card.used", "fee.charged", "account.checked")
ACCOUNTS: Final = 10_000
_LINE: Final = (
    '{%s"type":"%s","data":{"account":"acc-%05d","amount":%d,"currency":"EUR","ref":"ref-%010d",'
    '"by":"teller-%03d","note":"booked at the counter of branch %03d, receipt on paper"}}\n'
)
_CHUNK: Final = 10_000
_TOGETHER: Final = 100

LEDGER: Final = """\
initial = {"balance": 0, "count": 0}


def evolve(state, event):
    if event["type"] == "money.deposited":
        state["balance"] += event["data"]["amount"]
    else:
        state["balance"] -= event["data"]["amount"]
    state["count"] += 1
    return state
"""
"""A reducer over all of the events, as a Python file."""

DEPOSITS: Final = """\
initial = {"balance": 0, "count": 0}


def evolve(state, event):
    if event["type"] == "money.deposited":
        state["balance"] += event["data"]["amount"]
        state["count"] += 1
    return state
"""
"""A reducer over one type of them."""

LEDGER_IN_JQ: Final = """\
reduce inputs as $event ({balance: 0, count: 0};
  .count += 1
  | if $event.type == "money.deposited" then .balance += $event.data.amount else .balance -= $event.data.amount end)
"""
"""What `LEDGER` does, for jq."""

VIEWS: Final = """\
[views.balances]
from = ["**"]
key = "/data/account"
[views.balances.on]
"money.deposited" = { inc = { balance = "/data/amount", count = 1 }, set = { last = "/data/ref" } }
"*" = { inc = { count = 1 }, set = { last = "/data/ref" } }

[views.refs]
from = ["**"]
key = "/data/ref"
[views.refs.on]
"*" = { set = { account = "/data/account", amount = "/data/amount" } }
"""
"""Two views: few rows of many events, and a row for each event."""


def line(number: int, stream: str | None = None) -> str:
    """Return the event of that number, from 0, as a line for ``evcli append --from``.

    >>> len(line(7))
    187
    """
    named = f'"stream":"{stream}",' if stream else ""
    mixed = number * 2_654_435_761 % (1 << 32)
    kind = TYPES[(mixed >> 7) % len(TYPES)]
    return _LINE % (named, kind, mixed % ACCOUNTS, 1 + mixed % 9_999, number, mixed % 311, mixed % 97)


def lines(count: int, streams: int = 0) -> Iterator[str]:
    """Yield the first ``count`` events, 100 at a time for each of as many streams in turn; of 0 they name none."""
    for number in range(count):
        yield line(number, stream_name(number // _TOGETHER % streams) if streams else None)


def stream_name(number: int) -> str:
    """Return the name of one of many streams."""
    return f"accounts/{number:04}"


def write_events(path: Path, count: int, streams: int = 0) -> None:
    """Write the first ``count`` events to a file, a line each."""
    every = lines(count, streams)
    with path.open("w") as file:
        while chunk := list(islice(every, _CHUNK)):
            file.write("".join(chunk))
