"""What is asked of states: ``--check EXPR`` or ``--run PROGRAM``, as ``bisect`` and ``shrink`` take it."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, NamedTuple

from evcli.cli.parameters import Option
from evcli.domain.values import Json
from evcli.errors import Usage
from evcli.storage.sql_checks import RowCheck
from evcli.storage.sql_tokens import fold_case
from evcli.storage.view_sql import SqlValue, read_expression
from evcli.time_travel.checking import Check, ProgramCheck, SqlCheck

Expression = Annotated[
    str | None, Option("--check", metavar="EXPR", help="A SQL expression over the state that is to be true")
]
Program = Annotated[
    str | None,
    Option("--run", metavar="PROGRAM", help="Given the state on stdin: exit 0 good, 1 bad, 125 skip"),
]


class Asked(NamedTuple):
    """What is asked: a SQL expression, with the values of its parameters, or a program."""

    expression: str | None
    program: str | None
    params: Mapping[str, SqlValue]

    def make_check(self, table: str, columns: Mapping[str, str]) -> Check:
        """Return what judges."""
        if self.expression is not None:
            return SqlCheck(RowCheck(table, columns, self.expression, self.params, what="--check"))
        assert self.program is not None
        return ProgramCheck(self.program)

    def as_then(self) -> dict[str, Any]:
        """Return what a spec expects where the check is to hold; nothing of a program, which a spec cannot name."""
        if self.expression is None:
            return {}
        return {"check": self.expression} | ({"params": dict(self.params)} if self.params else {})

    def unknown_names(self, states: Iterable[Json]) -> list[str]:
        """Return the names in the expression that are no member of any of a stream's states: they are NULL."""
        if self.expression is None:
            return []
        known = {fold_case(name) for state in states if isinstance(state, dict) for name in state}
        names = read_expression(self.expression, (), self.params, "--check").members.defined
        return [name for name in names if fold_case(name) not in known]


def read_check(expression: str | None, program: str | None, params: Mapping[str, SqlValue], *, example: str) -> Asked:
    """Read what is asked of states.

    Raises:
        Usage: If it is neither, or both; or parameters are given to a program.
    """
    if (expression is None) == (program is None):
        raise Usage("a check is either --check EXPR or --run PROGRAM", f"as in: {example}")
    if program is not None and params:
        raise Usage("--param is for --check", "leave it out; a program has its own arguments")
    return Asked(expression, program, params)
