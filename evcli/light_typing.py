"""The names of `typing`, without what its import and its checks cost: a third of a short command's time.

A type checker sees `typing` itself. At run time a special form stands for nothing, a protocol is a plain class, and the
constructor of a `NamedTuple` is compiled at its first call: of the classes that a command loads, it makes objects of few.
"""

TYPE_CHECKING = False
"""What a type checker takes for true, as it does that of `typing`."""

if TYPE_CHECKING:
    from typing import (
        Annotated,
        Any,
        BinaryIO,
        ClassVar,
        Final,
        Generic,
        Literal,
        NamedTuple,
        NoReturn,
        NotRequired,
        Protocol,
        Self,
        TextIO,
        TypedDict,
        TypeVar,
        overload,
    )
else:
    from collections import _tuplegetter  # of named tuples, the fastest way to a member

    class _Form:
        """A special form: whatever an annotation makes of it is itself again."""

        def __call__(self, *_args, **_named):
            return self

        def __getitem__(self, _):
            return self

        def __or__(self, _):
            return self

        __ror__ = __or__

    Any = BinaryIO = ClassVar = Final = Literal = NoReturn = NotRequired = Self = TextIO = TypeVar = _Form()

    def overload(function):
        """Return the function: which of several is meant, only a type checker asks."""
        return function

    class Annotated:
        """A type, and what is said of it."""

        def __class_getitem__(cls, parts):
            made = cls()
            made.__origin__, *said = parts
            made.__metadata__ = tuple(said)
            return made

    class Protocol:
        """A plain class: who satisfies it, only a type checker asks."""

    class Generic:
        """A class that may be subscripted."""

        def __class_getitem__(cls, _):
            return cls

    class _Dict(type):
        def __call__(cls, *args, **named):
            return dict(*args, **named)

    class TypedDict(metaclass=_Dict):
        """A class that makes plain dicts."""

    class _Tuple(type):
        def __new__(cls, name, bases, namespace):
            made = super().__new__(cls, name, bases, namespace | {"__slots__": ()})
            fields = tuple(made.__annotations__)
            if fields:
                made._fields = made.__match_args__ = fields
                made._field_defaults = {field: namespace[field] for field in fields if field in namespace}
                for place, field in enumerate(fields):
                    setattr(made, field, _tuplegetter(place, None))
            return made

    class NamedTuple(tuple, metaclass=_Tuple):
        """A tuple with names for its places, and the methods of `collections.namedtuple`."""

        __slots__ = ()
        _fields = ()

        def __new__(cls, /, *args, **named):
            """Compile the constructor that the class has from now on, and call it."""
            names = "".join(f"{field}, " for field in cls._fields)
            new = eval(f"lambda _cls, {names}: _new(_cls, ({names}))", {"_new": tuple.__new__})  # noqa: S307 (our own names)
            new.__defaults__ = tuple(cls._field_defaults.values())
            new.__qualname__ = f"{cls.__qualname__}.__new__"
            cls.__new__ = staticmethod(new)
            return new(cls, *args, **named)

        def __repr__(self):
            members = ", ".join(f"{field}={value!r}" for field, value in zip(self._fields, self, strict=True))
            return f"{type(self).__name__}({members})"

        def __getnewargs__(self):
            return tuple(self)

        @classmethod
        def _make(cls, values):
            made = tuple.__new__(cls, values)
            if len(made) != len(cls._fields):
                raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
            return made

        def _replace(self, /, **named):
            made = self._make(map(named.pop, self._fields, self))
            if named:
                raise ValueError(f"Got unexpected field names: {list(named)!r}")
            return made

        __replace__ = _replace

        def _asdict(self):
            return dict(zip(self._fields, self))  # noqa: B905 (to ask whether they are as many takes a third longer)


__all__ = [
    "TYPE_CHECKING",
    "Annotated",
    "Any",
    "BinaryIO",
    "ClassVar",
    "Final",
    "Generic",
    "Literal",
    "NamedTuple",
    "NoReturn",
    "NotRequired",
    "Protocol",
    "Self",
    "TextIO",
    "TypeVar",
    "TypedDict",
    "overload",
]
