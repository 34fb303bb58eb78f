"""How a command's module becomes a command of Typer, which reads its arguments and tells of what is wrong with them.

A command's module has a function ``run(context, …)`` whose parameters are declared (`evcli.cli.parameters`), a text
``EXAMPLES`` with one example a line, and nothing else that is public.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Annotated, Any, Final

import typer

from evcli.cli.options import call, shared
from evcli.cli.parameters import Argument, Option
from evcli.errors import Usage

_UsageError: Final[type[Any]] = typer.BadParameter.__bases__[0]


def run_command(words: str, module: str, arguments: Sequence[str]) -> int:
    """Run one command's module with its arguments; return its exit code.

    Raises:
        EvcliError: As the command does; Usage where its arguments are wrong.
    """
    command = build_command(words, module)
    try:
        # Not command.main, which has a way of its own to end when the reader of a pipe has gone.
        with command.make_context(f"evcli {words}", list(arguments)) as context:
            result = command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    except _UsageError as error:
        example = import_module(module).EXAMPLES.splitlines()[0]
        message = error.format_message().rstrip(".").replace("a valid int range", "a whole number")
        raise Usage(
            message[:1].lower() + message[1:], f"for example: {example}; more in 'evcli {words} --help'"
        ) from error
    return result if isinstance(result, int) else 0


@cache
def build_command(words: str, module: str) -> Any:  # noqa: ANN401 (Typer's own class of commands)
    """Make, once, the Typer command of a command's module: its options, the shared ones, and its examples first in its help."""
    loaded = import_module(module)
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(words, help=loaded.run.__doc__, context_settings={"help_option_names": ["--help", "-h"]})(
        _with_shared_options(loaded.run)
    )
    command = typer.main.get_command(app)
    format_help = command.format_help

    def with_examples_first(ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        formatter.write("Examples:\n" + "".join(f"  {line}\n" for line in loaded.EXAMPLES.splitlines()) + "\n")
        format_help(ctx, formatter)

    command.format_help = with_examples_first  # type: ignore[method-assign]  # Typer takes no class of commands of one's own here
    return command


def _with_shared_options(run: Callable[..., int | None]) -> Callable[..., int]:
    """Give a command's function the options that all commands take in place of its ``context``."""

    def command(**given: Any) -> int:  # noqa: ANN401
        return call(run, given)

    own = list(inspect.signature(run, eval_str=True).parameters.values())[1:]
    parameters = [_of_typer(parameter) for parameter in [*own, *inspect.signature(shared).parameters.values()]]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect.signature looks for
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _of_typer(parameter: inspect.Parameter) -> inspect.Parameter:
    """Declare a parameter as Typer has it."""
    [declared] = parameter.annotation.__metadata__
    made: Any
    match declared:
        case Option(name, letter, metavar, low, high, text):
            names = (name, letter) if letter else (name,)
            made = typer.Option(*names, metavar=metavar, min=low, max=high, help=text)
        case Argument(metavar, text):
            made = typer.Argument(metavar=metavar, help=text)
        case _:
            raise TypeError(f"the parameter {parameter.name} is neither an Option nor an Argument")
    return parameter.replace(
        kind=inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[parameter.annotation.__origin__, made]
    )
