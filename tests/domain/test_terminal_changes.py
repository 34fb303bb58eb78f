from typing import Any

from evcli.domain.patches import changes_between
from evcli.domain.terminal_changes import lay_out_changes, show_value


def shown(before: Any, after: Any, *, width: int = 0, colored: bool = False) -> list[str]:
    return list(lay_out_changes(changes_between(before, after), width=width, colored=colored))


def test_a_row_says_what_was_added_removed_and_changed() -> None:
    before = {"balance": 10, "coupon": "X"}
    after = {"balance": 25, "owner": {"name": "Ann"}}
    assert shown(before, after) == ["~ /balance  10 → 25", '- /coupon  "X"', '+ /owner  {"name":"Ann"}']


def test_changes_below_one_place_are_a_branch_that_starts_where_they_part() -> None:
    before = {"order": {"items": [{"qty": 1, "price": 2}, {"qty": 5}]}, "total": 1}
    after = {"order": {"items": [{"qty": 2, "price": 3}, {"qty": 6}]}, "total": 2}
    assert shown(before, after) == [
        "  /order/items",
        "    /0",
        "~     /qty  1 → 2",
        "~     /price  2 → 3",
        "~   /1/qty  5 → 6",
        "~ /total  1 → 2",
    ]


def test_a_single_change_deep_down_takes_one_row() -> None:
    assert shown({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}) == ["~ /a/b/c  1 → 2"]


def test_a_change_of_the_whole_value_needs_no_place() -> None:
    assert shown(3, 5) == ["~ 3 → 5"]


def test_a_string_cannot_be_taken_for_a_number() -> None:
    assert shown({"a": 1}, {"a": "1"}) == ['~ /a  1 → "1"']


def test_what_a_terminal_would_obey_is_spelled() -> None:
    assert shown({}, {"\x1b[31m": "\x9b2J\t"}) == ['+ /\\u001b[31m  "\\u009b2J\\t"']


def test_a_long_old_value_leaves_room_for_the_new_one() -> None:
    [row] = shown({"note": "o" * 100}, {"note": "n" * 100}, width=60)
    assert len(row) == 60
    assert row.count("o") > 15
    assert row.count("n") > 15


def test_what_was_is_red_and_what_is_there_now_green() -> None:
    assert shown({"a": 1}, {"a": 2}, colored=True) == [
        "\x1b[33m~ \x1b[0m\x1b[36m/a  \x1b[0m\x1b[31m1\x1b[0m\x1b[2m → \x1b[0m\x1b[32m2\x1b[0m"
    ]


def test_nothing_is_shown_as_such() -> None:
    [row] = shown(None, 1)
    assert row == "~ null → 1"
    assert show_value([1, "ü"]) == '[1,"ü"]'
