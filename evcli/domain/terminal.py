"""What may reach a terminal: text without the characters that command it, laid out, cropped and coloured."""

import json
import re
from collections.abc import Callable, Iterable, Mapping

from evcli.light_typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from datetime import datetime

Color = Literal["auto", "always", "never"]
Style = Literal["red", "green", "cyan", "yellow", "dim", "plain"]
Part = tuple[str, Style]

# Patterns stay texts, which `re` compiles when they are first used: most output is clean.
_UNSAFE: Final = (
    r"[\x00-\x08\x0a-\x1f\x7f-\x9f"  # C0 but tab, DEL, C1
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidi controls
    r"\u2028\u2029\ud800-\udfff]"  # line separators, lone surrogates
)
_SGR: Final[Mapping[Style, int]] = {"red": 31, "green": 32, "cyan": 36, "yellow": 33, "dim": 2}
_KEY: Final = r'^( *)("(?:[^"\\]|\\.)*")(?=: )'
_next_json: Final = json.JSONDecoder().raw_decode
_FIRST_PROGRESS: Final = 0.5
_PROGRESS_EVERY: Final = 0.1


def sanitise(text: str) -> str:
    r"""Spell the characters of ``text`` that a terminal would obey as ``\uXXXX``.

    These are C0 but tab (the newline too: callers add their own line ends), DEL, C1, the bidi controls,
    U+2028, U+2029 and lone surrogates. Compact JSON text stays JSON text of the same value, since there they
    can stand only inside strings.
    """
    # Every one of them is unprintable, and this look is several times faster than the pattern's.
    if text.isprintable():
        return text
    return re.sub(_UNSAFE, lambda found: f"\\u{ord(found[0]):04x}", text)


def sanitise_lines(text: str) -> str:
    """Sanitise each line of ``text``, keeping its newlines."""
    return "\n".join(map(sanitise, text.split("\n")))


def sanitise_cell(text: str) -> str:
    """Sanitise ``text`` for a place in a table, where a tab would break the columns."""
    return sanitise(text).replace("\t", " ")


def bare(value: Any) -> str:  # noqa: ANN401 (a JSON value)
    """Return a string as it is, any other value as compact JSON text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def crop(text: str, width: int) -> str:
    """Cut sanitised ``text`` to ``width`` terminal cells, with … where something is missing."""
    from unicodedata import combining, east_asian_width

    cells = fitting = 0
    for index, char in enumerate(text):
        cells += 2 if east_asian_width(char) in "WF" else 0 if combining(char) else 1
        if cells > width:
            return text[:fitting] + "…"
        if cells < width:
            fitting = index + 1
    return text


def paint(text: str, style: Style) -> str:
    """Wrap ``text`` in a style's escape sequences (ECMA-48, SGR)."""
    return f"\x1b[{_SGR[style]}m{text}\x1b[0m" if text and style in _SGR else text


def compose(parts: Iterable[Part], *, width: int, colored: bool) -> str:
    """Join sanitised parts to one row of at most ``width`` cells (0: any number), coloured or not."""
    parts = list(parts)
    row = "".join(text for text, _ in parts).rstrip()
    if width:
        row = crop(row, width)
    if not colored:
        return row
    painted, start = "", 0
    for text, style in parts:
        painted += paint(row[start : start + len(text)], style)
        start += len(text)
    return painted


def pretty_json(text: str, *, colored: bool) -> str:
    """Indent a JSON text for a terminal, its keys coloured or not."""
    pretty = sanitise_lines(json.dumps(json.loads(text), indent=2, ensure_ascii=False))
    if not colored:
        return pretty
    return re.sub(_KEY, lambda key: key[1] + paint(key[2], "cyan"), pretty, flags=re.MULTILINE)


def wants_color(choice: Color, env: Mapping[str, str], *, on_terminal: bool) -> bool:
    """Decide whether to colour: the option, ``NO_COLOR`` (no-color.org), what forces it, and the terminal."""
    if choice != "auto":
        return choice == "always"
    if env.get("NO_COLOR"):
        return False
    if any(env.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return on_terminal and env.get("TERM") != "dumb"


def member_texts(line: bytes) -> dict[str, str]:
    """Split an event's stored line into its members, each with its own text."""
    text = line.decode("utf-8", "surrogateescape")
    texts: dict[str, str] = {}
    end = 0  # where the brace or comma before a member stands
    while text[end] != "}":
        name, colon = _next_json(text, end + 1)
        _, end = _next_json(text, colon + 1)
        texts[name] = text[colon + 1 : end]
    return texts


def show_instant(instant: str, local: "Callable[[datetime], datetime]") -> str:
    """Show a canonical instant, to the second, in the zone of ``local`` (see `parse_instant`)."""
    from datetime import datetime

    try:
        return local(datetime.fromisoformat(instant)).isoformat(" ")[:19]
    except (ValueError, OverflowError):  # the first and last day there are may not exist in that zone
        return sanitise_cell(instant)


class EventLayout:
    """Lays events out one a row; the columns widen with what they meet, within reason.

    What is known about an event (its ``meta``) stands last, or before the data, which may be long (``about_first``).
    """

    def __init__(self, *, local: "Callable[[datetime], datetime]", colored: bool, about_first: bool = False) -> None:
        self._local = local
        self._about_first = about_first
        self._colored = colored
        self._at_width = 16
        self._type_width = 16

    def row(self, line: bytes, *, width: int) -> str:
        """Lay out a stored line on at most ``width`` cells (0: any number), data as it was written."""
        texts = member_texts(line)
        at = f"{json.loads(texts['stream'])}@{texts['version']}"
        kind = sanitise_cell(json.loads(texts["type"]))
        self._at_width = max(self._at_width, min(len(at), 40))
        self._type_width = max(self._type_width, min(len(kind), 32))
        meta: dict[str, Any] = json.loads(texts.get("meta", "{}"))
        about = " ".join(f"{name}={bare(value)}" for name, value in meta.items())
        parts: list[Part] = [
            (sanitise_cell(at).ljust(self._at_width), "cyan"),
            ("  " + show_instant(json.loads(texts["time"]), self._local), "dim"),
            ("  " + kind.ljust(self._type_width), "yellow"),
            ("  " + sanitise_cell(texts["data"]), "plain"),
        ]
        if about:
            parts.insert(3 if self._about_first else 4, ("  " + sanitise_cell(about), "dim"))
        return compose(parts, width=width, colored=self._colored)


class Progress:
    """One line that tells how far work has got, rewritten in place; ``started`` is in seconds, as all instants here."""

    def __init__(self, label: str, started: float) -> None:
        self._label = sanitise(label)
        self._next = started + _FIRST_PROGRESS
        self._width = 0

    def line(self, done: int, total: int, *, now: float, width: int) -> str:
        """Return what to write to a terminal of ``width`` cells; "" where nothing is due."""
        if now < self._next:
            return ""
        self._next = now + _PROGRESS_EVERY
        text = crop(f"evcli: {self._label} {done * 100 // max(total, 1)}% ({done:,} of {total:,} events)", width - 1)
        before, self._width = self._width, len(text)
        return f"\r{text.ljust(before)}"

    def erasure(self) -> str:
        """Return what takes the line away again; "" where there is none."""
        width, self._width = self._width, 0
        return f"\r{' ' * width}\r" if width else ""
