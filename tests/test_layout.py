"""The tree is the architecture."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import resformer
from resformer import plugins

PACKAGE = Path(resformer.__file__).parent
ROOT = PACKAGE.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}

# A package imports only from those above it in this list; `cli` and the like are modules of the
# root.
PACKAGES = [
    *("text", "errors", "keys", "plugins"),
    *("numerics", "residuals", "optimizers", "tasks", "model", "probes", "training"),  # the science
    *("plan", "store"),  # the record
    *("workers", "engines", "sweep", "config"),  # the running
    *("stats", "results", "reporting", "rounds", "claims", "console"),  # the reading
    *("complete", "cli", "__main__"),
]


def place(module: str) -> int:
    """Position of a module's package in the list."""
    return PACKAGES.index(module.split(".")[1])


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, also inside functions, but not for type checkers only."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (
                whole if (whole := f"{node.module}.{alias.name}") in MODULES else str(node.module)
                for alias in node.names
            )


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"resformer"}))
def test_imports_between_packages_point_one_way(module: str) -> None:
    names = [name for name in imports(MODULES[module]) if name.startswith("resformer.")]
    assert [name for name in names if place(name) > place(module)] == []


def test_the_root_has_eight_modules_at_most() -> None:
    assert len([module for module, path in MODULES.items() if path.parent == PACKAGE]) <= 8


def test_no_package_hides_what_the_library_gives_out() -> None:
    """`resformer.report` is a function, which a package of that name would replace."""
    assert not {f"resformer.{name}" for name in resformer.__all__} & set(MODULES)


def test_no_two_modules_import_each_other() -> None:
    """Also within a package."""
    below = {module: set(imports(path)) & set(MODULES) for module, path in MODULES.items()}
    while leaves := [module for module, names in below.items() if not names & set(below)]:
        for module in leaves:
            del below[module]
    assert not below


def test_only_config_knows_hydra_and_the_report_needs_no_torch() -> None:
    for module, path in MODULES.items():
        roots = {name.partition(".")[0] for name in imports(path)}
        assert module.startswith("resformer.config") or not roots & {"hydra", "omegaconf"}, module
        if module.split(".")[1:2] and module.split(".")[1] in (
            "store",
            "stats",
            "results",
            "reporting",
            "console",
        ):
            assert "torch" not in roots, module


def test_only_cli_prints() -> None:
    for module, path in MODULES.items():
        calls = [
            node.func
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
        ]
        printing = [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]
        assert not printing or module == "resformer.cli", module


@pytest.mark.parametrize(
    ("package", "group", "tests"),
    [
        ("residuals", "model/residual", "residuals"),
        ("optimizers", "optimizer", "optimizers"),
        ("tasks", "task", "tasks"),
        ("engines", "engine", "engines"),
    ],
)
def test_a_variant_is_one_code_file_one_yaml_and_one_test(
    package: str, group: str, tests: str
) -> None:
    names = plugins.own_names(f"resformer.{package}")
    yamls = {path.stem for path in (ROOT / "configs" / group).glob("*.yaml")}
    assert yamls - {"base"} == names
    tested = {
        path.stem.removeprefix("test_") for path in (ROOT / "tests" / tests).glob("test_*.py")
    }
    assert tested - {"base"} == names


def test_a_measure_is_one_code_file_and_one_test() -> None:
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests/probes").glob("test_*.py")}
    assert tested - {"base"} == plugins.own_names("resformer.probes.measures")


def test_every_command_has_a_row_in_the_readme_of_scripts() -> None:
    page = (ROOT / "scripts" / "README.md").read_text()
    commands = {path.name for path in (ROOT / "scripts").iterdir() if path.suffix == ""}
    assert {
        name for name in commands - {"lib", "install", "__pycache__"} if f"\n| `{name}" not in page
    } == set()


def test_no_module_names_a_variant() -> None:
    """Nothing knows a scheme or task by name but the report's colours and words for the two schemes
    of the question, and the settings that schemes of earlier versions did not have.
    """
    packages = ("residuals", "optimizers", "tasks")
    names = set[str]().union(*(plugins.own_names(f"resformer.{part}") for part in packages))
    names -= {"plain", "add", "state", "bytes", "adamw"}  # "state" and "bytes" are words of other
    # things, too; AdamW is the name of a kernel, and the only optimiser of the studies of earlier
    # versions
    knowing = ("resformer.reporting.figures", "resformer.store.earlier")
    for module, path in MODULES.items():
        if module.startswith((*(f"resformer.{part}." for part in packages), *knowing)):
            continue
        words = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant)
        }
        assert not words & names, module


def test_names_and_docstrings_of_the_package_make_sense_alone() -> None:
    """A participle names no value, and no docstring goes on from the name above it."""
    participles = {"found", "wanted", "told", "said", "asked"}
    beginnings = re.compile(r"(What|Who|Of|Where|How|Whether)\b")
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Name(id=name) | ast.arg(arg=name) | ast.FunctionDef(name=name):
                    assert name not in participles, f"{path}:{node.lineno}"
                case ast.Expr(value=ast.Constant(value=str(docstring))):
                    assert not beginnings.match(docstring), f"{path}:{node.lineno}"


def test_no_test_file_is_imported_by_another() -> None:
    """Shared helpers lie in `tests/support`."""
    tests = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    for path in (ROOT / "tests").rglob("*.py"):
        names = {part for name in imports(path) for part in name.split(".")}
        assert names & tests == set(), path


def test_top_level() -> None:
    expected = {
        "LICENSE",
        "README.md",
        "configs",
        "pyproject.toml",
        "resformer",
        "results",
        "scripts",
        "tests",
    }
    assert {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} - {
        "build",
        "dist",
    } == expected


def test_the_readme_shows_the_packages_in_the_order_of_imports() -> None:
    bands = re.findall(r"^<!-- docs: packages (.*) -->$", (ROOT / "README.md").read_text(), re.M)
    assert " ".join(bands).split() == PACKAGES[:-1]  # all but __main__


def test_the_folders_page_shows_every_module() -> None:
    page = (PACKAGE / "README.md").read_text()
    shown = {
        name
        for line in re.findall(r"^<!-- docs: modules (.*) -->$", page, re.M)
        for name in line.split()
    }
    assert shown == {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
