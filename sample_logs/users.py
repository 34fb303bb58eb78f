"""Users whose e-mail addresses are theirs alone, though each user is a stream by itself.

That an address is free is not written in any one stream, so no version of a stream can stand for it. The decider says
with `require_none` what must not be there; it is looked at under the store's lock, so of two users who claim the same
address at the same time one wins.
"""

# ruff: noqa: INP001 (evcli loads this file by its path; it belongs to no package)

from typing import Any

from evcli import Rejected, require_none

initial = {"email": None}


def evolve(state: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """Keep the address."""
    if event["type"] == "user.registered":
        state["email"] = event["data"]["email"]
    return state


def register(state: dict[str, Any], email: str) -> list[Any]:
    """Register a user under an address that nobody has."""
    if state["email"]:
        raise Rejected("the user is registered already", code="registered")
    address = email.strip().lower()
    if "@" not in address:
        raise Rejected(f"{email!r} is no address", code="bad_address")
    return [
        ("user.registered", {"email": address}),
        require_none("users/*", "user.registered", {"/data/email": address}),
    ]


commands = {"register": register}
