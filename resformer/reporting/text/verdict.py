"""A sentence per task: how deep each scheme goes, how sure that is; and what residuals cost."""

from collections.abc import Mapping, Sequence

from resformer.reporting.analysis.comparisons import BASELINE
from resformer.reporting.analysis.verdict import RESIDUAL, Reach, Verdict, cost, verdicts
from resformer.reporting.schema import ArmKey, Report, varying
from resformer.reporting.text.evidence import evidence_words
from resformer.reporting.text.words import NORMS

_MANY = 4
"""More schemes than these are grouped by how deep they go."""


def verdict_sentences(report: Report) -> list[str]:
    """A sentence per study and task, within its budget and learning rates."""
    given = verdicts(report)
    several = len({verdict.study for verdict in given}) > 1
    return [_sentence(verdict, several) for verdict in given]


def _sentence(verdict: Verdict, several_studies: bool) -> str:
    budget = f"{verdict.budget} steps" if verdict.budget is not None else "each cell's budget"
    rates = verdict.rates
    tuned = "these learning rates" if len(rates) > 1 else f"learning rate {rates[0]:g}"
    task = f"{verdict.task} ({verdict.study})" if several_studies else verdict.task
    reach = {scheme: _scheme_reach(verdict, scheme) for scheme in verdict.schemes}
    solved = (
        "; ".join(_grouped(verdict, reach)) if len(reach) > _MANY else ", ".join(_listed(reach))
    )
    evidence = f": {evidence_words(verdict.evidence)}" if verdict.evidence is not None else ""
    return f"Within {budget} and {tuned}, {task} is solved {solved}{evidence}."


def _listed(reach: Mapping[str, str]) -> list[str]:
    """Phrases, one per scheme; a single one if all go as deep."""
    schemes = list(reach)
    if len(schemes) > 1 and len(set(reach.values())) == 1:
        names = " and ".join(_with(scheme, schemes) for scheme in schemes)
        return [f"{reach[schemes[0]]}, {names} alike"]
    return [f"{_with(scheme, schemes)} {depths}" for scheme, depths in reach.items()]


def _grouped(verdict: Verdict, reach: Mapping[str, str]) -> list[str]:
    """Phrases, one for all schemes that go as deep, the deepest first."""
    deepest = {
        scheme: max(arm.limit or 0 for key, arm in verdict.reach.items() if key.residual == scheme)
        for scheme in reach
    }
    phrases = []
    for depths in dict.fromkeys(
        reach[scheme] for scheme in sorted(reach, key=lambda name: -deepest[name])
    ):
        schemes = [scheme for scheme in reach if reach[scheme] == depths]
        names = [
            "residual connections" if scheme == RESIDUAL else scheme
            for scheme in schemes
            if scheme != BASELINE
        ]
        phrase = [f"with {_joined(names)}"] if names else []
        phrase += [_with(BASELINE, list(reach))] if BASELINE in schemes else []
        phrases.append(f"{depths}, {' and '.join(phrase)}")
    return phrases


def _joined(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _with(scheme: str, schemes: Sequence[str]) -> str:
    without = "without them" if RESIDUAL in schemes else "without residual connections"
    return {RESIDUAL: "with residual connections", BASELINE: without}.get(scheme, f"with {scheme}")


def _scheme_reach(verdict: Verdict, scheme: str) -> str:
    """Depths that the arms of a scheme reach; by norm placement if they differ in nothing else."""
    arms = {key: arm for key, arm in verdict.reach.items() if key.residual == scheme}
    depths = {key: _depths(arm) for key, arm in arms.items()}
    if len(set(depths.values())) == 1:
        return next(iter(depths.values()))
    if len({key.norm for key in arms}) < len(arms):
        return _span(arms)
    return " and ".join(
        f"{words} ({NORMS.get(key.norm, key.norm)})" for key, words in depths.items()
    )


def _span(arms: Mapping[ArmKey, Reach]) -> str:
    """The least and the most that arms of a scheme reach, and the axes that it depends on."""
    limits = sorted({arm.limit or 0 for arm in arms.values()})
    least = f"to depth {limits[0]}" if limits[0] else "at no depth"
    most = f" at the least and to depth {limits[-1]} at the most" if len(limits) > 1 else ""
    return f"{least}{most}, depending on {' and '.join(varying(list(arms)))}"


def _depths(arm: Reach) -> str:
    """The unbroken run of depths that an arm solves, of those that were tried."""
    if arm.limit is None:
        return "at no depth"
    if len(arm.tried) == 1:
        return f"at depth {arm.limit}, the only one tried"
    shallowest = arm.floor == arm.tried[0]
    reach = f"to depth {arm.limit}" if shallowest else f"from depth {arm.floor} to {arm.limit}"
    return f"{reach}, the deepest tried" if arm.limit == arm.tried[-1] else reach


def cost_sentence(report: Report) -> str:
    """Cost of residual connections in a sentence; "" without cells that differ in nothing else."""
    more = cost(report)
    if more is None:
        return ""
    parameters = f"up to {more.parameters:,} parameters" if more.parameters else "no parameters"
    flops = (
        f"{more.flops_per_step:,} FLOPs per step" if more.flops_per_step else "no matrix products"
    )
    time = (
        f"; a step took {more.time:.2f} times as long (median over cells)"
        if more.time is not None
        else ""
    )
    return f"Residual connections cost {parameters} and {flops} (FLOPs){time}."
