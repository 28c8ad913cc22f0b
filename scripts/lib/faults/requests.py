"""Hostile requests: each is refused in one line, at once, and leaves nothing behind."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from lib.faults.campaign import Campaign, Outcome
from resformer import config
from resformer.cli import app
from resformer.errors import UserError
from resformer.plugins import GROUPS
from resformer.text import printable

FUZZED = 20_000
SECONDS, LONGEST_LINE = 1.0, 1000
"""The longest time of a refusal, once the command has started; characters of its line."""

SETTINGS = config.keys()


def _words(text: str) -> list[str]:
    """Words that contain no white space themselves."""
    return text.split()


REFUSED_BY_ALL = (
    *_words("nan inf -inf 1e400 -1 -0.5"),
    "1" + "0" * 40,
    "9" * 4400,
    "-" + "9" * 10_000,
    *_words("??? '' [] {} [1,2] {a:1}"),
    "x" * 100_000,
    "\x1b[31mred\x1b[0m",
    "[bold red]x[/]",
    "a\0b",
    "\ud800",
    "\u202ex",
    "a\nb",
    *_words("${oc.env:HOME} ${oc.decode:1} ${hydra:run.dir} ${now:%Y} $HOME ~ ~/x"),
    *_words("../../etc/passwd /etc/passwd glob(*) interval(0,1) range(0,1e12) range(0,10,0)"),
    *_words("range(3,0) range(0,inf) range(nan,1) range(0,1,1e-20) shuffle(range(0,1e12))"),
    *_words("sort(range(0,1e12))"),
    *_words("choice() tag(a,x)"),
    "choice(" * 10 + "1" + ")" * 10,
    "int(" * 900 + "1" + ")" * 900,
    "sort(" * 800 + "1" + ")" * 800,
    "(" * 4000,
    "[" * 2400 + "]" * 2400,
    "{a:" * 1600,
    "'" * 999,
    "choice(" + "nan," * 1000 + "nan)",
    *_words("extend_list(1) ０ 1:2"),
)
"""Values that no setting takes."""

_KEYS_AND_VALUES = (
    ("x", "_target_ model._target_ task._target_ _recursive_ __class__ defaults"),
    ("x", "hydra.run.dir hydra.job.name hydra hydra/launcher hydra.sweeper .. ."),
    ("1", "model train member study results model. .depth model..depth"),
)
_TYPES = (
    ("null", "model.depth train.steps task device train.compile member.lr"),
    ("true", "model.depth train.steps train.clip member.seed engine.workers task"),
    ("0", "model.depth model.width train.steps train.clip optimizer.eps task.length"),
    ("1.5", "model.depth model.heads member.seed engine.stack train.target_accuracy"),
    ("1e31", "train.clip optimizer.eps member.lr optimizer.weight_decay engine.lease_seconds"),
)
"""Values, and keys that do not take them."""

OVERRIDES: Sequence[Sequence[str]] = [
    *(
        [f"{sign}{key}"]
        for sign in _words("+ ++ ~ - -- @")
        for key in _words("model.depth=1 foo=1 task engine")
    ),
    *([f"{key}@pkg=1"] for key in _words("model.depth task engine model/residual foo")),
    *([f"{key}={value}"] for value, keys in _KEYS_AND_VALUES for key in _words(keys)),
    ["=1"],
    *([f"{key}=1"] for key in _words("task.name engine.name model.residual.name member.seed.x")),
    ["x" * 4000 + "=1"],
    ["a." * 2000 + "=1"],
    *([f"{key}=1"] for key in _words("../x /etc/passwd model/../task model\x1b[31m [red]")),
    *([f"{key}=1"] for key in _words("mödel.depth $HOME")),
    [""],
    *([text] for text in _words("= == =1 model.depth model.depth==1")),
    ["model.depth 1"],
    *([text] for text in _words("# \0 \ud800 ' -h --help --results=/tmp/x --study=x --dry-run")),
    ["\x1b]0;title\x07"],
    ["\r\n"],
    ["*"],
    *(
        [f"{group}={name}"]
        for group in _words("task engine model/residual")
        for name in _words("../copy base COPY a/b")
    ),
    *([f"{key}={value}"] for value, keys in _TYPES for key in _words(keys)),
    *([f"model.residual={value}"] for value in _words("add 1 null maybe true,1")),
    ["model.residual.initial=11", "model/residual=rezero"],
    ["model.residual.initial_beyond=11", "model/residual=layerscale"],
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
    "",
    *_words(". .. ../x a/b /etc / a\\b -x _x .x ~ $HOME ${HOME}"),
    "a b",
    "a\nb",
    "a\tb",
    *_words("\0 \x1b[31m \x7f [red]x é 漢 \ud800 \u202e"),
    "x" * 101,
    "x" * 100_000,
    "x\n",
    *_words("* %s a=b"),
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
    b"",
    b"\n",
    *b"#|---|---\n---\n|- a=1\n---\n- b=1\n|model.depth=1|model.depth: 1|{}|7".split(b"|"),
    *b"- a: [|- model.depth=1\n- [model.depth=2]|- [[model.depth=1]]".split(b"|"),
    *b"- {model.depth: 1}|- [1, 2]|- null|- 2001-99-99|- 0x".split(b"|"),
    b"- " + b"9" * 10_000,
    *b"- ~model.depth|- +model.depth=1|- \xff|\xff\xfe\x00|- 'a\0b'".split(b"|"),
    *rb'- "\0"|- "\ud800=1"|- "\e[31m"'.split(b"|"),
    *b"- \x1b[31m|- \x7f\x80|\t- a=1|%YAML 9.9\n--- []".split(b"|"),
    *b"- &a model.depth=1\n- *a|- &a x|- *a|&a [*a]".split(b"|"),
    *b"- &a [x, x]\n- &b [*a, *a]\n- [*b, *b]|<<: [1]".split(b"|"),
    b"\n".join(
        [b"- &a0 [x, x]", *(b"- &a%d [*a%d, *a%d]" % (n, n - 1, n - 1) for n in range(1, 60))]
    ),
    *b"- !!python/object/apply:os.getcwd []|- !!str model.depth=1|- !x y|!!set {a}".split(b"|"),
    *b"!!binary aGk=|- !!float 1".split(b"|"),
    b"[" * 5000,
    b"[" * 5000 + b"]" * 5000,
    b"- " * 5000,
    b"{" * 5000,
    b"a: " * 3000,
    *b"- - - a=1|? a\n? b\n|- model.depth=1\n- model.depth=1|a: 1\na: 1".split(b"|"),
    b"- model.depth=1" + b",1" * 16_000,
    b"- model.depth=" + b"[" * 30_000,
    b"- " + b"x" * 2**21,
    b"#" * 2**21,
    b"- a=1\n" * 300_000,
    b"- a=1\n" * 5000,
    b"- [model.depth=0]\n" * 1500,
    b"[]\n" * 9,
    b"- member.seed=range(0,99999)\n- train.steps=range(1,99999)",
    b"- [member.seed=range(0,99999), member.lr=range(0,99)]",
)
"""Study files by their content."""


@final
@dataclass(frozen=True)
class Answer:
    """Result of a command, and how long it took."""

    result: Result
    seconds: float
    """Seconds of this process' own time: others that run beside it do not count."""

    def fault(self) -> str | None:
        """Reason why this is not how a request is refused; None if it is."""
        code, raised, stdout = self.result.exit_code, self.result.exception, self.result.stdout
        if raised is not None and not isinstance(raised, SystemExit):
            return f"raised {type(raised).__name__}"
        if code != 2 or stdout:
            return f"exit code {code}, {len(stdout)} characters on stdout"
        text = self.result.stderr
        line, end, rest = text.partition("\n")
        if not end or rest or not line.isprintable():
            return f"is not one printable line: {text[:200]!r}"
        if len(text) > LONGEST_LINE or not text.startswith("resformer: "):
            return f"{len(text)} characters: {text[:200]!r}"
        return f"took {self.seconds:.1f} s" if self.seconds > SECONDS else None


