"""Event sourcing and CQRS for the shell: the public Python API.

``from evcli import Store`` opens a store; see `evcli.api.Store`. Names are loaded when they are first used, so that
``import evcli`` costs next to nothing.
"""

from evcli.light_typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from evcli.api import Store
    from evcli.domain.conditions import make_condition as require_none
    from evcli.errors import ConditionNotMet, EvcliError, Rejected, WrongExpectedVersion

__all__ = ["ConditionNotMet", "EvcliError", "Rejected", "Store", "WrongExpectedVersion", "__version__", "require_none"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 (a module's attribute is anything)
    if name == "Store":
        from evcli.api import Store

        return Store
    if name == "require_none":
        from evcli.domain.conditions import make_condition

        return make_condition
    if name in __all__:
        from evcli import errors

        return getattr(errors, name)
    raise AttributeError(f"module 'evcli' has no attribute {name!r}")
