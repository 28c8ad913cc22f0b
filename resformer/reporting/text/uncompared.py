"""Reports without a comparison in words: the reason, and the arms with their learning rates."""

from collections.abc import Collection, Sequence

from resformer.reporting.schema import ArmKey, Report, varying
from resformer.reporting.text.words import NORMS, listed, value_label

_NO_BASELINE = "nothing is compared, as no column has a baseline here"
_NO_SHARED_RATE = "nothing is compared, as no learning rate ran in both"


def why_nothing(report: Report, arms: Collection[ArmKey]) -> str:
    """The reason why none of these arms is compared."""
    return _NO_SHARED_RATE if rates_differ(report, arms) else _NO_BASELINE


def rates_differ(report: Report, arms: Collection[ArmKey]) -> bool:
    """True if some of these arms, none of which is compared, would be, had they a learning rate in
    common.
    """
    return any(0 in row.ran for row in report.incomplete_rates if row.key.arm in arms)


def arm_words(key: ArmKey, keys: Sequence[ArmKey]) -> str:
    """The values by which an arm differs from the others of these, as a sentence has them: scheme
    and norm, then the others in parentheses.
    """
    axes = varying(keys)
    words = {axis: value_label(axis, key.value(axis)) for axis in axes}
    if "norm" in words:
        words["norm"] = NORMS.get(key.norm, key.norm)
    first = [axis for axis in ("residual", "norm") if axis in axes] or axes[:1]
    rest = ", ".join(words[axis] for axis in axes if axis not in first)
    return " ".join(words[axis] for axis in first) + (f" ({rest})" if rest else "")


def at_rates(report: Report, arm: ArmKey) -> str:
    """The learning rates at which an arm ran."""
    rates = sorted({rate.lr for rate in report.rates if rate.key.arm == arm})
    return f"at learning rate{'s' * (len(rates) > 1)} {listed([f'{rate:g}' for rate in rates])}"
