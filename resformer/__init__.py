"""A lab bench for residual connections: how deep a transformer can train, how fast, and why it
stops.

What studies found, as data: `studies`, `runs`, `curves`, `layers` and `report`. What they need is
imported when they are called.
"""

from typing import TYPE_CHECKING, Any

from resformer.workers import environment

environment.for_results()

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd

    from resformer.results.members import Findings

__version__ = "0.1.0"
__all__ = ["curves", "layers", "report", "runs", "studies"]


def studies(results: "str | Path" = "results") -> list[str]:
    """Names of the studies in a results folder, the one launched last first."""
    from pathlib import Path

    from resformer.store.study import existing

    return [study.name for study in existing(Path(results))]


def runs(study: str, results: "str | Path" = "results") -> "pd.DataFrame":
    """A row per finished member of a study, that is one training; `resformer export` writes the
    same as `runs`.

        study, job                the study's name; the id of the job that trained the member, which
                                  is its folder, `jobs/<2 digits>/<id>`
        task, depth, residual, norm, optimizer
                                  `task.name`, `model.depth` (blocks), `model.residual.name`,
                                  `model.norm`, `optimizer.name`
        model                     the preset that has the block's settings, `own` if none has; of a
                                  block of one's own the path, `model.module`
        task.*, model.*, optimizer.*, train.*, probe.*, device
                                  every other setting by its key; missing where a scheme or task has
                                  no such setting
        seed, lr                  `member.seed`, `member.lr` (learning rate)
        outcome                   `solved`, `unsolved` or `diverged`
        stalled                   whether an unsolved member learnt nothing from its input: last
                                  held-out loss at least 0.95 × `blind_loss`
        solved_step               step of the first of two evaluations in a row at the target;
                                  missing if there is none
        diverged_step             first step with a non-finite loss or gradient, or the evaluation
                                  that was one too many; else missing
        last_step                 step of the last evaluation, after which training ended
        final_loss, final_accuracy
                                  on the held-out set at the last evaluation: nats per token, share
                                  of tokens; of real numbers, squared error and share of the
                                  variance that is explained
        ms                        milliseconds per member and step while the whole job trained, the
                                  same for all members of the job
        parameters                number of weights of one member
        flops_per_step            floating-point operations of one member's matrix products in a
                                  training step
        tokens_per_step           tokens that one member reads in a training step; missing in plans
                                  that lack it
        blind_loss                loss of the best predictor that sees positions only

    Results that are damaged are left out with a warning. Raises UserError if there is no such study
    or no result.
    """
    from resformer.results import frames

    findings = _findings(study, results)
    _warn(findings.problems.reasons)
    return frames.runs(findings)


def curves(study: str, results: "str | Path" = "results") -> "pd.DataFrame":
    """A row per finished member of a study and step, from 0 (before training) to its last;
    `resformer export` writes the same as `curves`.

        study, job, seed, lr      the member, as in `runs`
        step                      steps taken
        loss                      on the batch of this step, before its update, as in `runs`;
                                  missing at step 0
        gradient_norm             Euclidean norm of that batch's gradient over all weights, before
                                  clipping; missing at step 0
        held_out_loss, held_out_accuracy
                                  on the held-out set after this step; missing between evaluations

    Results that are damaged are left out with a warning. Raises UserError if there is no such study
    or no result.
    """
    import pandas as pd

    from resformer.results import frames
    from resformer.store.checks import Damaged

    findings = _findings(study, results)
    by_job = [part for _, part in frames.curves_by_job(findings)]
    whole = [part for part in by_job if not isinstance(part, Damaged)]
    damaged = [str(part) for part in by_job if isinstance(part, Damaged)]
    if not whole:
        raise frames.no_results(findings, damaged)
    _warn([*findings.problems.reasons, *damaged])
    return pd.concat(whole, ignore_index=True)


