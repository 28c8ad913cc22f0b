"""A report as typed values: what its cells are told apart by, and every number that is shown."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, final

from resformer.keys import Value, as_typed
from resformer.results.problems import DamagedJob, FailedJob, LeftBehind, MissingJob, OtherCode
from resformer.stats.depth import Run, depth_run
from resformer.stats.health import Word
from resformer.stats.multiplicity import LEVEL, Method

Per = Literal["steps", "flops", "tokens"]
"""Unit of what it takes to solve: steps, floating-point operations in matrix products, or tokens
read, of one member.
"""


Score = Literal["steps", "final_loss"]
"""Result that members are judged by: the steps they take to solve, or the loss they end with."""


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
    median: float | None
    """To solve, in the report's unit, as the mean."""
    median_low: float | None
    median_high: float | None
    mean: float | None
    """Restricted mean: spent up to the smallest budget of the cell's members."""
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
    width: int | None = None
    """Width of the models; None where it does not come with the depth."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """All seeds of a cell at one learning rate."""

    key: CellKey
    lr: float
    seeds: int
    solved: int
    mean: float | None
    final_loss: float | None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class IncompleteRates:
    """Learning rates at which not every seed of a cell ran, but some, or some of a cell that it is
    compared with: not all of its members are compared.
    """

    key: CellKey
    rates: Sequence[float]
    ran: Sequence[int]
    """Number of seeds that ran at each."""
    seeds: int
    """Number of seeds of the cell."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval; a bound that does not exist is None."""

    value: float
    low: float | None
    high: float | None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BestRates:
    """Numbers of cells by the place of `lr` among the rates tried: of cells that some seed solves,
    or, judged by final loss, of those that do not diverge.
    """

    cells: int
    """All of them, but those with a single rate."""
    inside: int
    smallest: int
    largest: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The depth limit of an arm: the last depth of the unbroken run from `depth_floor`; in a table
    whose rows are another number, the last of these.
    """

    key: ArmKey
    depth_limit: int | None
    low: int | None
    high: int | None
    depth_floor: int | None
    fit: Estimate | None = None
    """Depth at which half of the seeds solve, in blocks, by a logistic fit; None if not asked for
    or where no two depths are a half-octave apart.
    """


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Seeds that solved, of those that ran, within the budget that both arms share."""

    solved: int
    seeds: int

    @property
    def share(self) -> float:
        """Share of the seeds that solved."""
        return self.solved / self.seeds

    @property
    def all(self) -> bool:
        """True if every seed solved."""
        return self.solved == self.seeds


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DepthComparison:
    """Two arms at one depth."""

    depth: int
    budget: int
    """The smaller of the two arms' budgets, in steps."""
    scheme: Count
    baseline: Count
    p: float | None
    """By exchanging whole seeds, corrected for the number of depths."""
    p_adjusted: float | None
    """Corrected for the number of comparisons, too."""
    speed: Estimate | None
    """To solve in the report's unit, scheme / baseline, same seeds paired; None unless every seed
    solved.
    """

    @property
    def lead(self) -> float:
        """Share of seeds that solve with the scheme, minus that with the baseline."""
        return self.scheme.share - self.baseline.share


