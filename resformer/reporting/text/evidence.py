"""Evidence in words, hedged where the comparisons do not show it."""

from collections.abc import Sequence

from resformer.reporting.analysis.evidence import Contrast, Count, Evidence, Lead, TooFewSeeds
from resformer.reporting.schema import ArmKey, Comparison, varying
from resformer.reporting.text.words import NORMS, interval, p_is, value_label

_MOST_LISTED = 4


def evidence_words(evidence: Evidence) -> str:
    """A few contrasts one by one, many in one count; and how many seeds it would take."""
    contrasts = evidence.contrasts
    if len(contrasts) > _MOST_LISTED:
        words = [_counted(contrasts)]
    else:
        keys = [contrast.comparison.key for contrast in contrasts]
        words = [_contrast(contrast, keys, evidence.tested) for contrast in contrasts]
    if evidence.too_few is not None:
        words.append(_too_few(evidence.too_few, evidence.tested))
    return "; ".join(words)


def _counted(contrasts: Sequence[Contrast]) -> str:
    p = [
        contrast.comparison.p_adjusted
        for contrast in contrasts
        if contrast.comparison.p_adjusted is not None
    ]
    smallest = f", the smallest {p_is(min(p))}" if p else ""
    significant = sum(contrast.significant for contrast in contrasts)
    return (
        f"{significant} of {len(contrasts)} comparisons are significant after correction{smallest}"
    )


def _contrast(contrast: Contrast, keys: Sequence[ArmKey], tested: int) -> str:
    """Difference in counts, or else in steps; the p-value; and the depths that disagree."""
    row = contrast.comparison
    words = f"{_label(row.key, keys)}{_lead(contrast.lead, row) if contrast.lead else _steps(row)}"
    if row.p_adjusted is not None:
        words += f", {_test(contrast, row.p_adjusted, tested)}"
    if row.ratio is not None and contrast.opposed_depths:
        depths = ", ".join(map(str, contrast.opposed_depths))
        slower = "slower" if row.ratio < 1 else "faster"
        words += f" (at depth {depths} {row.scheme.name} is {slower})"
    return words


def _label(key: ArmKey, keys: Sequence[ArmKey]) -> str:
    """The axes by which a comparison differs from the others, "" if there are none."""
    words = [
        NORMS.get(key.norm, key.norm) if axis == "norm" else value_label(axis, key.value(axis))
        for axis in varying(keys)
        if axis != "residual"
    ]
    return f"{', '.join(words)}: " if words else ""


def _lead(lead: Lead, row: Comparison) -> str:
    """For example: 5 of 5 seeds with add against 0 of 5 with plain at every depth from 4."""
    shallowest, deepest = lead.depths[0], lead.depths[-1]
    if len(lead.depths) == 1:
        depths = f"depth {shallowest}"
    else:
        depths = f"every depth from {shallowest}{'' if lead.to_deepest else f' to {deepest}'}"
    return (
        f"{_count(lead.scheme)} seeds with {row.scheme.name} against {_count(lead.baseline)} with "
        f"{row.baseline.name} at {depths}"
    )


def _count(count: Count) -> str:
    bound = "" if count.bound == "exactly" else f"{count.bound} "
    return f"{bound}{count.solved} of {count.seeds}"


def _steps(row: Comparison) -> str:
    """The ratio of steps, where as many seeds solve with the scheme as with its baseline."""
    if not row.scheme.solved + row.baseline.solved:
        return "no seed solves it, and there is nothing to test"
    if row.ratio is None:
        return "as many seeds solve it, but none ran in both, so that there is no ratio of steps"
    bound = {"upper": "at most ", "lower": "at least "}.get(row.bound or "", "")
    within = " spent within the budget" if row.bound == "unknown" else ""
    between = chance = ""
    if row.low is not None and row.high is not None:
        between = f" (95 % interval {interval(row.low, row.high, '.2f')})"
        chance = ", which may be chance" if row.low <= 1 <= row.high else ""
    return (
        f"as many seeds solve it with {row.scheme.name} as with {row.baseline.name} at every "
        f"depth, in {bound}{row.ratio:.2f} times the steps{within}{chance}{between}"
    )


def _test(contrast: Contrast, p: float, tested: int) -> str:
    """The p-value; and the arm that the test favours, if that arm is not ahead."""
    over = "over all depths "
    if contrast.opposed:
        over += f"the test favours {contrast.comparison.favours}, "
    exact = "exact" if contrast.exact else "permutation"
    corrected = f" corrected for {tested} comparisons" if tested > 1 else ""
    significant = "" if contrast.significant else ", not significant"
    return f"{over}{exact} {p_is(p)}{corrected}{significant}"


def _too_few(few: TooFewSeeds, tested: int) -> str:
    seeds = (
        f"{few.scheme}" if few.scheme == few.baseline else f"{few.scheme} against {few.baseline}"
    )
    noun = "seed" if seeds == "1" else "seeds"
    after = " after correction" if tested > 1 else ""
    return f"{seeds} {noun} cannot reach significance{after} here, {few.needed} could"
