import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evcli.domain.terminal import Part, compose, crop, member_texts, pretty_json, sanitise, show_instant

UNSAFE = [
    *range(0x09),
    *range(0x0A, 0x20),
    *range(0x7F, 0xA0),
    0x061C,
    0x200E,
    0x200F,
    0x2028,
    0x2029,
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    *range(0xD800, 0xE000),
]

ANY_TEXT = st.text(st.characters() | st.sampled_from([chr(code) for code in UNSAFE if not 0xD800 <= code < 0xE000]))


def test_exactly_the_characters_a_terminal_obeys_are_spelled() -> None:
    changed = [code for code in range(0x110000) if sanitise(chr(code)) != chr(code)]
    assert changed == sorted(UNSAFE)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("\x1b[31mred", "\\u001b[31mred"),
        ("\x1b]52;c;ZXZpbA==\x07", "\\u001b]52;c;ZXZpbA==\\u0007"),
        ("\x9b2J", "\\u009b2J"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("one\r\ntwo", "one\\u000d\\u000atwo"),
        ("bad byte \udcff", "bad byte \\udcff"),
    ],
)
def test_a_control_character_is_shown_by_its_spelling(text: str, safe: str) -> None:
    assert sanitise(text) == safe


@pytest.mark.parametrize("text", ["", "plain", "tab\there", "Zürich 北京 🎉", "[bold]x[/]", "no\u00a0break", r"\u001b"])
def test_harmless_text_is_left_as_it_is(text: str) -> None:
    assert sanitise(text) == text


@given(ANY_TEXT)
def test_sanitised_text_is_safe_and_stays_so(text: str) -> None:
    once = sanitise(text)
    assert not any(ord(char) in UNSAFE for char in once)
    assert sanitise(once) == once


@given(st.recursive(ANY_TEXT, lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner), max_leaves=8))
def test_sanitised_json_has_the_same_value(value: object) -> None:
    assert json.loads(sanitise(json.dumps(value, ensure_ascii=False))) == value


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)), st.integers(1, 40))
def test_cropped_text_is_a_prefix_that_fits(text: str, width: int) -> None:
    cropped = crop(text, width)
    assert len(cropped) <= width
    assert cropped == text if len(text) <= width else cropped == text[: width - 1] + "…"


def test_wide_and_combining_characters_are_cropped_by_their_cells() -> None:
    assert crop("北京市", 6) == "北京市"
    assert crop("北京市", 5) == "北京…"
    assert crop("北京市", 4) == "北…"
    assert crop("e\u0301e\u0301", 2) == "e\u0301e\u0301"


@given(st.integers(0, 20))
def test_colours_change_no_character_of_a_row(width: int) -> None:
    parts: list[Part] = [("one", "red"), ("  two", "plain"), ("  three", "dim")]
    colored = compose(parts, width=width, colored=True)
    for code in ("\x1b[31m", "\x1b[2m", "\x1b[0m"):
        colored = colored.replace(code, "")
    assert colored == compose(parts, width=width, colored=False)


@given(st.dictionaries(ANY_TEXT, ANY_TEXT | st.integers() | st.lists(ANY_TEXT)))
def test_pretty_json_has_the_same_value(value: dict[str, object]) -> None:
    assert json.loads(pretty_json(json.dumps(value), colored=False)) == value


@given(st.dictionaries(st.text(), st.text() | st.floats(allow_nan=False) | st.lists(st.text()), min_size=1))
def test_the_members_of_a_line_keep_their_own_text(value: dict[str, object]) -> None:
    texts = {name: json.dumps(member, ensure_ascii=False) for name, member in value.items()}
    line = ",".join(f"{json.dumps(name)}:{text}" for name, text in texts.items())
    assert member_texts(f"{{{line}}}".encode()) == texts


def test_an_instant_is_shown_in_the_zone_given() -> None:
    def east(moment: datetime) -> datetime:
        return moment.astimezone(timezone(timedelta(hours=9)))

    assert show_instant("2026-11-23T18:00:59.999999Z", east) == "2026-11-24 03:00:59"
    assert show_instant("9999-12-31T23:59:59.999999Z", east) == "9999-12-31T23:59:59.999999Z"
    assert show_instant("2026-11-23T18:00:00.000000Z", lambda moment: moment.astimezone(UTC)) == "2026-11-23 18:00:00"
