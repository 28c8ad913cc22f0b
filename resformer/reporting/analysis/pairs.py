"""Pairs of arms that a report compares."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

from resformer.errors import UserError
from resformer.keys import Value, as_typed, by_value, short
from resformer.reporting.schema import ArmKey

BASELINE = "plain"
RESIDUAL = "add"
"""The scheme that is meant by residual connections."""
BASELINES = (BASELINE, RESIDUAL)
"""Schemes that others are compared with: the first of these that ran under the same settings."""
RESIDUAL_NORM = "post"
"""Norm placement of its own that `RESIDUAL` has."""
_SCHEME = "model.residual."
"""Prefix of a scheme's own settings, which its baseline does not have."""

Pair = tuple[ArmKey, ArmKey]
"""An arm and its baseline."""


@final
@dataclass(frozen=True, kw_only=True)
class Pairing:
    """The pairs that a user asks for; by default each scheme against its baseline."""

    against: str = ""
    """Words that name the arm that every other one is compared with, such as "add pre"."""
    compare: str = ""
    """Axis in which alone the arms of a pair differ."""

    def __post_init__(self) -> None:
        if self.against and self.compare:
            raise UserError(
                f"--against {self.against} --compare {self.compare}: use one of the two"
            )

    def pairs(self, arms: Sequence[ArmKey]) -> list[Pair]:
        """Pairs among these arms; UserError if nothing matches."""
        if self.compare:
            return _differing_in(short(self.compare), arms)
        if self.against:
            return _against(self.against, arms)
        return list(_schemes_and_baselines(arms))


DEFAULT_PAIRING = Pairing()


def _schemes_and_baselines(arms: Sequence[ArmKey]) -> Iterator[Pair]:
    """Each scheme with the first of `BASELINES` that ran under the same settings; if none did, with
    `RESIDUAL` at its own norm placement.
    """
    for arm in arms:
        alike = [other for other in arms if differing_axes(arm, other) <= {"residual"}]
        elsewhere = [
            other
            for other in arms
            if differing_axes(arm, other) <= {"residual", "norm"} and other.norm == RESIDUAL_NORM
        ]
        baseline = next(
            (
                other
                for others, names in ((alike, BASELINES), (elsewhere, (RESIDUAL,)))
                for name in names
                for other in others
                if other.residual == name
            ),
            None,
        )
        if baseline is not None and baseline.residual != arm.residual:
            yield arm, baseline


def _against(words: str, arms: Sequence[ArmKey]) -> list[Pair]:
    """Every arm with the one that `words` name among those that agree with it in all else."""
    named: dict[str, Value] = {}
    for word in words.replace(",", " ").split():
        key, _, text = word.rpartition("=")
        matches = [
            (axis, value)
            for arm in arms
            for axis, value in arm.values().items()
            if as_typed(value) == text and key in ("", axis, axis.rpartition(".")[2])
        ]
        if not matches:
            raise UserError(f"--against {words}: nothing here is {word}; there are {_labels(arms)}")
        named |= matches[:1]
    baselines = [arm for arm in arms if named.items() <= arm.values().items()]
    if len(baselines) == len(arms):
        axes = sorted({axis for arm in arms for axis in differing_axes(arm, arms[0])})
        others = f"; they differ in {' and '.join(axes)} only: {_labels(arms)}" if axes else ""
        raise UserError(f"--against {words}: nothing to compare, all columns are {words}{others}")
    pairs = [
        (arm, baseline)
        for arm in arms
        if arm not in baselines
        for baseline in [
            other for other in baselines if differing_axes(arm, other) <= named.keys()
        ][:1]
    ]
    if not pairs:
        raise UserError(
            f"--against {words}: there is nothing to compare with it; there are {_labels(arms)}"
        )
    return pairs


def _differing_in(axis: str, arms: Sequence[ArmKey]) -> list[Pair]:
    """Arms that differ in this axis alone, each with those before it in its order."""
    if axis not in arms[0].values():
        raise UserError(
            f"--compare {axis}: sets no columns apart; there are {', '.join(arms[0].values())}"
        )
    order = sorted(
        {as_typed(arm.value(axis)): arm.value(axis) for arm in arms}.values(), key=by_value
    )
    if axis == "residual":
        order.sort(key=lambda name: (name not in BASELINES, name != BASELINE))
    pairs = [
        (arm, other)
        for other in arms
        for arm in arms
        if differing_axes(arm, other) == {axis}
        and order.index(other.value(axis)) < order.index(arm.value(axis))
    ]
    if not pairs:
        raise UserError(
            f"--compare {axis}: no two columns differ in it alone; try --where, or --against"
        )
    return pairs


def differing_axes(arm: ArmKey, other: ArmKey) -> set[str]:
    """Axes in which two arms differ, but for settings of a scheme if the schemes differ."""
    mine, others = arm.values(), other.values()
    if arm.residual != other.residual:
        mine, others = (
            {axis: value for axis, value in values.items() if not axis.startswith(_SCHEME)}
            for values in (mine, others)
        )
    return {axis for axis in mine if mine[axis] != others[axis]}


def _labels(arms: Sequence[ArmKey]) -> str:
    """The arms by what they differ in, each once."""
    return ", ".join(dict.fromkeys(_label(arm, arms) for arm in arms))


def _label(arm: ArmKey, arms: Sequence[ArmKey]) -> str:
    """The values by which an arm differs from some other."""
    return " ".join(
        as_typed(value)
        for axis, value in arm.values().items()
        if len({as_typed(other.value(axis)) for other in arms}) > 1
    )
