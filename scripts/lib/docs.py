"""Fill the marked blocks of README.md and of the folders' README.md from what they show.

A block lies between two comments that begin their lines. Whatever is between them is generated;
an edit by hand is lost, and `--check` finds it:

    <!-- docs: DIRECTIVE -->
    <!-- /docs -->

    file PATH                   a file, in a fence
    file PATH until "TEXT"      its lines before the first that begins with TEXT
    file PATH from "TEXT"       that line and those behind it
    table PATH 1 2 6            these columns of the table in a Markdown file
    help [COMMAND]              `resformer COMMAND --help`
    fields NAME                 the fields that the docstring of a function lists, as a table
    variants FOLDER             the YAML files of a folder with their first comment, as a table
    studies                     likewise those of configs/study, and the time that two cores took
    packages NAME...            packages or modules of resformer, each with its docstring's summary
    modules NAME...             likewise, each with a line for every module in it

Paths are relative to the root of the repository.
"""

import ast
import csv
import inspect
import itertools
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from typer.testing import CliRunner

from resformer.cli import app
from resformer.config import study_file
from resformer.text import clock

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "*/README.md", "*/*/README.md")
OPENING = re.compile(r"<!-- docs: (.*) -->")
CLOSING = "<!-- /docs -->"
TERMINAL = {"COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1", "TERM": "dumb"}

Lines = list[str]


class DocsError(Exception):
    """A page asks for something that cannot be generated."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """The repository whose files are shown, and the folder of the page that shows them."""

    root: Path
    folder: Path

    def path(self, name: str) -> Path:
        """A file or folder by its path from the root; DocsError if there is none."""
        path = self.root / name
        if not path.exists():
            raise DocsError(f"{name}: no such file or folder")
        return path

    def lines(self, name: str) -> Lines:
        """The lines of a text file."""
        path = self.path(name)
        if not path.is_file():
            raise DocsError(f"{name}: is not a file")
        return path.read_text(encoding="utf-8").splitlines()

    def link(self, path: Path, text: str) -> str:
        """A Markdown link from the page to a file or folder."""
        return f"[{text}]({Path(os.path.relpath(path, self.folder)).as_posix()})"


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of a page: its directive, and the lines between the two comments."""

    directive: str
    marker: int
    """Index of the line of the opening comment, from 0."""
    body: Lines

    def difference(self, new: Lines) -> int | None:
        """Index in the page of the first line that is not as generated; None if all are."""
        pairs = enumerate(zip_longest(self.body, new), self.marker + 1)
        return next((index for index, (old, line) in pairs if old != line), None)


def main(words: Lines, root: Path = ROOT) -> int:
    """Fill every page, or check it; the exit code: 1 if a page is stale, 2 if one cannot be
    filled.
    """
    if words not in ([], ["--check"]):
        print("usage: scripts/docs [--check]", file=sys.stderr)
        return 2
    try:
        pages = {path: fill(path, root) for pattern in PAGES for path in sorted(root.glob(pattern))}
    except DocsError as error:
        print(f"scripts/docs: {error}", file=sys.stderr)
        return 2
    for page, (text, stale) in pages.items():
        if stale and not words:
            page.write_text(text, encoding="utf-8")
        for line in stale:
            print(line)
    return 1 if words and any(stale for _, stale in pages.values()) else 0


def fill(page: Path, root: Path) -> tuple[str, Lines]:
    """A page with its blocks filled, and a line about each block that was stale."""
    name = page.relative_to(root).as_posix()
    lines = page.read_text(encoding="utf-8").splitlines()
    source = Source(root=root, folder=page.parent)
    filled, stale, end = Lines(), Lines(), 0
    for block in blocks(lines, name):
        try:
            new = generate(block.directive, source)
        except DocsError as error:
            raise DocsError(f"{name}:{block.marker + 1}: {error}") from error
        if (line := block.difference(new)) is not None:
            stale.append(
                f"{name}:{block.marker + 1}: {block.directive}: differs from line {line + 1}"
            )
        filled += [*lines[end : block.marker + 1], *new]
        end = block.marker + 1 + len(block.body)
    return "\n".join([*filled, *lines[end:]]) + "\n", stale