def ask(words: Sequence[str]) -> Answer:
    """Run a command in this process."""
    began = time.process_time()
    return Answer(CliRunner().invoke(app, list(words)), time.process_time() - began)


def requests() -> Iterator[tuple[str, ...]]:
    """Yield every fixed request, as the words of a command."""
    commands = ("show", "sweep", "train")
    for number, overrides in enumerate(OVERRIDES):
        yield commands[number % 3], "--", *overrides
    for number, value in enumerate(REFUSED_BY_ALL):
        for turn in range(6):
            key = SETTINGS[(6 * number + turn) % len(SETTINGS)]
            yield commands[turn % 3], "--", f"{key}={value}"
    for name in NAMES:
        yield "sweep", f"--study={name}", "model.depth=1"
    yield from (("sweep", f"--engine={name}", "model.depth=1") for name in ENGINES)
    yield from (("sweep", f"--workers={count}", "model.depth=1") for count in WORKERS)


def study_files(folder: Path) -> Iterator[str]:
    """Put study files into `folder`/configs/study, one after another; yields the name of each."""
    path = folder / "configs" / "study" / "mine.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
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


def contents(folder: Path) -> set[Path]:
    """All paths in a folder."""
    return set(folder.rglob("*"))


# --- fuzzed

_fragments = st.sampled_from([text[:3000] for text in REFUSED_BY_ALL])
_plain = st.sampled_from(_words("0 1 2 8 1.5 1e-3 true false null own pre copy add cpu"))
_numbers = st.integers().map(str) | st.floats().map(str)
_atoms = _plain | _fragments | _numbers | st.text(max_size=8)
_calls = st.builds(
    lambda name, words: f"{name}({','.join(words)})",
    st.sampled_from(_words("choice range interval sort shuffle tag int float str bool json_str")),
    st.lists(_plain | st.sampled_from(_words("nan -1 a=b reverse=true start=1")), max_size=4),
)
_values = _atoms | _calls | st.lists(_atoms | _calls, max_size=4).map(",".join)
_strange_keys = _words("hydra.run.dir _target_ model member member.x task.name")
_strange_keys += [*_words("model.residual.initial ../x a@b"), ""]
_keys = st.sampled_from([*SETTINGS, *GROUPS.values()]) | st.sampled_from(_strange_keys)
_overrides = st.text(max_size=30) | st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "", "", "+", "++", "~", "--"]),
    _keys,
    st.sampled_from(["=", "=", "=", ""]),
    _values,
)
overrides_of_a_request = st.lists(_overrides, min_size=1, max_size=4)