def layers(study: str, results: "str | Path" = "results") -> "pd.DataFrame":
    """A row per member of a study that was probed while it trained (`probe.every`), step and layer.

        study, job, seed, lr      the member, as in `runs`
        step, layer               steps taken; 0 is the embedding, then the stream behind each
                                  sub-layer
        rms, similarity, relative_residual, effective_rank
                                  of the stream: size, mean cosine of two tokens, distance to rank
                                  one (0: all tokens are equal), effective rank
        branch_share              share of the sub-layer's output in the stream behind it
        attention_entropy         nats, mean over heads and positions; missing for an FFN
        gradient_*                Euclidean norms of the gradients of a sub-layer's matrices;
                                  missing where a layer does not have them
        mixing_distance           of schemes that mix streams by a matrix (hyper, mhc, …): largest
                                  difference of its entries from those of the identity
        composite_gain_*          largest row sum of the product of these matrices up to a layer
                                  (forward), largest column sum from it on (backward)

    Results that are damaged are left out with a warning. Raises UserError if there is no such study
    or no probed member.
    """
    import pandas as pd

    from resformer.errors import UserError
    from resformer.store.checks import Damaged

    findings = _findings(study, results)
    members = findings.members
    probed = members[members["probe.every"].notna()] if "probe.every" in members else members[:0]
    parts, damaged = list[pd.DataFrame](), list[str]()
    for _, of_job in probed.groupby("job", sort=False) if len(probed) else ():
        try:
            parts.append(findings.read_layers(of_job))
        except Damaged as damage:
            damaged.append(str(damage))
    if not parts:
        reasons = "; ".join([*findings.problems.reasons, *damaged, "probe.every=50 probes members"])
        raise UserError(f"study {study}: no member was probed; {reasons}")
    _warn([*findings.problems.reasons, *damaged])
    table = pd.concat(parts, ignore_index=True)
    first = ["study", "job", "seed", "lr", "step", "layer"]
    return table[[*first, *(name for name in table.columns if name not in first)]]


