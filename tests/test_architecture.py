"""The house's arrows (who may import whom), read from the source, type-only imports included."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "evcli"

# Each layer, and the layers it may import besides `ANYBODYS`; a layer is the first part of a module's name below evcli.
ANYBODYS = {"light_typing"}
MAY_IMPORT = {
    "light_typing": set(),
    "errors": set(),
    "places": {"errors"},
    "domain": {"errors", "domain"},
    "storage": {"errors", "domain", "storage"},
    "replay": {"errors", "domain", "storage"},
    "processes": {"errors"},
    "history": {"errors", "domain", "storage", "replay"},
    "tracing": {"errors", "domain", "storage"},
    "read_side": {"errors", "domain", "storage", "replay", "read_side"},
    "write_side": {"errors", "domain", "storage", "replay", "write_side"},
    "working": set(),
    "given": {"errors", "domain", "storage"},
    "deciding": {"errors", "domain", "storage", "replay", "read_side", "write_side", "project"},
    "specs": {
        "errors",
        "domain",
        "storage",
        "replay",
        "write_side",
        "project",
        "given",
        "deciding",
        "specs",
    },
    "determinism": {
        "errors",
        "domain",
        "storage",
        "replay",
        "project",
        "specs",
        "determinism",
    },
    "testing": {"errors", "domain", "places", "project", "specs"},
    "asking": {"errors", "domain", "storage", "read_side", "given"},
    "project": {"errors", "domain", "places", "storage", "project"},
    "time_travel": {
        "errors",
        "domain",
        "storage",
        "replay",
        "processes",
        "history",
        "read_side",
        "given",
        "time_travel",
    },
    "reading": {
        "errors",
        "domain",
        "storage",
        "places",
        "replay",
        "tracing",
        "read_side",
        "time_travel",
        "project",
        "given",
    },
    "api": {
        "errors",
        "domain",
        "storage",
        "replay",
        "read_side",
        "write_side",
        "project",
        "given",
        "asking",
        "deciding",
        "time_travel",
        "reading",
    },
    "cli": {
        "errors",
        "domain",
        "storage",
        "places",
        "replay",
        "history",
        "read_side",
        "write_side",
        "time_travel",
        "project",
        "given",
        "working",
        "asking",
        "specs",
        "determinism",
        "api",
        "cli",
        "__init__",
    },
    "__init__": {"api", "domain", "errors"},
    "__main__": {"cli"},
}
# Third parties, and the only places that may name them.
ONLY_IN = {
    "orjson": {"storage.canonical_json", "storage.codec"},
    "typer": {"cli"},
    "rich": {"cli.cells", "domain.terminal"},
    "platformdirs": {"places"},
    "_sqlite3": {"storage.view_file"},
    "sqlite3": {"storage.ids", "storage.sql_checks", "storage.sql_reading", "storage.view_file", "storage.view_sql"},
}
PURE = {"os", "io", "sys", "time", "random", "secrets", "subprocess", "socket", "pathlib", "shutil", "tempfile", "uuid"}


def modules() -> list[tuple[str, ast.Module]]:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if name != "__init__":
            name = name.removesuffix(".__init__")
        found.append((name, ast.parse(path.read_text())))
    return found


def imports(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer_of(module: str) -> str:
    parts = module.split(".")
    return (
        parts[1]
        if (len(parts) > 1 and (ROOT / parts[1]).with_suffix(".py").exists())
        or (len(parts) > 1 and (ROOT / parts[1]).is_dir())
        else "__init__"
    )


@pytest.mark.parametrize(("name", "tree"), modules(), ids=[name for name, _ in modules()])
def test_a_module_imports_only_what_stands_to_its_left(name: str, tree: ast.Module) -> None:
    layer = name.split(".", maxsplit=1)[0]
    used = {layer_of(module) for module in imports(tree) if module == "evcli" or module.startswith("evcli.")}
    used.discard("__init__" if layer != "cli" else "")
    assert used - ANYBODYS <= MAY_IMPORT[layer], f"{name} imports {used - ANYBODYS - MAY_IMPORT[layer]}"


@pytest.mark.parametrize(("name", "tree"), modules(), ids=[name for name, _ in modules()])
def test_third_parties_are_named_only_where_they_belong(name: str, tree: ast.Module) -> None:
    for module in imports(tree):
        places = ONLY_IN.get(module.split(".", maxsplit=1)[0])
        assert places is None or name in places or name.split(".", maxsplit=1)[0] in places, f"{name} imports {module}"


@pytest.mark.parametrize(("name", "tree"), [pair for pair in modules() if pair[0].startswith("domain")])
def test_the_domain_is_pure(name: str, tree: ast.Module) -> None:
    assert not {module.split(".", maxsplit=1)[0] for module in imports(tree)} & PURE, name


def test_only_the_output_module_prints() -> None:
    for name, tree in modules():
        calls = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "print" not in calls, name


def test_no_module_is_over_400_lines_and_no_function_over_50() -> None:
    for path in ROOT.rglob("*.py"):
        text = path.read_text()
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno < 50, f"{path}:{node.name}"
