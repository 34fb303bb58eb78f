"""That `evcli.light_typing` makes what `typing` makes, where anybody can tell."""

import copy
import pickle
import typing
from collections.abc import Callable
from typing import Any

import pytest

from evcli import light_typing
from evcli.domain.events import Event
from evcli.storage.lines import Mark

POINT = """
class Point(NamedTuple):
    '''A place.'''

    x: int
    y: "Point | None" = None
    count: int = 7

    @property
    def sum(self):
        return self.x + self.count

    @classmethod
    def at(cls, x):
        return cls(x)
"""


def point_of(module: Any) -> Any:
    made: dict[str, Any] = {"NamedTuple": module.NamedTuple, "__name__": __name__}
    exec(POINT, made)  # noqa: S102 (the text above)
    return made["Point"]


def result(use: Callable[[Any], Any], point: Any) -> Any:
    try:
        return use(point)
    except (TypeError, ValueError, AttributeError) as error:
        return type(error)


@pytest.mark.parametrize(
    "use",
    [
        lambda point: repr(point(1)),
        lambda point: tuple(point(1, y=2)),
        lambda point: tuple(point(x=1, count=3)),
        lambda point: point(),
        lambda point: point(1, 2, 3, 4),
        lambda point: point(1, x=1),
        lambda point: point(1, z=1),
        lambda point: point(1).z,
        lambda point: setattr(point(1), "x", 2),
        lambda point: setattr(point(1), "z", 2),
        lambda point: (point(1).x, point(1).y, point(1).count, point(1).sum, tuple(point.at(2))),
        lambda point: (point._fields, point._field_defaults, point.__match_args__, point.__doc__, point.__name__),
        lambda point: tuple(point(1)._replace(y=2, count=3)),
        lambda point: point(1)._asdict(),
        lambda point: tuple(point._make([1, 2, 3])),
        lambda point: point._make([1]),
        lambda point: (point(1) == (1, None, 7), hash(point(1)) == hash((1, None, 7)), point(1) < point(2)),
        lambda point: type(point(1)._replace(x=2)) is point,
        lambda point: isinstance(point(1), tuple),
        lambda point: tuple(copy.deepcopy(point(1, [2]))),
        lambda point: [*point(1), len(point(1)), point(1)[0:1]],
    ],
)
def test_a_named_tuple_is_what_typing_makes(use: Callable[[Any], Any]) -> None:
    ours = point_of(light_typing)
    assert result(use, ours) == result(use, point_of(typing))
    assert result(use, ours) == result(use, point_of(typing)), "after the first call, too"


def test_a_named_tuple_is_matched_by_its_members() -> None:
    match Mark(3, "ab"):
        case Mark(position, hash):
            assert (position, hash) == (3, "ab")


def test_a_named_tuple_is_pickled_and_copied_as_itself() -> None:
    mark = Mark(3, "ab")
    for again in (pickle.loads(pickle.dumps(mark)), copy.copy(mark), copy.deepcopy(mark)):  # noqa: S301 (made here)
        assert again == mark
        assert type(again) is Mark


def test_a_typed_dict_is_called_for_a_plain_dict() -> None:
    event = Event(position=1, stream="a", version=1, time="", type="b.c", data=None)
    assert type(event) is dict
    assert list(Event.__annotations__)[:3] == ["position", "stream", "version"]


def test_it_offers_nothing_that_typing_does_not() -> None:
    assert set(light_typing.__all__) <= set(typing.__all__)
    assert all(hasattr(light_typing, name) for name in light_typing.__all__)
