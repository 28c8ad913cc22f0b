"""Requests that nobody means well:
each is refused in one line, at once, and leaves nothing behind.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from lib.faults.outcome import Outcome
from resformer import config
from resformer.cli import app
from resformer.errors import UserError
from resformer.plugins import GROUPS
from resformer.text import printable

FAULT = "hostile requests"
FUZZED = 20_000
SECONDS, LONGEST_LINE = 1.0, 1000
"""What a refusal takes at most, once the command has started; and how long its line is, in
characters.
"""

SETTINGS = config.keys()

REFUSED_BY_ALL = (
    *(
        "nan",
        "inf",
        "-inf",
        "1e400",
        "-1",
        "-0.5",
        "1" + "0" * 40,
        "9" * 4400,
        "-" + "9" * 10_000,
        "???",
        "''",
        "[]",
    ),
    *(
        "{}",
        "[1,2]",
        "{a:1}",
        "x" * 100_000,
        "\x1b[31mred\x1b[0m",
        "[bold red]x[/]",
        "a\0b",
        "\ud800",
        "\u202ex",
        "a\nb",
    ),
    *(
        "${oc.env:HOME}",
        "${oc.decode:1}",
        "${hydra:run.dir}",
        "${now:%Y}",
        "$HOME",
        "~",
        "~/x",
        "../../etc/passwd",
    ),
    *(
        "/etc/passwd",
        "glob(*)",
        "interval(0,1)",
        "range(0,1e12)",
        "range(0,10,0)",
        "range(3,0)",
        "range(0,inf)",
    ),
    *(
        "range(nan,1)",
        "range(0,1,1e-20)",
        "shuffle(range(0,1e12))",
        "sort(range(0,1e12))",
        "choice()",
        "tag(a,x)",
    ),
    *(
        "choice(" * 10 + "1" + ")" * 10,
        "int(" * 900 + "1" + ")" * 900,
        "sort(" * 800 + "1" + ")" * 800,
        "(" * 4000,
    ),
    *(
        "[" * 2400 + "]" * 2400,
        "{a:" * 1600,
        "'" * 999,
        "choice(" + "nan," * 1000 + "nan)",
        "extend_list(1)",
        "０",
        "1:2",
    ),
)
"""Values that no setting takes."""

OVERRIDES: Sequence[Sequence[str]] = [
    *(
        [f"{sign}{key}"]
        for sign in ("+", "++", "~", "-", "--", "@")
        for key in ("model.depth=1", "foo=1", "task", "engine")
    ),
    *([f"{key}@pkg=1"] for key in ("model.depth", "task", "engine", "model/residual", "foo")),
    *(
        [f"{key}=x"]
        for key in (
            "_target_",
            "model._target_",
            "task._target_",
            "_recursive_",
            "__class__",
            "defaults",
        )
    ),
    *(
        [f"{key}=x"]
        for key in (
            "hydra.run.dir",
            "hydra.job.name",
            "hydra",
            "hydra/launcher",
            "hydra.sweeper",
            "..",
            ".",
        )
    ),
    *(
        [f"{key}=1"]
        for key in (
            "model",
            "train",
            "member",
            "study",
            "results",
            "model.",
            ".depth",
            "model..depth",
            "",
        )
    ),
    *(
        [f"{key}=1"]
        for key in (
            "task.name",
            "engine.name",
            "model.residual.name",
            "member.seed.x",
            "x" * 4000,
            "a." * 2000,
        )
    ),
    *(
        [f"{key}=1"]
        for key in (
            "../x",
            "/etc/passwd",
            "model/../task",
            "model\x1b[31m",
            "[red]",
            "mödel.depth",
            "$HOME",
        )
    ),
    *(
        [text]
        for text in (
            "",
            "=",
            "==",
            "=1",
            "model.depth",
            "model.depth==1",
            "model.depth 1",
            "#",
            "\0",
            "\ud800",
            "'",
        )
    ),
    *(
        [text]
        for text in (
            "-h",
            "--help",
            "--results=/tmp/x",
            "--study=x",
            "--dry-run",
            "\x1b]0;title\x07",
            "\r\n",
            "*",
        )
    ),
    *(
        [f"{group}={name}"]
        for group in ("task", "engine", "model/residual")
        for name in ("../copy", "base", "COPY", "a/b")
    ),
    *(
        [f"{key}=null"]
        for key in ("model.depth", "train.steps", "task", "device", "train.compile", "member.lr")
    ),
    *(
        [f"{key}=true"]
        for key in (
            "model.depth",
            "train.steps",
            "train.clip",
            "member.seed",
            "engine.workers",
            "task",
        )
    ),
    *(
        [f"{key}=0"]
        for key in (
            "model.depth",
            "model.width",
            "train.steps",
            "train.clip",
            "train.eps",
            "task.length",
        )
    ),
    *(
        [f"{key}=1.5"]
        for key in (
            "model.depth",
            "model.heads",
            "member.seed",
            "engine.stack",
            "train.target_accuracy",
        )
    ),
    *(
        [f"{key}=1e31"]
        for key in (
            "train.clip",
            "train.eps",
            "member.lr",
            "train.weight_decay",
            "engine.lease_seconds",
        )
    ),
    *([f"model.residual={value}"] for value in ("add", "1", "null", "maybe", "true,1")),
    *(
        [f"model.residual.{key}=11", f"model/residual={name}"]
        for key, name in [("initial", "rezero"), ("initial_beyond", "layerscale")]
    ),
    ["model.depth=1", "model.depth=1"],
    ["model.depth=1,2", "model.depth=3"],
    ["model.residual=true", "model/residual=add"],
    ["model.depth=1", "+model.depth=2"],
    ["device=cpu", "device=cpu,cpu"],
    [f"{key}=range(1,2000)" for key in ("model.width", "train.steps", "train.batch")],
    [f"{key}=range(1,60000)" for key in ("member.seed", "train.steps")],
    [f"{key}=choice(1,2,3,4,5,6,7,8,9,10)" for key in SETTINGS if "." in key],
    [f"train.x{number}=1" for number in range(200)],
    [f"model.depth={number}" for number in range(1000)],
    ["engine.retries=1,2"],
    ["engine=local,ray"],
    ["engine.workers=1,2", "engine.stack=1,2"],
]
"""Requests by their overrides."""

NAMES = (
    *(
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc",
        "/",
        "a\\b",
        "-x",
        "_x",
        ".x",
        "~",
        "$HOME",
        "${HOME}",
        "a b",
        "a\nb",
        "a\tb",
    ),
    *(
        "\0",
        "\x1b[31m",
        "\x7f",
        "[red]x",
        "é",
        "漢",
        "\ud800",
        "\u202e",
        "x" * 101,
        "x" * 100_000,
        "x\n",
        "*",
        "%s",
        "a=b",
    ),
)
"""Names that no study can have."""

ENGINES = (
    "",
    "ray,local",
    "../local",
    "x" * 10_000,
    "\x1b[31m",
    "local model.depth=2",
    "${oc.env:HOME}",
    "null",
    "1",
)
WORKERS = ("0", "-1", "4097", "9" * 24)

YAMLS = (
    *(
        b"",
        b"\n",
        b"#",
        b"---",
        b"---\n---\n",
        b"- a=1\n---\n- b=1\n",
        b"model.depth=1",
        b"model.depth: 1",
        b"{}",
        b"7",
    ),
    *(
        b"- a: [",
        b"- model.depth=1\n- [model.depth=2]",
        b"- [[model.depth=1]]",
        b"- {model.depth: 1}",
        b"- [1, 2]",
        b"- null",
    ),
    *(
        b"- 2001-99-99",
        b"- 0x",
        b"- " + b"9" * 10_000,
        b"- ~model.depth",
        b"- +model.depth=1",
        b"- \xff",
        b"\xff\xfe\x00",
    ),
    *(
        b"- 'a\0b'",
        b'- "\\0"',
        b'- "\\ud800=1"',
        b'- "\\e[31m"',
        b"- \x1b[31m",
        b"- \x7f\x80",
        b"\t- a=1",
        b"%YAML 9.9\n--- []",
    ),
    *(
        b"- &a model.depth=1\n- *a",
        b"- &a x",
        b"- *a",
        b"&a [*a]",
        b"- &a [x, x]\n- &b [*a, *a]\n- [*b, *b]",
        b"<<: [1]",
    ),
    b"\n".join(
        [b"- &a0 [x, x]", *(b"- &a%d [*a%d, *a%d]" % (n, n - 1, n - 1) for n in range(1, 60))]
    ),
    *(
        b"- !!python/object/apply:os.getcwd []",
        b"- !!str model.depth=1",
        b"- !x y",
        b"!!set {a}",
        b"!!binary aGk=",
        b"- !!float 1",
    ),
    *(
        b"[" * 5000,
        b"[" * 5000 + b"]" * 5000,
        b"- " * 5000,
        b"{" * 5000,
        b"a: " * 3000,
        b"- - - a=1",
        b"? a\n? b\n",
    ),
    *(
        b"- model.depth=1\n- model.depth=1",
        b"a: 1\na: 1",
        b"- model.depth=1" + b",1" * 16_000,
        b"- model.depth=" + b"[" * 30_000,
    ),
    *(
        b"- " + b"x" * 2**21,
        b"#" * 2**21,
        b"- a=1\n" * 300_000,
        b"- a=1\n" * 5000,
        b"- [model.depth=0]\n" * 1500,
        b"[]\n" * 9,
    ),
    *(
        b"- member.seed=range(0,99999)\n- train.steps=range(1,99999)",
        b"- [member.seed=range(0,99999), member.lr=range(0,99)]",
    ),
)
"""Study files by their content."""


@final
@dataclass(frozen=True)
class Answer:
    """What a command did."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    """Of this process' own time: others that run beside it do not count."""
    raised: BaseException | None

    def fault(self) -> str | None:
        """Why this is not how a request is refused; None if it is."""
        if self.raised is not None and not isinstance(self.raised, SystemExit):
            return f"raised {type(self.raised).__name__}"
        if self.code != 2 or self.stdout:
            return f"exit code {self.code}, {len(self.stdout)} characters on stdout"
        if (
            self.stderr.count("\n") != 1
            or not self.stderr.endswith("\n")
            or not self.stderr[:-1].isprintable()
        ):
            return f"is not one printable line: {self.stderr[:200]!r}"
        if len(self.stderr) > LONGEST_LINE or not self.stderr.startswith("resformer: "):
            return f"{len(self.stderr)} characters: {self.stderr[:200]!r}"
        return f"took {self.seconds:.1f} s" if self.seconds > SECONDS else None


