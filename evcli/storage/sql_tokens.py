"""SQL texts cut into words just as SQLite cuts them, so that a user's text can be judged before it is run.

Where the two could differ (something that is not closed, a parameter that runs into a parenthesis) it is refused.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from evcli.errors import Usage

Kind = Literal["name", "quoted", "param", "text", "number", "mark"]

_ID: Final = r"[0-9A-Za-z_$\x80-\U0010ffff]"
_TOKEN: Final = re.compile(
    rf"""
      (?P<blank> [ \t\n\f\r\ufeff]++ | --[^\n]*+ | /\*.*?\*/ )
    | (?P<text> '(?:[^']++|'')*+' )
    | (?P<quoted> "(?:[^"]++|"")*+" | `(?:[^`]++|``)*+` | \[[^\]]*+\] )
    | (?P<param> :{_ID}++ (?![(:]) )
    | (?P<number> (?: 0[xX][0-9A-Fa-f]++ | (?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+ ){_ID}*+ )
    | (?P<name> [A-Za-z_\x80-\U0010ffff]{_ID}*+ )
    | (?P<mark> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENING: Final = {"'": "a text", '"': "a name", "`": "a name", "[": "a name"}
_KEYWORDS: Final = frozenset((("name", "true"), ("name", "false"), ("name", "null")))


class Token(NamedTuple):
    """A word of a SQL text, and where it starts; of a name or a parameter, ``text`` is what it names."""

    kind: Kind
    text: str
    start: int


class Members(NamedTuple):
    """The names in an expression that are no columns: those to be defined, and those that differ only in case."""

    defined: tuple[str, ...]
    ambiguous: tuple[str, ...]


def tokenise(sql: str, what: str) -> list[Token]:
    """Cut a SQL text into its words, without blanks and comments.

    Args:
        sql: The text.
        what: What it is, for messages (``--where``).

    Raises:
        Usage: If something in it is not closed, or could be read in two ways.
    """
    check_utf8(sql, what)
    if "\0" in sql:
        raise Usage(f"{what} holds a NUL character", "leave it out")
    tokens: list[Token] = []
    for found in _TOKEN.finditer(sql):
        written, start = found[0], found.start()
        match found.lastgroup:
            case "blank":
                pass
            case "quoted":
                inner = written[1:-1]
                tokens.append(Token("quoted", inner.replace(written[0] * 2, written[0]), start))
            case "param":
                tokens.append(Token("param", written[1:], start))
            case "name" | "text" | "number" as kind:
                tokens.append(Token(kind, written, start))
            case _:
                _check_mark(sql, start, what)
                tokens.append(Token("mark", written, start))
    return tokens


def check_expression(tokens: Sequence[Token], what: str) -> None:
    """Do nothing if words make at most one expression, that stays within the parentheses it is put in.

    Raises:
        Usage: If they do not.
    """
    depth = 0
    for token in tokens:
        if token.kind == "mark":
            depth += (token.text == "(") - (token.text == ")")
            if depth < 0 or token.text == ";":
                raise Usage(
                    f"{what} is one expression, and {token.text!r} ends it", "as in \"qty < 5 and name = 'mug'\""
                )
    if depth:
        raise Usage(f"{what}: a parenthesis is not closed", 'as in "qty < 5 and (sold or lost)"')
    if not tokens:
        raise Usage(f"{what} is empty", "as in \"qty < 5 and name = 'mug'\"")


def one_statement(sql: str, tokens: list[Token], what: str) -> str:
    """Return the one statement of a SQL text, without what ends it.

    Raises:
        Usage: If there is none, or another one.
    """
    ends = [place for place, token in enumerate(tokens) if token.kind == "mark" and token.text == ";"]
    first = ends[0] if ends else len(tokens)
    if not first:
        raise Usage(f"{what}: there is no statement", "as in \"select key, value from VIEW where key like 'a%'\"")
    if len(tokens) - first > len(ends):
        raise Usage(f"{what} takes one statement", "leave out what follows the first ';'")
    return sql[: tokens[first].start] if ends else sql


def params_in(tokens: Iterable[Token]) -> list[str]:
    """Return the names of the parameters."""
    return [token.text for token in tokens if token.kind == "param"]


def names_in(tokens: Iterable[Token]) -> Iterator[str]:
    """Yield all names, keywords among them."""
    return (token.text for token in tokens if token.kind in ("name", "quoted"))


def dotted_name_in(tokens: Sequence[Token]) -> str | None:
    """Return the first name with a dot in it, as in ``address.city``."""
    shape = "".join("n" if token.kind in ("name", "quoted") else token.text[0] for token in tokens)
    found = re.search(r"n(?:\.n)+", shape)
    return ".".join(token.text for token in tokens[found.start() : found.end() : 2]) if found else None


def members_in(tokens: Sequence[Token], columns: Collection[str], what: str) -> Members:
    """Return the names in an expression that are no columns; to define one that is a keyword does no harm.

    Args:
        tokens: The expression.
        columns: The names of the columns, folded (`fold_case`).
        what: What it is, for messages.

    Raises:
        Usage: If a name in quotes cannot be defined, because another one differs from it only in case, or because it is
            ``true`` or ``false``: SQLite would take it for a text.
    """
    spellings: dict[str, dict[str, None]] = {}
    unsure: dict[str, str] = {}
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        folded = fold_case(token.text)
        if token.kind == "quoted":
            unsure[folded] = token.text
        if token.kind not in ("name", "quoted") or folded in columns or (token.kind, folded) in _KEYWORDS:
            continue
        if following is None or following[:2] != ("mark", "("):  # what stands before a parenthesis is a function
            spellings.setdefault(folded, {})[token.text] = None
    ambiguous = {folded for folded, names in spellings.items() if len(names) > 1}
    for folded, name in unsure.items():
        if folded in ambiguous or folded in ("true", "false"):
            raise Usage(
                f"{what}: SQL would take the name {name!r} for something else",
                f"write json_extract(value, '$.{name}')",
            )
    return Members(
        tuple(name for folded, names in spellings.items() if folded not in ambiguous for name in names),
        tuple(name for folded in ambiguous for name in spellings[folded]),
    )


def fold_case(name: str) -> str:
    """Return a name as SQLite compares it: of the letters, only those of ASCII have no case."""
    return name.encode().lower().decode()


def check_utf8(text: str, what: str) -> None:
    """Do nothing if a text can be handed to SQLite.

    Raises:
        Usage: If it holds what was no UTF-8 on the command line.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Usage(f"{what} is not UTF-8", "convert it to UTF-8") from error


def _check_mark(sql: str, start: int, what: str) -> None:
    mark, rest = sql[start], sql[start : start + 20]
    if mark in _OPENING:
        raise Usage(
            f"{what}: {_OPENING[mark]} is not closed: {rest}", "close its quote; a quote within is written twice"
        )
    if sql.startswith("/*", start):
        raise Usage(f"{what}: a comment is not closed: {rest}", "close it with */")
    if mark in "?@$#" or re.match(rf":{_ID}", rest):
        raise Usage(f"{what}: this is no parameter: {rest}", "write :name, and give its value with --param name=…")
