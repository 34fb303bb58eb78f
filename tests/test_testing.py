"""What Python tests are given: `evcli.testing`."""

from pathlib import Path

import pytest

from evcli.errors import BadSpec, Usage
from evcli.testing import Scenario, given

SAMPLES = Path(__file__).parent.parent / "sample_logs"


def account(*more: tuple[str, object]) -> Scenario:
    return given(("account.opened", {"owner": "Ann"}), *more, decider=SAMPLES / "bank.py", stream="accounts/ann")


def test_what_follows_from_a_command() -> None:
    rich = account(("money.deposited", {"amount": 20}))
    rich.when("withdraw", amount=5).then(("money.withdrawn", {"amount": 5}))
    rich.when("withdraw", {"amount": 5}).then({"type": "money.withdrawn", "data": {"amount": 5}})
    rich.when("withdraw", amount=50).then_rejected("insufficient_funds").then_rejected()
    rich.when("transfer", amount=5, to="accounts/bob").then_conflict("wrong_expected_version").then_conflict()


def test_the_state_that_follows() -> None:
    opened = "2000-01-01T00:00:0{}.000000Z"
    account().then_state({"owner": "Ann", "balance": 0, "open": True, "last": opened.format(0)})
    after = account().when("deposit", amount=5)
    after.then_state({"owner": "Ann", "balance": 5, "open": True, "last": opened.format(1)})
    given(("a", 1), reducer="count").then_state(1)


def test_a_transfer_from_the_working_directorys_decider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SAMPLES)
    had = (("money.deposited", {"amount": 20}), ("accounts/bob", "account.opened", {"owner": "Bob"}))
    given(("account.opened", {"owner": "Ann"}), *had, decider="bank.py", stream="accounts/ann").when(
        "transfer", amount=5, to="accounts/bob"
    ).then(
        ("money.sent", {"amount": 5, "to": "accounts/bob"}),
        ("accounts/bob", "money.received", {"amount": 5, "from": "accounts/ann"}),
    )


def test_what_is_otherwise_is_shown_as_a_diff() -> None:
    with pytest.raises(AssertionError) as caught:
        account(("money.deposited", {"amount": 20})).when("withdraw", amount=5).then(("money.withdrawn", {"amount": 6}))
    text = str(caught.value)
    assert "--- expected\n  +++ actual\n" in text
    assert '\n  -        "amount": 6\n  +        "amount": 5' in text
    assert caught.value.__cause__ is None


def test_an_exception_of_the_deciders_own_is_shown_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("initial = 0\ndef evolve(s, e): return s\ndef decide(c, s): return s['x']\n")
    with pytest.raises(AssertionError, match=r"bad\.py failed .*TypeError") as caught:
        given(decider=tmp_path / "bad.py").when("x").then()
    assert isinstance(caught.value.__cause__, TypeError)


def test_what_is_no_spec_is_no_failed_test() -> None:
    with pytest.raises(BadSpec, match="this test: spec 'number 1': given"):
        given(("a", {1, 2})).then_state(1)
    with pytest.raises(BadSpec, match="without a command"):
        account().then()
    with pytest.raises(Usage, match="twice"):
        account().when("withdraw", {"amount": 1}, amount=1)
    with pytest.raises(Usage, match="is no event"):
        given(("a",))  # type: ignore[arg-type]  # what a user may well write
