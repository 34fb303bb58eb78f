import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evcli.errors import Usage
from evcli.storage.sql_tokens import (
    check_expression,
    dotted_name_in,
    members_in,
    names_in,
    one_statement,
    params_in,
    tokenise,
)


def cut(sql: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in tokenise(sql, "it")]


@pytest.mark.parametrize(
    ("sql", "tokens"),
    [
        ("", []),
        ("a<=1", [("name", "a"), ("mark", "<"), ("mark", "="), ("number", "1")]),
        ("'it''s -- a text'", [("text", "'it''s -- a text'")]),
        ('"a ""b"""', [("quoted", 'a "b"')]),
        ("`a``b`[c'd]", [("quoted", "a`b"), ("quoted", "c'd")]),
        ("a -- 'b\n/* c ' */d/**/", [("name", "a"), ("name", "d")]),
        ("größe$1 = :größe", [("name", "größe$1"), ("mark", "="), ("param", "größe")]),
        ("1e5x .5e-3 0x1F-a 1.", [("number", "1e5x"), ("number", ".5e-3"), ("number", "0x1F"), ("mark", "-"),
                                  ("name", "a"), ("number", "1.")]),
        ("a.b", [("name", "a"), ("mark", "."), ("name", "b")]),
        ("\ufeffa\xa0b", [("name", "a\xa0b")]),
        ("x'00'", [("name", "x"), ("text", "'00'")]),
    ],
)  # fmt: skip
def test_a_text_is_cut_into_words(sql: str, tokens: list[tuple[str, str]]) -> None:
    assert cut(sql) == tokens


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("'a''b", "a text is not closed"),
        ('a = "b', "a name is not closed"),
        ("[a", "a name is not closed"),
        ("`a", "a name is not closed"),
        ("a /* b", "a comment is not closed"),
        ("a /*/", "a comment is not closed"),
        ("a = ?", "no parameter: ?"),
        ("a = $b", "no parameter: $b"),
        ("a = @b", "no parameter: @b"),
        (":a(x)", "no parameter: :a(x)"),
        (":a::b", "no parameter: :a::b"),
        ("a\0b", "NUL"),
        ("a\udcff", "not UTF-8"),
    ],
)
def test_what_is_not_closed_or_could_be_read_in_two_ways_is_refused(sql: str, told: str) -> None:
    with pytest.raises(Usage) as caught:
        tokenise(sql, "it")
    assert told in caught.value.message
    assert caught.value.hint


@given(st.text(alphabet="ab'\"`[]/*-\n();:.$ é1x"))
def test_what_passes_as_one_expression_is_read_by_sqlite_as_nothing_else(text: str) -> None:
    """SQLite never sees the end of the parentheses elsewhere: the text compiles within them, or not at all."""
    try:
        check_expression(tokenise(text, "it"), "it")
    except Usage:
        return
    params = dict.fromkeys(params_in(tokenise(text, "it")), 1)
    with closing(sqlite3.connect(":memory:")) as database:
        query = f"select 'in' where 0 and (\n{text}\n) union all select 'behind'"
        try:
            rows = database.execute(query, params).fetchall()
        except sqlite3.OperationalError as error:
            problem = str(error)
        else:
            problem = ""
            assert rows == [("behind",)]
    assert "incomplete input" not in problem


def test_one_statement_is_taken_without_its_end() -> None:
    for sql in ("select 1", "select 1;", "select 1 ; ; -- ;", "select ';' /* ; */;"):
        assert one_statement(sql, tokenise(sql, "it"), "it").split("/*")[0].strip() in ("select 1", "select ';'")
    for sql in ("", " -- select 1", ";", "; select 1"):
        with pytest.raises(Usage, match="no statement"):
            one_statement(sql, tokenise(sql, "it"), "it")
    with pytest.raises(Usage, match="takes one statement"):
        one_statement("select 1; select 2", tokenise("select 1; select 2", "it"), "it")


def test_names_are_found_wherever_they_are_written() -> None:
    tokens = tokenise("select a.\"b c\" from [d] where e = 'f' -- g", "it")
    assert list(names_in(tokens)) == ["select", "a", "b c", "from", "d", "where", "e"]
    assert dotted_name_in(tokens) == "a.b c"
    assert dotted_name_in(tokenise("1 < address . city . zip and a.b", "it")) == "address.city.zip"
    assert dotted_name_in(tokenise("a + .5 b", "it")) is None


def test_members_are_the_names_that_are_no_columns() -> None:
    def members(sql: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return members_in(tokenise(sql, "it"), {"qty"}, "it")

    assert members("QTY < 5 or lower(Name) = [Name] or true or NULL") == (("or", "Name"), ())
    assert members("a LIKE b or date(Date) like c") == (("a", "b", "or", "Date", "c"), ("LIKE", "like"))
    assert members("É and é") == (("É", "and", "é"), ())
    for sql in ('"Sold" < sold', '"true" = 1', "[False] = 1"):
        with pytest.raises(Usage, match="for something else"):
            members(sql)
