"""Jobs of a study that have no result, and files that are damaged."""

from dataclasses import dataclass
from typing import final

from resformer.text import counted


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MissingJob:
    """A planned job that has not finished."""

    study: str
    job: str
    members: int
    settings: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedJob:
    """A result that was left out because its files are damaged; `job` is None for other files."""

    study: str
    job: str | None
    reason: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FailedJob:
    """A job that failed as often as it may."""

    study: str
    job: str
    members: int
    settings: str
    reason: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """Finished members that are left out, as others of the same settings went on to a larger
    budget and they did not.
    """

    study: str
    steps: int
    """Their budget."""
    longer: int
    """The larger one."""
    members: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class OtherCode:
    """Finished members that are left out, as later launches of the study used other code."""

    study: str
    members: int
    roles: list[str]
    """Roles of their code that changed since, such as "residual rezero"; none where it is not known
    what computed them.
    """

    @property
    def line(self) -> str:
        """The members and the reason in one line."""
        members = f"{counted(self.members, 'member')} of {self.study}"
        if not self.roles:
            return f"{members} that unknown code computed"
        return f"{members} that other code computed ({', '.join(self.roles)} changed since)"


@final
@dataclass(frozen=True, kw_only=True)
class Problems:
    """Everything that keeps studies from being complete."""

    missing: tuple[MissingJob, ...] = ()
    damaged: tuple[DamagedJob, ...] = ()
    failed: tuple[FailedJob, ...] = ()
    other_code: tuple[OtherCode, ...] = ()

    def __add__(self, other: "Problems") -> "Problems":
        """Problems of both."""
        return Problems(
            missing=self.missing + other.missing,
            damaged=self.damaged + other.damaged,
            failed=self.failed + other.failed,
            other_code=self.other_code + other.other_code,
        )

    @property
    def reasons(self) -> list[str]:
        """Reasons of the damaged files."""
        return [job.reason for job in self.damaged]