def report(study: str, results: "str | Path" = "results") -> dict[str, Any]:
    """The JSON of `resformer report STUDY --format json`: a study's cells, rates, limits and
    comparisons.

        study, settings           the study, and the settings that all of its members share
        differing                 of several studies, the settings that set them apart
        where                     the settings that members were chosen by
        per                       with `--per flops` or `tokens`, the unit of medians, means and
                                  speeds: `median_flops` stands for `median_steps`, and so on
        cells                     one per `study`, `task`, `depth`, `residual`, `norm` and whatever
                                  else varies, each seed at the learning rate that the other seeds
                                  found best: `seeds`, and of these `solved`, `unsolved` (of which
                                  `stalled`), `diverged`; `lr` chosen most often, `lr_by_seed`,
                                  `lr_at_edge` of the rates tried; `median_steps` to solve with
                                  `median_low`, `median_high`; `mean_steps`, within the budget, with
                                  `mean_low`, `mean_high`; medians of `final_loss` and
                                  `final_accuracy`; `parameters`, `flops_per_step`,
                                  `ms_per_member_step`; `width` where it comes with the depth
        rates                     one per cell and learning rate `lr`: `seeds`, `solved`,
                                  `mean_steps`, `final_loss`
        best_rates                of the `cells` that solve (with `--score final_loss`, that do not
                                  diverge) and have several rates, those whose `lr` is `inside` the
                                  rates tried, the `smallest` or the `largest`
        incomplete_rates          one per cell with learning `rates` at which not all of its `seeds`
                                  ran, but some, or some of a cell that it is compared with: `ran`,
                                  how many did at each; comparisons use seeds that ran at the same
        settled                   true if a sweep with `--settle` looked at the study twice, which
                                  `p_adjusted` counts as if every comparison had had both looks
        limits                    one per column of cells: `depth_limit`, the last depth of the
                                  unbroken run at which at least half of the seeds solve;
                                  `depth_floor`, where that run begins; `low`, the last depth for
                                  which that is sure, `high`, the last for which it can be; with
                                  `--fit` also `fit`, the depth at which half of the seeds solve,
                                  with `fit_low` and `fit_high`
        comparisons               one per pair of columns, `scheme` against `baseline`, over all
                                  depths (`depth` null), followed by one per depth, both within the
                                  smaller of their budgets (`budget`, steps) and over seeds
                                  that ran at the same learning rates, where these differ a part of
                                  the cells' seeds and rates. At a depth
                                  `scheme_solved` of `scheme_seeds` and `baseline_solved` of
                                  `baseline_seeds`; `p` by exchanging whole seeds, corrected for
                                  depths, over all depths the smallest; `p_adjusted` for the number
                                  of comparisons, `adjusted_by` `holm` or `benjamini-hochberg`;
                                  `exact` if all exchanges were counted; the `verdict` on the scheme
                                  (`better`, `worse`, `undecided`) and the arm it `favours`;
                                  `doublings` of depth that the scheme solves more with
                                  `doublings_low` and `doublings_high`, null of a single depth;
                                  `speed`, the geometric mean of steps, scheme / baseline, at the
                                  depths that every seed of both solved (`speed_depths`), with
                                  `speed_low` and `speed_high`; `named_by`, the axes that name the
                                  two, and `against`, the values in which the baseline differs
        score, losses, stability  with `--score final_loss`, of studies whose members train to the
                                  budget. `losses` are comparisons like those of depth: at a depth
                                  `scheme_loss` and `baseline_loss`, means over seeds in nats per
                                  token; their `difference` with `_low` and `_high`, over all depths
                                  its mean. `stability`, one per cell: `mean_loss`; `learning`, the
                                  share of learning rates at which a seed learns; `lr_sensitivity`
                                  in nats per token; `spikes` per 10,000 steps
        separation                one per study and task of six columns or more: of the `pairs` of
                                  them that differ in scheme or norm only, those told apart
                                  `by_depth`, and `by_speed` only
        rank_correlations         one per study and pair of tasks that share eight `arms` or
                                  more: Spearman's `correlation` with `_low` and `_high` of their
                                  mean log steps to solve by `task` and by `other`; the
                                  reliabilities `of_task` and `of_other` of both rankings, from the
                                  halves of the seeds; and `ceiling`, the correlation of rankings
                                  with these reliabilities that are alike
        layers                    one per cell that was probed while training (`probe.every`),
                                  medians of the seeds' last probes, at `step`: `seeds`, `solved`,
                                  the verdict `health` with the `measure` that decided and its
                                  `value`; behind the last layer `rms`, `similarity`,
                                  `relative_residual`, `effective_rank`, `branch_share`;
                                  `attention_entropy` of the last block; gradient norms
                                  `query_first`, `ffn_first`, `ffn_last`
        mixed_probes              studies whose launches used several versions of the probes, so
                                  that their `layers` may differ for that
        excluded                  combinations of `settings` that were left out, and the `reason`
        left_behind               finished `members` of a `study` that had so many `steps`, left out
                                  as others of the same settings went on to `longer`
        other_code                finished `members` of a `study`, left out as later launches used
                                  other code in these `roles`; none where theirs is unknown
        missing, damaged, failed  jobs without a result, or whose result is not what was written, or
                                  that failed: `study`, `job`, `reason`

    A quantity that does not exist is None, never 0 and never the budget; `low` and `high` are the
    ends of 95 % intervals, at five seeds 93.75 % for a median. Results that are damaged are listed.
    Raises UserError if there is no such study or no result.
    """
    from resformer.reporting.analysis.summary import summarise
    from resformer.reporting.serial import to_json

    return to_json(summarise(_findings(study, results)))


def _findings(study: str, results: "str | Path") -> "Findings":
    from pathlib import Path

    from resformer.results.members import read
    from resformer.store.study import open_study

    return read([open_study(Path(results), study)])


def _warn(reasons: "Iterable[str]") -> None:
    import warnings

    for reason in reasons:
        warnings.warn(f"left out: {reason}", stacklevel=3)