def fault(overrides: Sequence[str]) -> str | None:
    """Fault of the answer to a request; None if it was planned, or refused in one line."""
    plans: list[Callable[[], object]] = [
        lambda: config.request("some", overrides),
        lambda: config.single(overrides),
    ]
    for plan in plans:
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


def fuzzed(count: int, test: Callable[..., None], *strategies: st.SearchStrategy[Any]) -> None:
    """Call a function with so many drawn values."""
    limits = settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    limits(given(*strategies)(test))()


def _requests(points: int | None, scratch: Path) -> Outcome:
    """Try every fixed request and study file, then so many fuzzed ones (None: FUZZED)."""
    failures: list[str] = []
    tried = 0
    config.request("some", ["model.depth=1"])

    def check(name: str, words: Sequence[str]) -> None:
        before = contents(scratch)
        reason = ask(words).fault()
        if reason is None and contents(scratch) != before:
            reason = "wrote something"
        failures.extend([f"{name}: {reason}"] if reason else [])

    with chdir(scratch):
        for words in requests():
            tried += 1
            check(_shown(words), words)
        for name in study_files(scratch):
            tried += 1
            check(f"study file {tried}", ["sweep", "--study", name])

    def fuzz(overrides: list[str]) -> None:
        nonlocal tried
        tried += 1
        reason = fault(overrides)
        failures.extend([f"{_shown(overrides)}: {reason}"] if reason else [])

    fuzzed(FUZZED if points is None else points, fuzz, overrides_of_a_request)
    return Outcome(points=tried, failures=failures)


REQUESTS = Campaign(name="hostile", fault="hostile requests", short=200, full=None, run=_requests)


def _shown(words: Sequence[str]) -> str:
    return printable(" ".join(words))[:200]
