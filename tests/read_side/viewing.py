"""A shop whose stock is a view, for the tests of views."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evcli import Store
from evcli.project.config import load_config
from evcli.read_side.keeping import KeptView
from evcli.read_side.views import Answer, Freshness, View
from evcli.storage.local import LocalStore

STOCK = """\
[views.stock]
from = ["inventory/**"]
key = "/data/sku"
columns = { qty = "integer", updated = "text" }
[views.stock.on]
"item.received" = { inc = { qty = "/data/qty" }, set = { updated = "/time" } }
"item.sold" = { inc = { qty = "/data/qty", sales = 1 } }
"item.retired" = "delete"
"""
Event = tuple[str, dict[str, Any]]


def shop(folder: Path, config: str = STOCK, *, cache: bool = True) -> Store:
    """Open a store below ``folder`` with this ``evcli.toml``."""
    path = folder / "evcli.toml"
    path.write_text(config)
    folders = {name: str(folder / name) for name in ("cache", "state")}
    return Store(
        LocalStore(str(folder / "store")),
        cache=folders["cache"] if cache else None,
        state=folders["state"],
        load_config=lambda: load_config(str(path), state_root=folders["state"]),
    )


def received(sku: str, qty: Any) -> Event:
    return ("item.received", {"sku": sku, "qty": qty})


def random_events(rng: random.Random, count: int, skus: str = "ABCDE") -> list[Event]:
    kinds = ["item.received", "item.received", "item.sold", "item.retired", "item.counted"]
    return [(rng.choice(kinds), {"sku": rng.choice(skus), "qty": rng.randint(-5, 9)}) for _ in range(count)]


def by_hand(events: Sequence[Mapping[str, Any]], key: Callable[[Any], str] | None = None) -> dict[str, Any]:
    """Fold stored events into the rows of `STOCK` (with another key: ``key``) the plain way."""
    rows: dict[str, dict[str, Any]] = {}
    for event in events:
        sku = key(event) if key else event["data"]["sku"]
        if event["type"] == "item.retired":
            rows.pop(sku, None)
        elif event["type"] in ("item.received", "item.sold"):
            row = rows.setdefault(sku, {})
            row["qty"] = row.get("qty", 0) + event["data"]["qty"]
            if event["type"] == "item.received":
                row["updated"] = event["time"]
            else:
                row["sales"] = row.get("sales", 0) + 1
    return rows


def rows_of(answer: Answer) -> dict[str, Any]:
    return {row.key: json.loads(row.value) for row in answer.view.rows()}


def ask(store: Store, name: str = "stock", **freshness: Any) -> tuple[dict[str, Any], Any]:
    """Return all rows of a view, and what is explained about them; the store's configuration is read anew."""
    store.__dict__.pop("config", None)
    with View(store.kept_view(name)).open(Freshness(**freshness)) as answer:
        return rows_of(answer), answer.explained


def kept(store: Store, name: str = "stock") -> KeptView:
    store.__dict__.pop("config", None)
    return store.kept_view(name)
