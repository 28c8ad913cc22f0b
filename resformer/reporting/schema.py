"""A report as typed values: what its cells are told apart by, and every number that is shown."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, final

from resformer.keys import Value
from resformer.results.problems import DamagedJob, FailedJob, MissingJob
from resformer.stats.health import Word


class Key(ABC):
    """Settings that tell rows of a report apart: a value for each of its axes."""

    __slots__ = ()

    @abstractmethod
    def values(self) -> dict[str, Value]:
        """The value of every axis."""

    def value(self, axis: str) -> Value:
        """The value of one axis."""
        return self.values()[axis]

    def of(self, axes: Iterable[str]) -> tuple[Value, ...]:
        """The values of some axes."""
        values = self.values()
        return tuple(values[axis] for axis in axes)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ArmKey(Key):
    """Settings that tell a report's arms apart; the cells of an arm differ in depth only."""

    study: str
    task: str
    residual: str
    norm: str
    further: tuple[tuple[str, Value], ...] = ()
    """Further settings that vary, by dotted key."""

    def values(self) -> dict[str, Value]:
        """The value of every axis but depth."""
        return {
            "study": self.study,
            "task": self.task,
            "residual": self.residual,
            "norm": self.norm,
            **dict(self.further),
        }


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CellKey(Key):
    """Settings that tell a report's cells apart: an arm's, and the depth in blocks."""

    arm: ArmKey
    depth: int

    def values(self) -> dict[str, Value]:
        """The value of every axis; the depth stands behind study and task."""
        arm = self.arm
        return {"study": arm.study, "task": arm.task, "depth": self.depth, **arm.values()}


def varying(keys: Sequence[Key]) -> list[str]:
    """Axes by which these keys differ."""
    values = [key.values() for key in keys]
    return [axis for axis in values[0] if len({by_axis[axis] for by_axis in values}) > 1]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Seeds of the same settings, each at the learning rate that the other seeds chose.

    A quantity that does not exist is None. The order of the fields is that of the JSON; a field
    that reports written before it lack has a default.
    """

    key: CellKey
    seeds: int
    solved: int
    unsolved: int
    stalled: int
    diverged: int
    lr: float
    """The learning rate at which most seeds are scored."""
    lr_by_seed: Mapping[int, float]
    lr_at_edge: bool | None
    """True if `lr` is the first or last of the grid; None if the grid is one rate."""
    median_steps: float | None
    median_low: float | None
    median_high: float | None
    mean_steps: float | None
    """Restricted mean: steps spent up to the smallest budget of the cell's members."""
    mean_low: float | None
    mean_high: float | None
    final_loss: float | None
    """Median held-out loss, nats per token."""
    final_accuracy: float | None
    """Median held-out accuracy, share of tokens."""
    parameters: int
    flops_per_step: int
    ms_per_member_step: float | None
    """Median over jobs, milliseconds."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """All seeds of a cell at one learning rate."""

    key: CellKey
    lr: float
    seeds: int
    solved: int
    mean_steps: float | None
    final_loss: float | None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The depth limit of an arm: the last depth of the unbroken run from `depth_floor`."""

    key: ArmKey
    depth_limit: int | None
    low: int | None
    high: int | None
    depth_floor: int | None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two arms of a comparison: its residual scheme and its counts."""

    name: str
    solved: int
    """Members that solved within the budget that both arms share."""
    members: int
    seeds: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A scheme against its baseline at one depth, or over all depths (`depth` None)."""

    key: ArmKey
    """The arm of the scheme."""
    depth: int | None
    baseline: Side
    scheme: Side
    favours: str | None
    """The scheme that solves sooner by the test."""
    ratio: float | None
    """Steps spent within the budget, scheme / baseline, same seeds paired."""
    low: float | None
    high: float | None
    bound: Literal["upper", "lower", "unknown"] | None
    """Side on which `ratio` bounds the ratio of the true steps; None if every seed solved."""
    p: float | None
    p_adjusted: float | None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSummary:
    """Layers of a cell's members when the probe last measured them, medians over seeds."""

    key: CellKey
    seeds: int
    solved: int
    step: float
    """Median of the steps after which members were last probed."""
    health: Word
    measure: Literal["stream", "gradient", "residual"]
    value: float | None
    """The number that decided `health`."""
    ends: Mapping[str, float | None]
    """Measures behind the last layer, by name."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """A combination of settings that a launch left out."""

    settings: Mapping[str, Value]
    reason: str


@final
@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything a report shows of one study, or of several side by side."""

    study: str
    """Their names."""
    settings: Mapping[str, Value]
    """Settings that all members share, by dotted key."""
    differing: Mapping[str, Mapping[str, Value | list[Value]]] | None = None
    """Settings that differ between studies only, by key and study; None of one study."""
    where: Mapping[str, list[str]]
    """Conditions that members were chosen by."""
    cells: tuple[Cell, ...]
    rates: tuple[Rate, ...]
    limits: tuple[Limit, ...]
    comparisons: tuple[Comparison, ...]
    layers: tuple[LayerSummary, ...]
    excluded: tuple[Excluded, ...]
    missing: tuple[MissingJob, ...]
    damaged: tuple[DamagedJob, ...]
    failed: tuple[FailedJob, ...]

    @property
    def axes(self) -> list[str]:
        """Keys of the settings that tell cells apart."""
        return list(self.cells[0].key.values())

    @cached_property
    def varying(self) -> list[str]:
        """Axes with several values."""
        return varying([cell.key for cell in self.cells])

    @cached_property
    def depths(self) -> dict[ArmKey, list[int]]:
        """Depths that were tried, ascending, by arm."""
        depths: dict[ArmKey, list[int]] = {}
        for cell in self.cells:
            depths.setdefault(cell.key.arm, []).append(cell.key.depth)
        return {arm: sorted(tried) for arm, tried in depths.items()}
