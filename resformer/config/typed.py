"""Values as users type them, and what goes wrong, as messages say it."""

from resformer.errors import shortened

Value = int | float | bool | str | None
"""Of a setting."""


def typed(value: Value) -> str:
    """A value as a user types it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else shortened(str(value))


def one_line(error: BaseException) -> str:
    """What an error of Hydra, OmegaConf or YAML says, without its further reading."""
    return shortened(" ".join(str(error).split("\nSee http")[0].split()), 200)
