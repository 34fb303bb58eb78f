"""The arguments of a command are fitted to the parameters of the function that decides on it."""

from collections.abc import Callable
from typing import Any, Literal

import pytest

from evcli.errors import Usage
from evcli.project.arguments import fit_arguments

JSON_OR_TEXT: list[tuple[Any, Any, Any]] = [
    (float, "5", 5.0),
    (float, 5, 5.0),
    (float, "-1.5e2", -150.0),
    (int, "5", 5),
    (int, 5.0, 5),
    (bool, "true", True),
    (bool, False, False),
    (str, "5", "5"),
    (list, [1], [1]),
    (list[int], [1], [1]),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (int | None, None, None),
    (int | None, "7", 7),
    (int | str, "7", "7"),
    (float | int, 7, 7.0),
    (Literal["cash", "card"], "card", "card"),
    (Literal[1, 2], "2", 2),
    (Any, {"a": 1}, {"a": 1}),
    (object, "x", "x"),
]
UNFIT: list[tuple[Any, Any]] = [
    (float, "5 EUR"),
    (float, "NaN"),
    (float, True),
    (float, ""),
    (int, "5.5"),
    (int, 5.5),
    (int, "0x10"),
    (bool, "yes"),
    (bool, 1),
    (str, 5),
    (str, None),
    (list, "a,b"),
    (int | None, "none"),
    (Literal["cash", "card"], "gold"),
]


def taking(annotation: Any) -> Callable[..., None]:
    def function(_state: Any, value: Any) -> None:
        pass

    function.__annotations__["value"] = annotation
    return function


def fit(function: Callable[..., Any], **data: Any) -> dict[str, Any]:
    return fit_arguments(function, data, command="withdraw", stream="accounts/ann")


@pytest.mark.parametrize(("annotation", "given", "expected"), JSON_OR_TEXT)
def test_a_text_becomes_what_the_annotation_says(annotation: Any, given: Any, expected: Any) -> None:
    found = fit(taking(annotation), value=given)["value"]
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(("annotation", "given"), UNFIT)
def test_what_cannot_be_that_is_a_usage_error_that_names_it(annotation: Any, given: Any) -> None:
    with pytest.raises(Usage, match="withdraw: value is"):
        fit(taking(annotation), value=given)


def withdraw(state: Any, amount: float, note: str = "", *, stream: str) -> None:
    del state, amount, note, stream


def test_what_is_missing_or_unknown_is_listed_with_all_that_it_takes() -> None:
    with pytest.raises(Usage) as missing:
        fit(withdraw, note="x")
    assert (
        str(missing.value) == "withdraw misses amount (a number); it takes amount (a number), note (a text, optional)"
    )
    with pytest.raises(Usage, match="does not take amuont; it takes amount"):
        fit(withdraw, amount=1, amuont=1)


def test_a_parameter_called_stream_is_the_streams_name() -> None:
    assert fit(withdraw, amount="5") == {"amount": 5.0, "stream": "accounts/ann"}


def test_other_names_may_be_taken_as_they_come() -> None:
    assert fit(lambda _state, **more: more, a="1", b=[2]) == {"a": "1", "b": [2]}


def test_arguments_that_are_no_object_are_a_usage_error() -> None:
    with pytest.raises(Usage, match="an array"):
        fit_arguments(withdraw, [1], command="withdraw", stream="a")


@pytest.mark.parametrize("function", [lambda: None, lambda _state, *amounts: amounts, lambda _state, amount, /: amount])
def test_a_function_must_take_a_state_and_then_names(function: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="the state first"):
        fit(function, amount=1)


def test_an_annotation_that_names_what_is_not_there_says_nothing() -> None:
    def function(_state: Any, value: "Money") -> None:  # type: ignore[name-defined]  # noqa: F821 (the point)
        pass

    assert fit(function, value="5") == {"value": "5"}
