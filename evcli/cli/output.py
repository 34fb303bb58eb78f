"""What the commands say: the only module that writes to standard output and standard error.

In a pipe the bytes are exact. Whatever is made for people (tables, pretty states, notes, errors), and
everything that goes to a terminal, is sanitised first; colours are added after that.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from evcli.domain import terminal
from evcli.domain.terminal import Part, sanitise
from evcli.errors import EvcliError, StorageFailed, Usage
from evcli.light_typing import TYPE_CHECKING, Any, Final, Literal, TextIO

if TYPE_CHECKING:
    from evcli.domain.patches import Change
    from evcli.domain.traces import Traced

Format = Literal["table", "json", "jsonl", "csv", "raw"]
Outcome = tuple[Mapping[str, Any] | None, Iterable[Sequence[Part]]]
"""How something came out: a record for programs, and rows for people."""


class Output:
    """One command's output, made once from its options.

    Args:
        requested: The format that was asked for with ``-o``, or None.
        color: The ``--color`` option.
        quiet: Print nothing but errors.
        env: The environment (``NO_COLOR``, ``FORCE_COLOR``, ``CLICOLOR_FORCE``, ``TERM``, ``COLUMNS``).
        stdout: Standard output, or None where the process was started without one.
        stderr: Standard error, or None likewise.

    ``format`` is the one in effect. What prints on standard output lets `BrokenPipeError` through (the
    reader has gone), and raises `StorageFailed` where the output cannot be written.
    """

    def __init__(
        self,
        *,
        requested: Format | None = None,
        color: terminal.Color = "auto",
        quiet: bool = False,
        env: Mapping[str, str],
        stdout: TextIO | None,
        stderr: TextIO | None,
    ) -> None:
        self.requested: Final = requested
        self.on_terminal: Final = stdout is not None and stdout.isatty()
        self.format: Final[Format] = requested or ("table" if self.on_terminal else "jsonl")
        self._quiet: Final = quiet
        self._env: Final = env
        self._stdout: Final = stdout
        self._stderr: Final = stderr
        self._colored: Final = terminal.wants_color(color, env, on_terminal=self.on_terminal)
        self._stderr_colored: Final = terminal.wants_color(
            color, env, on_terminal=stderr is not None and stderr.isatty()
        )
        self._header: tuple[str, ...] = ()
        self._progress: terminal.Progress | None = None

    def events(self, lines: Iterable[bytes], *, live: bool = False, about_first: bool = False) -> None:
        """Print stored events, given as their lines without newline, as they come.

        ``live`` hands each one to the reader at once instead of when a buffer is full; ``about_first`` shows people
        who and why before what.
        """
        from datetime import datetime

        if self.format == "csv":
            from evcli.cli.cells import EVENT_COLUMNS, csv_row, event_cells

            self._print_header(EVENT_COLUMNS)
            for line in lines:
                self._print_line(csv_row(event_cells(line)), live=live)
        elif self.format == "table":
            layout = terminal.EventLayout(local=datetime.astimezone, colored=self._colored, about_first=about_first)
            for line in lines:
                self._write(layout.row(line, width=self._width(self._stdout)).encode() + b"\n", live=live)
        else:
            self.texts(lines, live=live)

    def stored(self, parts: Iterable[bytes]) -> None:
        """Print stored events, given as parts of what is stored: one or many lines, each with its newline."""
        if self.on_terminal or self.format not in ("jsonl", "raw"):
            self.events(line for part in parts for line in part.split(b"\n")[:-1])
        else:
            for part in parts:
                self._write(part)

    def trace(self, roots: "Sequence[Traced]") -> None:
        """Print what led to what: drawn for people; as JSON each root with what is below it, as lines with its depth."""
        from datetime import datetime

        from evcli.domain import drawing, traces

        if self.format == "table":
            width, colored = self._width(self._stdout), self._colored
            for row in drawing.draw_trees(roots, width=width, colored=colored, local=datetime.astimezone):
                self._write(row.encode() + b"\n")
        elif self.format == "json":
            self._print_array(map(traces.nested_text, roots))
        elif self.format == "jsonl":
            self.texts(traces.flat_texts(roots))
        elif self.format == "csv":
            from evcli.cli.cells import EVENT_COLUMNS, csv_row, event_cells

            self._print_header(("depth", *EVENT_COLUMNS))
            for visit in traces.walk(roots):
                self._print_line(csv_row([visit.depth, *event_cells(visit.traced.line)]))
        else:
            self.texts(visit.traced.line for visit in traces.walk(roots))

    def rows(
        self,
        columns: Sequence[str],
        rows: Iterable[Mapping[str, Any]],
        *,
        times: Collection[str] = (),
        empty: str = "nothing to list",
        live: bool = False,
    ) -> None:
        """Print a listing.

        Args:
            columns: The members shown in a table or as CSV, in order; JSON shows each row whole.
            rows: The rows, members to JSON values.
            times: The columns that hold instants, which a table shows in the local zone.
            empty: What to say on a terminal when there are no rows.
            live: Hand each row of JSON or CSV to the reader at once.
        """
        from evcli.storage.codec import dump

        if self.format == "table":
            from evcli.cli.cells import cell_text

            listing = [[cell_text(row.get(name), time=name in times) for name in columns] for row in rows]
            if listing:
                self._print_table(columns, listing)
            elif self.on_terminal:
                self.note(empty)
        elif self.format == "csv":
            from evcli.cli.cells import csv_row

            self._print_header(columns)
            for row in rows:
                self._print_line(csv_row(row.get(name) for name in columns), live=live)
        else:
            self.texts(map(dump, rows), live=live)

    def texts(self, texts: Iterable[bytes], *, live: bool = False) -> None:
        """Print JSON texts as they are, one a line, or as one array; ``live`` hands each to the reader at once."""
        if self.format == "json":
            self._print_array(texts, live=live)
        else:
            for text in texts:
                self._print_line(text, live=live)

    def line(self, text: bytes) -> None:
        """Print one JSON text on a line as it is, at once, also on a terminal: for a file of such lines, or a reader."""
        self._print_line(text, live=True)

    def changes(self, changes: "Iterable[Change]") -> None:
        """Print changes: a tree for people, else the operations of a JSON Patch (RFC 6902), one a line or as one array."""
        from evcli.domain.patches import to_operation
        from evcli.domain.terminal_changes import lay_out_changes

        if self.format == "table":
            for row in lay_out_changes(changes, width=self._width(self._stdout), colored=self._colored):
                self._write(row.encode() + b"\n")
        else:
            self.rows(("op", "path", "value"), map(to_operation, changes))

    def value(self, value: Any) -> None:  # noqa: ANN401 (a JSON value)
        """Print one JSON value: indented for people, else on one line; ``raw`` prints a string bare.

        Raises:
            Usage: If CSV was asked for.
        """
        from evcli.storage.codec import dump

        if self.format == "csv":
            raise Usage("a JSON value cannot be printed as CSV", "use -o json, or -r for a bare string")
        encoded = dump(value)
        if self.format == "table":
            pretty = terminal.pretty_json(encoded.decode(), colored=self._colored)
            self._write(pretty.encode() + b"\n")
        elif self.format == "raw":
            self._print_text(value if isinstance(value, str) else encoded.decode())
        else:
            self._print_line(encoded)

    def record(self, record: Mapping[str, Any], *human: str, field: str | None = None) -> None:
        """Print a receipt at once: the lines ``human`` for people, else the record; with ``field`` that value, bare.

        Raises:
            Usage: If the record has no such field.
        """
        from evcli.storage.codec import dump

        if field is not None:
            check_field(field, record)
            self._print_text(terminal.bare(record[field]), live=True)
        elif self.format == "table":
            self._write("".join(sanitise(line) + "\n" for line in human).encode(), live=True)
        elif self.format == "csv":
            self.rows(list(record), [record], live=True)
        else:
            self._print_line(dump(record), live=True)

    def outcomes(self, columns: Sequence[str], found: Iterable[Outcome]) -> None:
        """Print how things came out, each at once: sanitised rows for people, coloured; else records with these columns.

        An outcome without a record is for people only.
        """
        if self.format == "table":
            for row in (row for _, rows in found for row in rows):
                self._write(terminal.compose(row, width=0, colored=self._colored).encode() + b"\n", live=True)
        else:
            self.rows(columns, (record for record, _ in found if record is not None), live=True)

    def ask(self, prompt: str) -> str:
        """Ask the person at the terminal for a line, which can be edited and recalled as in a shell.

        Raises:
            EOFError: If they say that there is nothing more (Ctrl-D).
        """
        self._clear()
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 (its being there is what does it)
        return input(sanitise(prompt))

    def text(self, text: str) -> None:
        """Print plain text, ended by a newline if it has none."""
        self._print_text(text.removesuffix("\n"))

    def note(self, message: str) -> None:
        """Say something on standard error, unless it is to be quiet."""
        if not self._quiet:
            self._say(sanitise(f"evcli: {message}"))

    def explain(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, name: str = "explain") -> None:
        """Say on standard error how an answer came about: a table, or JSON lines, under ``name``, where JSON was asked for."""
        if self.requested in ("json", "jsonl"):
            for row in rows:
                self._say(sanitise(json.dumps({name: row}, ensure_ascii=False, separators=(",", ":"))))
        elif rows:
            from evcli.cli.cells import cell_text, table_lines

            listing = [[cell_text(row[name], time=False) for name in columns] for row in rows]
            for line in table_lines(columns, listing, width=self._width(self._stderr), colored=self._stderr_colored):
                self._say(line)

    @contextlib.contextmanager
    def progress(self, label: str) -> Iterator[Callable[[int, int], None] | None]:
        """Give what is told how far work has got (done, of how many), and shows it on a terminal; None elsewhere.

        Nothing is shown for work of less than half a second, and it is taken away at the end, or before anything else
        is printed.
        """
        if self._quiet or self._stderr is None or not self._stderr.isatty():
            yield None
            return
        shown, width = terminal.Progress(label, time.monotonic()), self._width(self._stderr)

        def show(done: int, total: int) -> None:
            if line := shown.line(done, total, now=time.monotonic(), width=width):
                if self._progress is not shown:
                    self._clear()
                    self._progress = shown
                self._show(line)

        try:
            yield show
        finally:
            self._clear()

    def error(self, error: EvcliError) -> None:
        """Say on one line of standard error what went wrong: as JSON only where that was asked for."""
        if self.requested in ("json", "jsonl"):
            # What it holds may be anything (a path that is not UTF-8), and this must not fail in its turn.
            text = json.dumps(error_record(error), ensure_ascii=False, separators=(",", ":"), default=str)
            self._say(sanitise(text))
        else:
            name = terminal.paint("evcli:", "red") if self._stderr_colored else "evcli:"
            self._say(f"{name} {sanitise(str(error))}")

    def close(self) -> None:
        """Hand what is still in the buffer to the operating system; call it before deciding the exit code."""
        if self._stdout is not None:
            self._write(b"", live=True)

    def stdout_closed(self) -> bool:
        """Say whether the reader of standard output has gone, without writing to it."""
        import select

        poll = select.poll()
        with contextlib.suppress(OSError):  # what is no file has no number
            if self._stdout is not None:
                poll.register(self._stdout.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))

    def _print_array(self, values: Iterable[bytes], *, live: bool = False) -> None:
        opening = b"["
        for value in values:
            self._write(opening + self._safe(value), live=live)
            opening = b",\n"
        self._write(b"[]\n" if opening == b"[" else b"]\n")

    def _print_header(self, columns: Sequence[str]) -> None:
        """Print a CSV header, unless it is the one above: receipts come one by one."""
        if self._header != (header := tuple(columns)):
            from evcli.cli.cells import csv_row

            self._print_line(csv_row(header))
            self._header = header

    def _print_line(self, line: bytes, *, live: bool = False) -> None:
        self._write(self._safe(line) + b"\n", live=live)

    def _print_text(self, text: str, *, live: bool = False) -> None:
        shown = terminal.sanitise_lines(text) if self.on_terminal else text
        self._write(shown.encode("utf-8", "surrogateescape") + b"\n", live=live)

    def _print_table(self, columns: Sequence[str], listing: Sequence[Sequence[str]]) -> None:
        from evcli.cli.cells import table_lines

        for row in table_lines(columns, listing, width=self._width(self._stdout), colored=self._colored):
            self._write(row.encode() + b"\n")

    def _width(self, stream: TextIO | None) -> int:
        """Return the width of a terminal in cells, or 0 where the stream is none."""
        if stream is None or not stream.isatty():
            return 0
        columns = self._env.get("COLUMNS", "")
        if columns.isdecimal() and int(columns):
            return int(columns)
        with contextlib.suppress(OSError):
            return os.get_terminal_size(stream.fileno()).columns or 80
        return 80

    def _safe(self, line: bytes) -> bytes:
        return sanitise(line.decode("utf-8", "surrogateescape")).encode() if self.on_terminal else line

    def _write(self, data: bytes, *, live: bool = False) -> None:
        if self._quiet:
            return
        if self._stdout is None:
            raise StorageFailed("standard output is closed", "open it, or use -q; what was appended stays")
        self._clear()
        try:
            self._stdout.buffer.write(data)
            if live or self.on_terminal:
                self._stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            # Let what is left in the buffer drain into nothing, or the interpreter fails on it at its end.
            with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stdout.fileno())
            raise StorageFailed(
                f"standard output could not be written: {error.strerror}",
                "what was printed is incomplete, send it elsewhere; what was appended stays",
            ) from error

    def _clear(self) -> None:
        if self._progress is not None:
            self._show(self._progress.erasure())
            self._progress = None

    def _say(self, line: str) -> None:
        self._clear()
        self._show(line + "\n")

    def _show(self, text: str) -> None:
        # There is nobody left to be told when standard error itself has gone.
        with contextlib.suppress(OSError):
            if self._stderr is not None and text:
                self._stderr.write(text)
                self._stderr.flush()


def check_field(field: str, names: Collection[str]) -> None:
    """Do nothing if ``field`` is among the names that ``--print`` knows.

    Raises:
        Usage: If it is not.
    """
    if field not in names:
        raise Usage(f"there is no field {field!r} to print", f"use one of {', '.join(names)}")


def error_record(error: EvcliError) -> dict[str, Any]:
    """Return an error as a JSON object: ``{"error":{"code":…,"exit":…,"message":…,"hint":…, …facts}}``."""
    known = {"code": error.code, "exit": error.exit_code, "message": error.message, "hint": error.hint}
    return {"error": known | error.facts}
