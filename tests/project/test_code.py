import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from evcli.domain.events import Event
from evcli.errors import CodeFailed
from evcli.project.code import PythonReducer
from evcli.project.sources import Sources

PLAIN = """
initial = {"sum": 0}
def evolve(state, event):
    state["sum"] += event["data"]["n"]
    return state
"""


@pytest.fixture(autouse=True)
def _nothing_stays_behind() -> Iterator[None]:
    modules, finders = dict(sys.modules), list(sys.meta_path)
    yield
    assert sys.meta_path == finders
    new = [name for name in sys.modules if name not in modules]
    assert not [name for name in new if name.startswith("evcli_code") or name in ("rates", "shared", "money")]
    assert all(sys.modules[name] is module for name, module in modules.items())


def write(folder: Path, **files: str) -> Path:
    """Write modules, and return the first one's path."""
    paths = [folder / f"{name}.py" for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return paths[0]


def load(path: Path) -> PythonReducer:
    return PythonReducer.load(Sources(str(path)))


def event(n: int = 1, *, version: int = 1, kind: str = "added") -> Event:
    data = {"n": n}
    return Event(
        position=version,
        stream="accounts/ann",
        version=version,
        time="2026-11-23T08:00:00.000000Z",
        type=kind,
        data=data,
    )


def fold(path: Path, *numbers: int) -> Any:
    reducer = load(path)
    return reducer.fold(reducer.initial(), [event(n, version=version) for version, n in enumerate(numbers, 1)])


def test_a_file_folds_events(tmp_path: Path) -> None:
    assert fold(write(tmp_path, bank=PLAIN), *range(1000)) == {"sum": 499500}


def test_each_fold_has_its_own_initial_state(tmp_path: Path) -> None:
    reducer = load(write(tmp_path, bank=PLAIN))
    reducer.fold(reducer.initial(), [event(5)])
    assert reducer.initial() == {"sum": 0}


def test_initial_may_be_a_function(tmp_path: Path) -> None:
    assert fold(write(tmp_path, bank="def initial(): return [0]\ndef evolve(state, event): return state * 2"), 1) == [
        0,
        0,
    ]


def test_types_select_the_events_by_name_or_glob(tmp_path: Path) -> None:
    reducer = load(write(tmp_path, bank=PLAIN + 'types = ["added", "was.*"]'))
    given = [event(1), event(2, kind="other"), event(4, kind="was.added")]
    assert reducer.types == ("added", "was.*")
    assert reducer.fold(reducer.initial(), given) == {"sum": 5}


def test_the_library_module_types_is_not_taken_for_the_list(tmp_path: Path) -> None:
    assert load(write(tmp_path, bank="import types\n" + PLAIN)).types is None


def test_dataclasses_work(tmp_path: Path) -> None:
    text = """
        from __future__ import annotations
        from dataclasses import dataclass, field
        from typing import ClassVar
        @dataclass
        class Account:
            kind: ClassVar[str] = "x"
            balance: int = 0
        initial = 0
        def evolve(state, event):
            return Account(state + event["data"]["n"]).balance
        """
    assert fold(write(tmp_path, bank=text), 1, 2) == 3


def test_modules_and_packages_beside_the_file_can_be_imported(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        bank="""
            import rates
            from shared.money import double
            from bare import deep
            import shared.inner.end as end
            initial = 0
            def evolve(state, event):
                return state + double(event["data"]["n"]) * rates.RATE + deep.ONE + end.TWO
            """,
        rates="RATE = 10",
        **{
            "shared/__init__": "from . import money",
            "shared/money": "from .inner import FACTOR\ndef double(n): return n * FACTOR",
            "shared/inner/__init__": "FACTOR = 2",
            "shared/inner/end": "from ..money import double\nTWO = double(1)",
            "bare/deep": "ONE = 1",
        },
    )
    assert fold(path, 1) == 23


def test_a_late_import_finds_its_own_project(tmp_path: Path) -> None:
    text = """
        initial = ""
        def evolve(state, event):
            from rates import NAME
            return state + NAME
        """
    one = load(write(tmp_path / "one", bank=text, rates="NAME = 'one '"))
    two = load(write(tmp_path / "two", bank=text, rates="NAME = 'two '"))
    for _ in range(2):
        assert one.fold("", [event()]) == "one "
        assert two.fold("", [event()]) == "two "


def test_a_module_is_imported_once(tmp_path: Path) -> None:
    text = """
        initial = 0
        def evolve(state, event):
            import rates
            rates.calls.append(1)
            return len(rates.calls)
        """
    reducer = load(write(tmp_path, bank="import rates\n" + dedent(text), rates="calls = []"))
    assert reducer.fold(0, [event()]) == 1
    assert reducer.fold(0, [event(), event()]) == 3


def test_the_modules_of_the_program_that_uses_evcli_are_left_as_they_are(tmp_path: Path) -> None:
    path = write(
        tmp_path, bank="from rates import RATE as initial\ndef evolve(state, event): return state", rates="RATE = 3"
    )
    other = type(sys)("rates")
    sys.modules["rates"] = other
    try:
        assert load(path).initial() == 3
        assert sys.modules["rates"] is other
    finally:
        del sys.modules["rates"]


def test_the_standard_library_is_not_replaced_by_a_file_beside(tmp_path: Path) -> None:
    text = """
        import colorsys, evcli
        initial = evcli.__version__
        def evolve(state, event):
            return colorsys.rgb_to_hsv(0, 0, 0)[0]
        """
    assert fold(write(tmp_path, bank=text, colorsys="raise 1", **{"evcli/__init__": "raise 1"}), 1) == 0


def test_installed_packages_below_the_project_are_left_to_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(
        tmp_path,
        bank="import gadget.part\ninitial = gadget.part.ONE\ndef evolve(state, event): return state",
        **{"venv/gadget/__init__": "", "venv/gadget/part": "ONE = 1"},
    )
    monkeypatch.syspath_prepend(str(tmp_path / "venv"))
    (tmp_path / "gadget").mkdir()  # some directory of that name is no package
    reducer = load(path)
    assert reducer.initial() == 1
    assert list(reducer.manifest["files"]) == ["bank.py"]
    for name in ("gadget", "gadget.part"):
        del sys.modules[name]


def test_no_bytecode_is_written_or_believed(tmp_path: Path) -> None:
    path = write(
        tmp_path, bank="import rates\ninitial = rates.RATE\ndef evolve(state, event): return state", rates="RATE = 1"
    )
    sibling = tmp_path / "rates.py"
    stat = sibling.stat()
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(tmp_path)], check=True)
    cached = list((tmp_path / "__pycache__").iterdir())
    assert load(path).initial() == 1
    sibling.write_text("RATE = 2")
    os.utime(sibling, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert load(path).initial() == 2
    for old in cached:
        old.unlink()
    (tmp_path / "__pycache__").rmdir()
    assert load(path).initial() == 2
    assert not (tmp_path / "__pycache__").exists()


def test_a_failing_evolve_names_the_event_and_the_line(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        bank="from rates import rate\ninitial = 0\ndef evolve(state, event):\n    return state + rate(event)",
        rates="def rate(event):\n    return 1 / (event['data']['n'] - 3)",
    )
    with pytest.raises(CodeFailed) as caught:
        fold(path, 1, 2, 3, 4)
    assert "accounts/ann@3" in caught.value.message
    assert f"ZeroDivisionError: division by zero ({tmp_path}/rates.py:2)" in caught.value.message
    assert caught.value.facts == {"stream": "accounts/ann", "version": 3, "position": 3}


def test_forgetting_to_return_the_state_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(CodeFailed) as caught:
        fold(write(tmp_path, bank="initial = {}\ndef evolve(state, event):\n    state['a'] = 1"), 1, 2)
    assert caught.value.hint == "does evolve always return the state?"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = 1\ndef evolve(:\n", r"SyntaxError: .*bank\.py:2\)"),
        ("x = 1\nraise ValueError('two\\nlines')\n", r"ValueError: two lines \(.*bank\.py:2\)"),
        ("import sys\nsys.exit(3)\n", r"SystemExit: 3 \(.*bank\.py:2\)"),
        ("import nothing_of_that_name\n", r"ModuleNotFoundError: .*bank\.py:1\)"),
        ("import broken\n", r"SyntaxError: .*broken\.py:1\)"),
        ("def evolve(state, event): return state\n", r"bank\.py: it does not define initial"),
        ("initial = 0\n", r"bank\.py: it does not define evolve"),
        ("initial = 0\nevolve = 1\n", r"bank\.py: evolve is not a function"),
        (PLAIN + "types = 'added'\n", r"bank\.py: types is not a list"),
    ],
)
def test_a_file_that_cannot_be_loaded_says_where_in_one_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(CodeFailed, match=problem) as caught:
        load(write(tmp_path, bank=text, broken="def ("))
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_an_initial_that_fails_says_where(tmp_path: Path) -> None:
    with pytest.raises(CodeFailed, match=r"initial failed: KeyError: 'a' \(.*bank\.py:1\)"):
        load(write(tmp_path, bank="def initial(): return {}['a']\ndef evolve(state, event): return state")).initial()


def test_what_is_loaded_is_what_was_surveyed(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        bank="initial = 0\ndef evolve(state, event):\n    import rates\n    return rates.RATE",
        rates="RATE = 1",
    )
    reducer = load(path)
    (tmp_path / "rates.py").write_text("RATE = 2")
    assert reducer.fold(0, [event()]) == 1
