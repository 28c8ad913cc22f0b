"""The tree is the architecture."""

import ast
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

# From the bottom up; what stands in one row does not import each other, but within a package a variant its base.
LAYERS = [
    ["errors", "choices", "trees", "streams", "stats", "plugins", "events", "stopping"],
    ["weights", "complete", "kernels"],
    ["arithmetic.base", "arithmetic.eager"],
    ["arithmetic"],
    ["residuals", "tasks"],
    ["model", "optim", "process", "replay"],
    ["shape"],
    ["record", "stacking", "probes"],
    ["population"],
    ["observe"],
    ["train"],
    ["jobs", "versions"],
    ["probe"],
    ["store"],
    ["engines.base"],
    ["telling", "work"],
    ["pilot"],
    ["engines"],
    ["config.typed"],
    ["config.overrides", "config.study_file", "config.tree", "config.sections"],
    ["config.resolve"],
    ["config", "estimate"],
    ["launch"],
    ["reporting"],
    ["reporting.figures"],
    ["reporting.svg", "reporting.page"],
    ["data"],
    ["scalars"],
    ["export"],
    ["cli"],
    ["__main__"],
]


def layer(module: str) -> int:
    """The row of a module; the longest name that fits counts."""
    name = module.removeprefix("resformer").removeprefix(".")
    found = [
        (len(part), row) for row, parts in enumerate(LAYERS) for part in parts if f"{name}.".startswith(f"{part}.")
    ]
    assert found, f"{module} stands in no layer"
    return max(found)[1]


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, also inside functions, but not for type checkers only."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
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
def test_imports_point_down_only(module: str) -> None:
    package = module.rpartition(".")[0]
    for name in imports(MODULES[module]):
        if name.startswith("resformer."):
            beside = package != "resformer" and name.startswith(f"{package}.") and layer(name) == layer(module)
            assert beside or layer(name) < layer(module), f"{module} imports {name}"


def test_only_config_knows_hydra_and_the_report_needs_no_torch() -> None:
    for module, path in MODULES.items():
        roots = {name.partition(".")[0] for name in imports(path)}
        assert module.startswith("resformer.config") or not roots & {"hydra", "omegaconf"}, module
        if module.startswith(("resformer.reporting", "resformer.store", "resformer.stats", "resformer.workers.events")):
            assert "torch" not in roots, module


def test_only_cli_and_report_print() -> None:
    for module, path in MODULES.items():
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        printing = [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]
        assert not printing or module == "resformer.cli" or module.startswith("resformer.reporting"), module


@pytest.mark.parametrize(
    ("package", "group", "tests"),
    [("residuals", "model/residual", "residuals"), ("tasks", "task", "tasks"), ("engines", "engine", None)],
)
def test_a_variant_is_one_code_file_one_yaml_and_one_test(package: str, group: str, tests: str | None) -> None:
    names = set(plugins.names(f"resformer.{package}"))
    assert {path.stem for path in (ROOT / "configs" / group).glob("*.yaml")} == names
    if tests is not None:
        found = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / tests).glob("test_*.py")}
        assert found - {"base"} == names


def test_no_module_names_a_variant() -> None:
    """Nothing but the report's colours and words for the two schemes of the question knows a scheme or task by name."""
    names = {*plugins.names("resformer.residuals"), *plugins.names("resformer.tasks")}
    names -= {"plain", "add", "state"}  # the last one is a word of other things, too
    for module, path in MODULES.items():
        if module.startswith(("resformer.residuals.", "resformer.tasks.", "resformer.report.figures")):
            continue
        words = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not words & names, module


def test_top_level() -> None:
    expected = {"LICENSE", "README.md", "configs", "pyproject.toml", "resformer", "results", "scripts", "tests"}
    assert {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} - {"build", "dist"} == expected


def test_the_readme_has_a_line_for_every_file() -> None:
    readme = (ROOT / "README.md").read_text()
    files = [path for path in MODULES.values() if path.name not in ("__init__.py", "__main__.py")]
    files = [path for path in files if path.parent.name not in ("residuals", "tasks") or path.stem == "base"]
    scripts = [path for path in (ROOT / "scripts").iterdir() if path.is_file()]
    assert [path.name for path in [*files, *scripts] if path.name not in readme] == []
