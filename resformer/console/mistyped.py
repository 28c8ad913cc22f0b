"""Commands, options and words that there are not: one line with those that would work."""

import difflib
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, final

import typer
from typer.core import TyperCommand, TyperGroup

from resformer import plugins
from resformer.text import printable, shortened

_COMMANDS = {
    "run": "resformer sweep (a study) or resformer train (one job)",
    "list": "resformer status (a study), or resformer report",
    "studies": "resformer status (a study), or resformer report",
    "plot": "resformer report --figures DIR",
    "figures": "resformer report --figures DIR",
    "page": "resformer report --html FILE",
    "compare": "resformer report STUDY STUDY",
    "version": "resformer --version",
    "help": "resformer --help",
}
"""Commands of other programs, and what does the same here."""
_HYDRA_SWEEPS = ("-m", "--multirun")
"""Options of Hydra, whose overrides are swept over with them only."""
_KINDS = {int: "a whole number", float: "a number"}


@final
class Group(TyperGroup):
    """The command line as a whole."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> NoReturn:
        """Run the command of these words and exit; an error of usage is a line, and exit code 2."""
        words = sys.argv[1:] if args is None else [*args]
        try:
            code = super().main(words, *rest, **{**extra, "standalone_mode": False})
        except typer.TyperException as error:
            _say(self._line(error, words))
            code = 2
        sys.exit(code)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words; without any print the help."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            raise typer.Exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of the first word; a word that is none ends with a line."""
        if args[0] not in self.commands and not ctx.resilient_parsing:
            _refuse(f"{shortened(args[0])}: there is no such command; {self._command(args)}")
        return super().resolve_command(ctx, args)

    def _command(self, words: Sequence[str]) -> str:
        """The hint for a word where a command should stand."""
        word = words[0]
        if word in _COMMANDS:
            return f"did you mean {_COMMANDS[word]}?"
        if word in plugins.studies():
            return f"did you mean resformer sweep --study {word}?"
        if "=" in word and not word.startswith("-"):
            return f"did you mean resformer train {shortened(' '.join(words))}?"
        if similar := difflib.get_close_matches(word, self.commands, n=1):
            return f"did you mean resformer {similar[0]}?"
        return f"the commands are {', '.join(self.commands)}"

    def _line(self, error: Any, words: Sequence[str]) -> str:
        """Message of an error of Typer, whose classes are private and known by name."""
        match type(error).__name__:
            case "NoSuchOption":
                name = error.option_name
                hint = self._option(name, error.ctx.command, words)
                return f"{shortened(name)}: there is no such option; {hint}"
            case "BadOptionUsage":
                reason = _reason(error).removeprefix(f"Option {error.option_name!r} ")
                return f"{shortened(error.option_name)}: {reason}"
            case "MissingParameter":
                command = error.ctx.command
                return f"{command.name}: {_name(error.param)} is missing; it is {_usage(command)}"
            case "BadParameter" if error.param is not None:
                name = _name(error.param)
                setting = f"{name} {shortened(_value(name, words))}"
                return f"{setting}: {_must(error.param) or _reason(error)}"
        return _reason(error)

    def _option(self, name: str, command: Any, words: Sequence[str]) -> str:
        """The hint for an option that the command does not have."""
        if name in _HYDRA_SWEEPS:
            settings = [word for word in words if "=" in word and not word.startswith("-")]
            swept = shortened(" ".join(settings or ["model.depth=1,2"]))
            return f"several values are swept over: resformer sweep {swept}"
        if command is self and (behind := [word for word in words if word in self.commands]):
            command = self.commands[behind[0]]
            if name in _options(command):
                others = list(words)
                others.remove(behind[0])
                line = shortened(" ".join([behind[0], *others]))
                return f"it goes behind the command: resformer {line}"
        elif command is self:
            having = [key for key, other in self.commands.items() if name in _options(other)]
            if having:
                return " or ".join(f"resformer {key} {name}" for key in having) + " has one"
        options = _options(command)
        if similar := difflib.get_close_matches(name, options, n=1, cutoff=0.8):
            return f"did you mean {similar[0]}?"
        hint = "" if command is self else _setting(name, _value(name, words), command)
        return hint or f"the options are {', '.join(options)}"


@final
class Command(TyperCommand):
    """A command, whose settings are words, not options."""

    allow_extra_args = True  # which are refused here

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words; those that are left over end with a line."""
        extra = super().parse_args(ctx, args)
        if extra and not ctx.resilient_parsing:
            _refuse(f"{shortened(' '.join(extra))}: is more than it takes; it is {_usage(self)}")
        return extra

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of a usage line: STUDY is required, [STUDY] is not."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


def _setting(option: str, value: str, command: Any) -> str:
    """The hint for an option that may mean a setting, or a word; "" for none."""
    name = option.lstrip("-")
    params = {param.name for param in command.params}
    if name == "study" and params & {"study", "studies"}:
        return f"it is a word: resformer {command.name} {shortened(value or 'STUDY')}"
    if name == "study" and command.name == "train":
        return f"resformer sweep --study {shortened(value or 'NAME')} has one"
    if params.isdisjoint({"overrides", "where"}):
        return ""
    from resformer.config import hints, keys

    takes_settings = "overrides" in params
    settings, reason = hints.option(name, value, keys(), ranges=takes_settings)
    words = " or ".join(settings)
    if reason or not words:
        return reason
    if takes_settings:
        return f"settings are KEY=VALUE: {words}"
    return f"members are chosen with --where {words}"


def _options(command: Any) -> list[str]:
    """Long options of a command."""
    names = [name for param in command.params for name in (*param.opts, *param.secondary_opts)]
    return [*(name for name in names if name.startswith("--")), "--help"]


def _value(option: str, words: Sequence[str]) -> str:
    """The word behind an option, as typed; "" for none."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word.partition("=")[0] == option:
            return word.partition("=")[2] if "=" in word else after
    return ""


def _usage(command: Any) -> str:
    """The shortest line that works, with the choices of its options."""
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param not in arguments and param.required]
    words = [_name(param) if param.required else f"[{_name(param)}]" for param in arguments]
    words += [f"{_name(param)} {'|'.join(_choices(param)) or 'VALUE'}" for param in options]
    return " ".join(["resformer", command.name, *words])


def _name(param: Any) -> str:
    """An option, or an argument, as a usage line has it."""
    is_option = param.param_type_name == "option"
    return str(param.opts[0] if is_option else param.metavar or param.name)


def _choices(param: Any) -> Iterable[str]:
    """Values of an option that has only so many; empty for another one."""
    return map(str, param.type_descriptor.choices or ())


def _must(param: Any) -> str:
    """The requirement on values of this option; "" if Typer says it better."""
    if choices := ", ".join(_choices(param)):
        return f"must be one of {choices}"
    kind = _KINDS.get(param.type_descriptor.annotation)
    return f"must be {kind}" if kind else ""


def _reason(error: Any) -> str:
    """The message of an error of Typer, without what its libraries put around it."""
    return str(error.message).removeprefix("Value error, ").rstrip(".")


def _refuse(line: str) -> NoReturn:
    _say(line)
    raise typer.Exit(2)


def _say(line: str) -> None:
    typer.echo(f"resformer: {printable(line)}", err=True)