def blocks(lines: Lines, name: str) -> Iterator[Block]:
    """The blocks of a page, in their order; DocsError if one is not closed or not opened."""
    marker, directive = None, ""
    for index, line in enumerate(lines):
        place = f"{name}:{index + 1}"
        if opening := OPENING.fullmatch(line):
            if marker is not None:
                break
            marker, directive = index, opening[1]
        elif line == CLOSING:
            if marker is None:
                raise DocsError(f"{place}: closes a block that was not opened")
            yield Block(directive=directive, marker=marker, body=lines[marker + 1 : index])
            marker = None
        elif re.match(r"<!--\s*/?docs\b", line):
            raise DocsError(f"{place}: markers are <!-- docs: DIRECTIVE --> and {CLOSING}")
    if marker is not None:
        raise DocsError(f"{name}:{marker + 1}: the block is not closed by {CLOSING}")


def generate(directive: str, source: Source) -> Lines:
    """The lines that a directive stands for."""
    try:
        verb, *words = shlex.split(directive)
    except ValueError as error:
        raise DocsError(f"{directive}: {error}") from error
    if verb not in DIRECTIVES:
        raise DocsError(f"unknown directive {verb}; there are {', '.join(DIRECTIVES)}")
    try:
        inspect.signature(DIRECTIVES[verb]).bind(source, *words)
    except TypeError as error:
        raise DocsError(f"{directive}: {error}") from error
    return DIRECTIVES[verb](source, *words)


def file(source: Source, name: str, part: str = "", text: str = "") -> Lines:
    """A file, or a part of it, in a fence."""
    lines = source.lines(name)
    if part:
        if part not in ("until", "from") or not text:
            raise DocsError('file takes PATH, and until "TEXT" or from "TEXT"')
        places = (index for index, line in enumerate(lines) if line.startswith(text))
        if (place := next(places, None)) is None:
            raise DocsError(f"{name}: no line begins with {text!r}")
        lines = lines[:place] if part == "until" else lines[place:]
    return fenced(lines, "yaml" if name.endswith(".yaml") else "")


def fenced(lines: Lines, language: str = "") -> Lines:
    """Lines as a Markdown code block, without empty ones at its end."""
    return [f"```{language}", *"\n".join(lines).rstrip("\n").split("\n"), "```"]


def table(source: Source, name: str, *columns: str) -> Lines:
    """Some columns of the table in a Markdown file, by number from 1."""
    if not columns or not all(column.isdecimal() and int(column) for column in columns):
        raise DocsError(f"table {name} {' '.join(columns)}: name columns by their numbers from 1")
    rows = [line.strip("|").split("|") for line in source.lines(name) if line[:1] == "|"]
    try:
        header, _, *body = [[row[int(column) - 1].strip() for column in columns] for row in rows]
    except (ValueError, IndexError) as error:
        raise DocsError(f"{name}: has no table with columns {' '.join(columns)}") from error
    return markdown(header, body)


