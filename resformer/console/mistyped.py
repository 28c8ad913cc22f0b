"""Commands and options that there are not: one line with those that would work."""

import difflib
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


@final
class Group(TyperGroup):
    """The command line as a whole."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of the first word; a word that is none ends with a line if there is a hint
        for it.
        """
        word = args[0]
        if word not in self.commands and (hint := _command(args)):
            _refuse(f"{shortened(word)}: there is no such command; {hint}")
        return super().resolve_command(ctx, args)


@final
class Command(TyperCommand):
    """A command, whose settings are words, not options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words; an option that is none ends with a line if there is a hint for it."""
        known = {name for param in self.params for name in (*param.opts, *param.secondary_opts)}
        known |= {*ctx.help_option_names}
        for number, word in enumerate(args):
            if word == "--":
                break
            option, sign, value = word.partition("=")
            if ctx.resilient_parsing or not word.startswith("--") or option in known:
                continue
            options = [name for name in known if name.startswith("--")]
            if not difflib.get_close_matches(option, options, n=1, cutoff=0.8):  # Typer names it
                value = value if sign else next(iter(args[number + 1 :]), "")
                if hint := self._option(option.removeprefix("--"), value):
                    _refuse(f"{shortened(option)}: there is no such option; {hint}")
        return super().parse_args(ctx, args)

    def _option(self, name: str, value: str) -> str:
        """The hint for an option; "" for none."""
        params = {param.name for param in self.params}
        if name == "study" and params & {"study", "studies"}:
            return f"it is a word: resformer {self.name} {shortened(value or 'STUDY')}"
        if name == "study" and self.name == "train":
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


def _command(words: list[str]) -> str:
    """The hint for a word where a command should stand; "" for none."""
    word = words[0]
    if word in _COMMANDS:
        return f"did you mean {_COMMANDS[word]}?"
    if word in plugins.studies():
        return f"did you mean resformer sweep --study {word}?"
    if "=" in word and not word.startswith("-"):
        return f"did you mean resformer train {shortened(' '.join(words))}?"
    return ""


def _refuse(line: str) -> NoReturn:
    typer.echo(f"resformer: {printable(line)}", err=True)
    raise typer.Exit(2)