def ask(words: Sequence[str]) -> Answer:
    """Run a command in this process."""
    began = time.process_time()
    found = CliRunner().invoke(app, list(words))
    return Answer(
        found.exit_code, found.stdout, found.stderr, time.process_time() - began, found.exception
    )


def requests() -> Iterator[tuple[str, ...]]:
    """Every fixed request, as the words of a command."""
    commands = ("show", "sweep", "train")
    for number, overrides in enumerate(OVERRIDES):
        yield commands[number % 3], "--", *overrides
    for number, value in enumerate(REFUSED_BY_ALL):
        for turn in range(6):
            yield (
                commands[turn % 3],
                "--",
                f"{SETTINGS[(6 * number + turn) % len(SETTINGS)]}={value}",
            )
    for name in NAMES:
        yield "sweep", f"--study={name}", "model.depth=1"
    yield from (("sweep", f"--engine={name}", "model.depth=1") for name in ENGINES)
    yield from (("sweep", f"--workers={count}", "model.depth=1") for count in WORKERS)


def study_files(folder: Path) -> Iterator[str]:
    """Put hostile study files into `folder`/configs/study, one after another; yields the name of
    each.
    """
    place = folder / "configs" / "study"
    place.mkdir(parents=True, exist_ok=True)
    path = place / "mine.yaml"
    for content in YAMLS:
        path.write_bytes(content)
        yield path.stem
        path.unlink()
    makers: Sequence[Callable[[], None]] = (
        lambda: os.mkfifo(path),
        path.mkdir,
        lambda: path.symlink_to("/dev/zero"),
        lambda: path.symlink_to("nowhere"),
        lambda: path.symlink_to(path.name),
    )
    for make in makers:
        make()
        yield path.stem
        path.rmdir() if path.is_dir() else path.unlink()