def markdown(header: Lines, rows: list[Lines]) -> Lines:
    """A Markdown table."""
    return [
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def help_text(_: Source, *words: str) -> Lines:
    """`resformer COMMAND --help` in a terminal of 80 columns."""
    shown = CliRunner().invoke(app, [*words, "--help"], env=TERMINAL, prog_name="resformer")
    if shown.exit_code != 0:
        raise DocsError(f"resformer {' '.join(words)} --help: {shown.stderr.splitlines()[-1]}")
    return fenced([line.rstrip() for line in shown.stdout.splitlines()])


def fields(source: Source, name: str) -> Lines:
    """The fields that a function's docstring lists, as a table."""
    return markdown(["name", "meaning"], described(source, name))


def described(source: Source, function: str) -> list[Lines]:
    """Names and meanings that a function's docstring lists: in indented lines names, two spaces and
    a meaning, which goes on in lines that are indented deeper.
    """
    module, _, name = function.rpartition(".")
    tree = ast.parse("\n".join(source.lines(f"{module.replace('.', '/')}/__init__.py")))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if name not in functions:
        raise DocsError(f"{module} has no function {name}")
    rows = list[Lines]()
    for line in (ast.get_docstring(functions[name]) or "").splitlines():
        if row := re.fullmatch(r" {4}(\S.*?)(?: {2,}(\S.*))?", line):
            rows.append([re.sub(r"[\w.*]+", r"`\g<0>`", row[1]), row[2] or ""])
        elif line.startswith(" " * 5) and rows:
            rows[-1][1] = f"{rows[-1][1]} {line.strip()}".strip()
    if not rows:
        raise DocsError(f"the docstring of {function} lists no fields")
    return rows


def variants(source: Source, name: str) -> Lines:
    """The YAML files of a folder, each with its first comment."""
    paths = [path for path in sorted(source.path(name).glob("*.yaml")) if path.stem != "base"]
    if not paths:
        raise DocsError(f"{name}: holds no YAML file")
    rows = [[source.link(path, f"`{path.stem}`"), comment(path)] for path in paths]
    return markdown(["name", "description"], rows)


def studies(source: Source) -> Lines:
    """The saved studies: their first comments, and how long each takes two cores, by the facts of
    its reference results, to which the time is a link; those of an earlier grid do not count.
    """
    rows = []
    for path in sorted(source.path("configs/study").glob("*.yaml")):
        folder = source.root / "results" / "reference" / path.stem
        took = "not run"
        if (folder / "facts.json").exists():
            took = _time(folder / "facts.json") if _of_this_grid(path, folder) else "not run anew"
            took = source.link(folder, took)
        rows.append([source.link(path, f"`{path.stem}`"), comment(path), took])
    return markdown(["name", "description", "two cores"], rows)


def _of_this_grid(study: Path, folder: Path) -> bool:
    """True if reference results are of the tasks and depths that a study has today; those without
    members, of probes, always are.
    """
    if not (folder / "members.csv").exists():
        return True
    with (folder / "members.csv").open(encoding="utf-8", newline="") as file:
        members = [*csv.DictReader(file)]
    varying = [name for name in ("task", "depth") if name in members[0]]
    ran = {tuple(member[name] for name in varying) for member in members}
    asked = set[tuple[str, ...]]()
    for grid in study_file.grids(study):
        values = {key: text.split(",") for key, _, text in (each.partition("=") for each in grid)}
        axes = {"task": values["task"], "depth": values["model.depth"]}
        asked |= {*itertools.product(*(axes[name] for name in varying))}
    return ran == asked


def _time(facts: Path) -> str:
    """Time that a study took: half of the seconds of a core, or those of a probe."""
    known = json.loads(facts.read_text(encoding="utf-8"))
    return clock(known["core_seconds"] / 2 if "core_seconds" in known else known["seconds"])


def comment(path: Path) -> str:
    """The first comment of a YAML file that is meant for a reader."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and not line.startswith("# @"):
            return line.removeprefix("# ")
    raise DocsError(f"{path.name}: has no comment")


def packages(source: Source, *names: str) -> Lines:
    """Packages or modules of resformer with the summaries of their docstrings."""
    if not names:
        raise DocsError("packages: name one at least")
    return [item(source, name) for name in names]


def item(source: Source, name: str) -> str:
    """A package or a module of resformer as an item of a list."""
    folder = source.root / "resformer" / name
    if folder.is_dir():
        return f"* {source.link(folder, f'`{name}/`')} {summary(folder / '__init__.py')}"
    module = source.path(f"resformer/{name}.py")
    return f"* {source.link(module, f'`{name}.py`')} {summary(module)}"


def modules(source: Source, *names: str) -> Lines:
    """Packages of resformer, and under each its modules, with the summaries of their docstrings."""
    if not names:
        raise DocsError("modules: name one at least")
    lines = Lines()
    for name in names:
        folder = source.path(f"resformer/{name}")
        paths = sorted(path for path in folder.rglob("*.py") if path != folder / "__init__.py")
        lines += [
            "",
            f"**{source.link(folder, f'{name}/')}** {summary(folder / '__init__.py')}",
            "",
        ]
        for path in paths:
            inner = path.relative_to(folder).as_posix().removesuffix("__init__.py")
            lines.append(f"* {source.link(folder / inner, f'`{inner}`')} {summary(path)}")
    return [*lines, ""]


def summary(path: Path) -> str:
    """The first sentence of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not docstring:
        raise DocsError(f"{path.parent.name}/{path.name}: has no docstring")
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return re.split(r"(?<=[.?!]) ", paragraph)[0]


DIRECTIVES: dict[str, Callable[..., Lines]] = {
    "file": file,
    "table": table,
    "help": help_text,
    "fields": fields,
    "variants": variants,
    "studies": studies,
    "packages": packages,
    "modules": modules,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