Verdict = Literal["better", "worse", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Compared(ABC):
    """An arm against a baseline, at the same depths."""

    scheme: ArmKey
    baseline: ArmKey
    named_by: tuple[str, ...]
    """Axes whose values name the two: those in which some compared arms differ."""
    p: float | None
    """The smallest of the depths' p-values; None where there is nothing to test."""
    p_adjusted: float | None
    """Corrected for the number of comparisons."""
    adjusted_by: Method | None
    exact: bool
    """True if p-values count all exchanges of seeds, False if they count random ones."""

    @property
    @abstractmethod
    def verdict(self) -> Verdict:
        """Better or worse if the arm ahead at the deepest significant depth is the scheme or the
        baseline; undecided if no depth is significant.
        """

    @property
    def family(self) -> tuple[str, str]:
        """Studies of the two: p-values are corrected for the comparisons between the same ones."""
        return self.scheme.study, self.baseline.study

    @property
    def labels(self) -> tuple[str, str]:
        """Names of scheme and baseline."""
        scheme, baseline = (
            " ".join(as_typed(key.value(axis)) for axis in self.named_by)
            for key in (self.scheme, self.baseline)
        )
        return scheme, baseline


@final
@dataclass(frozen=True, kw_only=True)
class Comparison(Compared):
    """An arm against a baseline: how deep it trains, and how fast."""

    depths: tuple[DepthComparison, ...]
    """Ascending."""
    doublings: Estimate | None
    """Doublings of depth that the scheme solves more than the baseline; None of a single depth."""
    speed: Estimate | None
    """As at a depth, over the depths at which every seed of both arms solved."""

    @property
    def solved(self) -> bool:
        """True if a seed of either arm solves some depth."""
        return any(row.scheme.solved or row.baseline.solved for row in self.depths)

    @property
    def speed_depths(self) -> tuple[int, ...]:
        """Depths at which every seed of both arms solved."""
        return tuple(row.depth for row in self.depths if row.speed is not None)

    @property
    def significant(self) -> list[DepthComparison]:
        """Depths whose corrected p-value is at most `LEVEL`."""
        return [
            row for row in self.depths if row.p_adjusted is not None and row.p_adjusted <= LEVEL
        ]

    @property
    def verdict(self) -> Verdict:
        """Better or worse if the arm ahead at the deepest significant depth is the scheme or the
        baseline; undecided if no depth is significant.
        """
        if not self.significant:
            return "undecided"
        return "better" if self.significant[-1].lead > 0 else "worse"

    @property
    def runs(self) -> tuple[Run, Run]:
        """Depth floor and limit of scheme and baseline, of these depths and budgets."""
        depths = [row.depth for row in self.depths]
        scheme, baseline = (
            depth_run(depths, [count.solved for count in arm], [count.seeds for count in arm])
            for arm in (
                [row.scheme for row in self.depths],
                [row.baseline for row in self.depths],
            )
        )
        return scheme, baseline

    @property
    def at_least(self) -> bool:
        """True if the scheme is ahead and solves the deepest depth: it may be ahead by more."""
        ahead = self.doublings is not None and self.doublings.value > 0
        return ahead and self.runs[0][1] == self.depths[-1].depth

    @property
    def at_most(self) -> bool:
        """True if the baseline is ahead and solves the deepest depth."""
        ahead = self.doublings is not None and self.doublings.value < 0
        return ahead and self.runs[1][1] == self.depths[-1].depth


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DepthLoss:
    """Final losses of two arms at one depth."""

    depth: int
    scheme: float
    """Mean over seeds, nats per token."""
    baseline: float
    difference: Estimate
    """Scheme minus baseline, same seeds paired."""
    p: float | None
    """By exchanging whole seeds, corrected for the number of depths."""
    p_adjusted: float | None
    """Corrected for the number of comparisons, too."""

    @property
    def lead(self) -> float:
        """Nats per token by which the scheme ends lower."""
        return self.baseline - self.scheme


@final
@dataclass(frozen=True, kw_only=True)
class LossComparison(Compared):
    """An arm against a baseline after the same budget: how low its loss ends."""

    depths: tuple[DepthLoss, ...]
    """Ascending."""
    difference: Estimate
    """Mean over these depths."""

    @property
    def significant(self) -> list[DepthLoss]:
        """Depths whose corrected p-value is at most `LEVEL`."""
        return [
            row for row in self.depths if row.p_adjusted is not None and row.p_adjusted <= LEVEL
        ]

    @property
    def verdict(self) -> Verdict:
        """Better if the scheme ends lower at the deepest significant depth."""
        if not self.significant:
            return "undecided"
        return "better" if self.significant[-1].lead > 0 else "worse"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """Final loss and stability of a cell."""

    key: CellKey
    mean_loss: Estimate
    """Final held-out loss, nats per token, mean over seeds, each at the rate it is scored at."""
    learning: float
    """Share of the learning rates at which a seed learns, mean over seeds."""
    lr_sensitivity: Estimate | None
    """Nats per token, mean over seeds; None of one rate."""
    spikes: float | None
    """Per 10,000 steps; None if no member trained for a whole window of steps."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """Pairs of arms of a task that are distinguished by the depth they train to; of the others,
    those that are by speed.
    """

    study: str
    task: str
    pairs: int
    by_depth: int
    by_speed: int

    @property
    def by_neither(self) -> int:
        """Pairs that are not distinguished."""
        return self.pairs - self.by_depth - self.by_speed


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RankCorrelation:
    """Spearman's correlation of two tasks' rankings of the arms that both have."""

    study: str
    task: str
    other: str
    arms: int
    correlation: Estimate
    of_task: float | None
    """Reliability of the ranking by `task`, from that of the halves of its seeds; None where these
    rank nothing.
    """
    of_other: float | None
    ceiling: float | None = None
    """Correlation that two tasks with these reliabilities have if they rank alike."""


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
    per: Per = "steps"
    """Unit of medians, means and speeds."""
    score: Score = "steps"
    """Result by which learning rates are chosen and arms compared."""
    cells: tuple[Cell, ...]
    rates: tuple[Rate, ...]
    incomplete_rates: tuple[IncompleteRates, ...] = ()
    limits: tuple[Limit, ...]
    comparisons: tuple[Comparison, ...]
    """Comparisons of depth and speed; none if the score is the final loss."""
    losses: tuple[LossComparison, ...] = ()
    """Comparisons of final losses; none unless these are the score, as `stability`."""
    stability: tuple[Stability, ...] = ()
    separation: tuple[Separation, ...] = ()
    """Counts over all pairs of arms, for tasks with many."""
    rank_correlations: tuple[RankCorrelation, ...] = ()
    """Rankings of the arms by two tasks, for tasks with many."""
    layers: tuple[LayerSummary, ...]
    mixed_probes: list[str] = field(default_factory=list)
    """Studies whose layers may have been measured by several versions of the probes."""
    settled: bool = False
    """True if a sweep looked at a study twice, as if at every comparison of it."""
    excluded: tuple[Excluded, ...]
    left_behind: tuple[LeftBehind, ...] = ()
    other_code: tuple[OtherCode, ...] = ()
    missing: tuple[MissingJob, ...]
    damaged: tuple[DamagedJob, ...]
    failed: tuple[FailedJob, ...]

    @property
    def incomplete(self) -> bool:
        """True if results are missing: numbers are of those that happen to be there."""
        return bool(self.missing or self.failed or self.damaged)

    @property
    def fitted(self) -> bool:
        """True if some arm has a logistic fit."""
        return any(limit.fit is not None for limit in self.limits)

    @property
    def axes(self) -> list[str]:
        """Keys of the settings that tell cells apart."""
        return list(self.cells[0].key.values())

    @cached_property
    def varying(self) -> list[str]:
        """Axes with several values."""
        return varying([cell.key for cell in self.cells])

    @cached_property
    def best_rates(self) -> BestRates:
        """Places of the best rates among those tried."""
        by_loss = self.score == "final_loss"
        rated = [
            cell
            for cell in self.cells
            if cell.lr_at_edge is not None
            and (cell.final_loss is not None if by_loss else cell.solved)
        ]
        tried: dict[CellKey, list[float]] = {}
        for rate in self.rates:
            tried.setdefault(rate.key, []).append(rate.lr)
        largest = sum(cell.lr == max(tried[cell.key]) for cell in rated)
        inside = sum(not cell.lr_at_edge for cell in rated)
        return BestRates(
            cells=len(rated),
            inside=inside,
            smallest=len(rated) - inside - largest,
            largest=largest,
        )

    def tests(self, row: Compared) -> int:
        """Number of comparisons that the p-value of this one is corrected for, with itself."""
        return self._tests[row.family]

    @cached_property
    def _tests(self) -> Counter[tuple[str, str]]:
        return Counter(row.family for row in (*self.comparisons, *self.losses) if row.p is not None)

    @cached_property
    def depths(self) -> dict[ArmKey, list[int]]:
        """Depths that were tried, ascending, by arm."""
        depths: dict[ArmKey, list[int]] = {}
        for cell in self.cells:
            depths.setdefault(cell.key.arm, []).append(cell.key.depth)
        return {arm: sorted(tried) for arm, tried in depths.items()}
