"""Lines of types that nobody wants are left out unparsed, and never one that is wanted."""

from hypothesis import given
from hypothesis import strategies as st

from evcli.domain.names import compile_glob
from evcli.storage.codec import loads, new_event
from evcli.storage.lines import lines_of_types, open_event_line, without_other_types

KINDS = st.text('ab."\\é\n{', min_size=1, max_size=4)
GLOBS = KINDS | st.text('ab."\\é*?', min_size=1, max_size=4)


def line_of(kind: str, data: object = None) -> bytes:
    event = new_event({"type": kind, "data": data})
    opened = open_event_line(
        position=1, stream="s", version=1, time="2026-01-01T00:00:00.000000Z", event=event, recorded=None
    )
    return opened + b"}"


@given(st.lists(KINDS, max_size=6), st.lists(GLOBS, max_size=3))
def test_no_line_that_is_wanted_is_left_out(kinds: list[str], globs: list[str]) -> None:
    lines = list(map(line_of, kinds))
    left = list(without_other_types(lines, tuple(globs)))
    assert list(lines_of_types(b"".join(line + b"\n" for line in lines), tuple(globs))) == left
    wanted = [line for line in lines if any(compile_glob(glob)(loads(line)["type"]) for glob in globs)]
    assert [line for line in left if line in wanted] == wanted
    assert [line for line in lines if line in left] == left


def test_lines_of_other_types_are_left_out() -> None:
    deposit, withdrawal, opened = map(line_of, ("money.deposited", "money.withdrawn", "opened"))
    quoting = line_of("other", {"type": "opened"})
    lines = [deposit, withdrawal, opened, quoting]
    text = b"".join(line + b"\n" for line in lines)
    found = {
        ("money.*",): [deposit, withdrawal],
        ("money.deposited", "x"): [deposit],
        ("opened",): [opened, quoting],
        (): [],
        ("*",): lines,
        None: lines,
    }
    for types, left in found.items():
        assert list(without_other_types(lines, types)) == list(lines_of_types(text, types)) == left