def there(folder: Path) -> set[Path]:
    """Everything in a folder."""
    return set(folder.rglob("*"))


# Fuzzed

_fragments = st.sampled_from([text[:3000] for text in REFUSED_BY_ALL])
_plain = st.sampled_from(
    ["0", "1", "2", "8", "1.5", "1e-3", "true", "false", "null", "own", "pre", "copy", "add", "cpu"]
)
_numbers = st.integers().map(str) | st.floats().map(str)
_atoms = _plain | _fragments | _numbers | st.text(max_size=8)
_calls = st.builds(
    lambda name, words: f"{name}({','.join(words)})",
    st.sampled_from(
        [
            "choice",
            "range",
            "interval",
            "sort",
            "shuffle",
            "tag",
            "int",
            "float",
            "str",
            "bool",
            "json_str",
        ]
    ),
    st.lists(_plain | st.sampled_from(["nan", "-1", "a=b", "reverse=true", "start=1"]), max_size=4),
)
_values = _atoms | _calls | st.lists(_atoms | _calls, max_size=4).map(",".join)
_keys = st.sampled_from([*SETTINGS, *GROUPS.values()]) | st.sampled_from(
    [
        *(
            "hydra.run.dir",
            "_target_",
            "model",
            "member",
            "member.x",
            "task.name",
            "model.residual.initial",
            "../x",
            "a@b",
            "",
        )
    ]
)
_overrides = st.text(max_size=30) | st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "", "", "+", "++", "~", "--"]),
    _keys,
    st.sampled_from(["=", "=", "=", ""]),
    _values,
)
asked = st.lists(_overrides, min_size=1, max_size=4)
"""Overrides of one request."""


