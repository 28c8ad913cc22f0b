"""Train the members of one job together; what they did comes back as rows."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as nnf
from torch import Tensor

from resformer import streams
from resformer.events import Progress
from resformer.model import Transformer
from resformer.optim import adamw, clip
from resformer.record import Floats, Record, curves, runs
from resformer.shape import Member, Shape
from resformer.weights import initial

_HELD_OUT_SEED = 0


@final
@dataclass(frozen=True)
class Trained:
    """What a job's members did.

    `runs` has a row per member, in the order given; `curves` a row per member and step. Wall times are apart in
    `timing`, so that equal trainings give equal rows: the seconds in all, and for every stretch between two
    evaluations how many members trained for how many steps in how many seconds.
    """

    runs: dict[str, list[object]]
    curves: dict[str, npt.NDArray[np.generic]]
    timing: dict[str, Any]


def train(
    shape: Shape,
    members: Sequence[Member],
    tell: Callable[[Progress], None],
    beat: Callable[[], None],
    dtype: torch.dtype = torch.float32,
) -> Trained:
    """Train `members` together until each has solved, diverged or used up the budget.

    `tell` is called at every evaluation, `beat` several times a step; either may raise to stop. Members that have
    solved or diverged leave the batch.
    """
    began = time.perf_counter()
    settings, model, device = shape.train, shape.transformer(), torch.device(shape.device)
    seed_P = torch.tensor([member.seed for member in members])
    lr_P = torch.tensor([member.lr for member in members], dtype=dtype, device=device)
    flat_PN = initial(model.weights(), seed_P, dtype).to(device)
    seed_P = seed_P.to(device)
    optimiser = adamw(flat_PN, settings.beta1, settings.beta2, settings.eps, settings.weight_decay)
    reads_1BT, answers_1BS = _held_out(shape, device)

    records = [Record() for _ in members]
    alive = torch.arange(len(members), device=device)
    loss_SP, norm_SP = (torch.full((settings.steps, len(members)), math.nan, device=device) for _ in range(2))
    stretches: list[dict[str, float]] = []
    evaluated_at, mark = 0, began
    for step in range(settings.steps + 1):
        if step % settings.eval_every == 0 or step == settings.steps:
            since = slice(evaluated_at, step)
            finite_P = (torch.isfinite(loss_SP[since]) & torch.isfinite(norm_SP[since]))[:, alive].cpu()
            if step:
                taken = time.perf_counter() - mark
                stretches.append({"members": len(alive), "steps": step - evaluated_at, "seconds": taken})
            loss_P, accuracy_P = _evaluate(model, flat_PN, reads_1BT, answers_1BS)
            staying = []
            for row, index in enumerate(alive.tolist()):
                records[index].evaluated(step, loss_P[row], accuracy_P[row])
                broke_at = None if finite_P[:, row].all() else evaluated_at + int(finite_P[:, row].long().argmin()) + 1
                if not records[index].judge(settings, 2 * math.log(model.vocabulary), broke_at):
                    staying.append(row)
            if len(staying) < len(alive):
                rows = torch.tensor(staying, dtype=torch.int64, device=device)
                flat_PN, seed_P, lr_P, alive = flat_PN[rows], seed_P[rows], lr_P[rows], alive[rows]
                optimiser.keep(rows)
            outcomes = [record.outcome for record in records]
            tell(
                Progress(
                    step=step,
                    steps=settings.steps,
                    members=len(staying),
                    solved=outcomes.count("solved"),
                    diverged=outcomes.count("diverged"),
                    loss=float(np.median(loss_P)),
                    accuracy=float(np.median(accuracy_P)),
                )
            )
            if not staying or step == settings.steps:
                break
            evaluated_at, mark = step, time.perf_counter()
        beat()
        state_P = streams.stream(seed_P, "batch", step)
        source_PBS, answers_PBS = shape.task.draw(state_P, settings.batch)
        reads_PBT = shape.task.reads(source_PBS, answers_PBS, shape.model.attention)
        flat_PN.requires_grad_()
        batch_loss_P = _loss(model.forward(flat_PN, reads_PBT), answers_PBS)
        beat()
        (grad_PN,) = torch.autograd.grad(batch_loss_P.sum(), flat_PN)
        beat()
        flat_PN = flat_PN.detach()
        loss_SP[step, alive] = batch_loss_P.detach().to(loss_SP.dtype)
        norm_SP[step, alive] = clip(grad_PN, settings.clip).to(norm_SP.dtype)
        optimiser.step(flat_PN, grad_PN, lr_P * min(1.0, (step + 1) / max(1, settings.warmup_steps)))
    return Trained(
        runs=runs(shape, members, records),
        curves=curves(members, records, loss_SP.cpu().numpy(), norm_SP.cpu().numpy()),
        timing={"seconds": time.perf_counter() - began, "stretches": stretches},
    )


def _held_out(shape: Shape, device: torch.device) -> tuple[Tensor, Tensor]:
    """What is read and the answers of the held-out set, (1, B, ·): the same for all members of a task."""
    state_1 = streams.stream(torch.tensor([_HELD_OUT_SEED], device=device), "held-out")
    source, target = shape.task.draw(state_1, shape.train.eval_sequences)
    return shape.task.reads(source, target, shape.model.attention), target


def _loss(logits_PBSV: Tensor, answers_PBS: Tensor) -> Tensor:
    """Mean cross-entropy of each member, (P,), nats per scored token."""
    each = nnf.cross_entropy(logits_PBSV.flatten(0, 2), answers_PBS.flatten(), reduction="none")
    return each.view(len(answers_PBS), -1).mean(dim=1)


@torch.no_grad()
def _evaluate(model: Transformer, flat_PN: Tensor, reads_1BT: Tensor, answers_1BS: Tensor) -> tuple[Floats, Floats]:
    """Loss (nats per token) and accuracy (share of tokens) of each member on the held-out set, (P,) each."""
    members = len(flat_PN)
    answers_PBS = answers_1BS.expand(members, -1, -1)
    logits_PBSV = model.forward(flat_PN, reads_1BT.expand(members, -1, -1))
    right_PBS = logits_PBSV.argmax(dim=-1) == answers_PBS
    accuracy_P = right_PBS.flatten(1).to(torch.float64).mean(dim=1)
    return _loss(logits_PBSV, answers_PBS).cpu().numpy().astype(np.float64), accuracy_P.cpu().numpy()