def fault(overrides: Sequence[str]) -> str | None:
    """What is wrong with the answer to a request;
    None if it was planned, or refused in one line.
    """
    for plan in (lambda: config.request("some", overrides), lambda: config.single(overrides)):
        began = time.process_time()
        try:
            plan()
        except UserError as error:
            line = printable(str(error))
            if not line or not line.isprintable() or len(line) > LONGEST_LINE:
                return f"{line[:200]!r} is not one line"
            if time.process_time() - began > SECONDS:
                return f"refused after {time.process_time() - began:.1f} s"
        except Exception as error:
            return f"raised {type(error).__name__}: {str(error)[:200]}"
    return None


def run(points: int | None, scratch: Path) -> Outcome:
    """Every fixed request and study file in `scratch`, then so many fuzzed ones (None: FUZZED)."""
    began, failures, tried = time.monotonic(), list[str](), 0
    config.request("some", ["model.depth=1"])
    with chdir(scratch):
        for words in requests():
            tried += 1
            before = there(scratch)
            reason = ask(words).fault() or ("wrote something" if there(scratch) != before else None)
            failures += [f"{_shown(words)}: {reason}"] if reason else []
        for name in study_files(scratch):
            tried += 1
            before = there(scratch)
            reason = ask(["sweep", "--study", name]).fault() or (
                "wrote something" if there(scratch) != before else None
            )
            failures += [f"study file {tried}: {reason}"] if reason else []

    def fuzz(overrides: list[str]) -> None:
        nonlocal tried
        tried += 1
        reason = fault(overrides)
        failures.extend([f"{_shown(overrides)}: {reason}"] if reason else [])

    limits = settings(
        max_examples=FUZZED if points is None else points,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    limits(given(asked)(fuzz))()
    return Outcome(FAULT, tried, failures, time.monotonic() - began)


def _shown(words: Sequence[str]) -> str:
    return printable(" ".join(words))[:200]
