"""Train the members of one job together; what they did comes back as rows."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as nnf
from torch import Tensor

from resformer import streams
from resformer.errors import Incompatible, require
from resformer.events import Progress
from resformer.model import ModelSettings, Transformer
from resformer.optim import adamw, clip
from resformer.residuals.base import Residual
from resformer.tasks.base import Task
from resformer.weights import initial

Outcome = Literal["solved", "unsolved", "diverged"]
Floats = npt.NDArray[np.float64]

_HELD_OUT_SEED = 0
_STALLED = 0.95
"""An unsolved member whose last held-out loss is at least this share of the blind loss learnt nothing."""


@final
@dataclass(frozen=True)
class TrainSettings:
    """How every member is trained. Values stand in `configs/config.yaml`; here is what is allowed."""

    steps: int
    """The budget."""
    batch: int
    """B, fresh sequences per member and step."""
    warmup_steps: int
    """The learning rate rises linearly over these, then stays."""
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    clip: float
    """Largest gradient norm of a member."""
    eval_every: int
    """Steps between two evaluations on the held-out set."""
    eval_sequences: int
    """Sequences of the held-out set."""
    target_accuracy: float
    """Share of held-out tokens at which a member counts as having solved the task."""
    patience: int
    """Evaluations in a row above the divergence bound after which a member counts as diverged."""
    stop_when_solved: bool
    """A member that has solved leaves; otherwise it trains on to the budget."""

    def __post_init__(self) -> None:
        def between(setting: str, low: float, high: float, unit: str = "") -> None:
            value = getattr(self, setting)
            require(low <= value <= high, f"train.{setting}", value, f"must be from {low:,} to {high:,}{unit}")

        between("steps", 1, 10_000_000)
        between("batch", 1, 65_536, " sequences")
        between("warmup_steps", 0, 10_000_000)
        between("weight_decay", 0.0, 1000.0)
        between("eval_every", 1, 10_000_000, " steps")
        between("eval_sequences", 1, 65_536)
        between("patience", 1, 1_000_000, " evaluations")
        for setting in ("beta1", "beta2"):
            value = getattr(self, setting)
            require(0 <= value < 1, f"train.{setting}", value, "must be at least 0 and under 1")
        for setting in ("eps", "clip"):
            value = getattr(self, setting)
            require(0 < value < math.inf, f"train.{setting}", value, "must be positive")
        require(0 < self.target_accuracy <= 1, "train.target_accuracy", self.target_accuracy, "must be in (0, 1]")


@final
@dataclass(frozen=True)
class Member:
    """One independent training within a shape."""

    seed: int
    lr: float
    """Learning rate."""

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**32, "member.seed", self.seed, "must be a whole number from 0 to 4294967295")
        require(0 <= self.lr < math.inf, "member.lr", self.lr, "must be 0 or a positive number")


@final
@dataclass(frozen=True)
class Shape:
    """Everything that is the same inside one batch, resolved: no `own`, no `auto`, no null."""

    task: Task
    model: ModelSettings
    residual: Residual
    train: TrainSettings
    device: str
    """cpu or cuda."""

    def __post_init__(self) -> None:
        self.transformer()
        sources, held_out = self.task.symbols**self.task.length, self.train.eval_sequences
        if sources < 100 * held_out:
            raise Incompatible(
                f"task.length={self.task.length}: with task.symbols={self.task.symbols} there are {sources:,} "
                f"different sequences; accuracy on held-out ones needs {100 * held_out:,} (100 × train.eval_sequences)"
            )

    def transformer(self) -> Transformer:
        """The model that a member of this shape is."""
        attention = self.model.attention
        return Transformer(
            self.model, self.residual, self.task.vocabulary, self.task.tokens(attention), self.task.length
        )


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


@final
@dataclass
class _Record:
    """One member's evaluations and what follows from them."""

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    outcome: Outcome = "unsolved"
    solved_step: int | None = None
    diverged_step: int | None = None
    high_in_a_row: int = 0
    """Evaluations above the divergence bound, up to now."""

    def evaluated(self, step: int, loss: float, accuracy: float) -> None:
        self.steps.append(step)
        self.losses.append(loss)
        self.accuracies.append(accuracy)

    def judge(self, settings: TrainSettings, bound: float, broke_at: int | None) -> bool:
        """Update the outcome; returns whether the member leaves.

        `broke_at` is the first step with a non-finite loss or gradient; `bound` is 2·ln V.
        """
        high = self.losses[-1] > max(bound, self.losses[0]) and self.steps[-1] > settings.warmup_steps
        self.high_in_a_row = self.high_in_a_row + 1 if high else 0
        lost = self.high_in_a_row >= settings.patience
        broken = broke_at is not None or not math.isfinite(self.losses[-1])
        if self.outcome == "unsolved":
            if all(accuracy >= settings.target_accuracy for accuracy in self.accuracies[-2:]) and len(self.steps) > 1:
                self.outcome, self.solved_step = "solved", self.steps[-2]
            elif broken or lost:
                self.outcome, self.diverged_step = "diverged", broke_at or self.steps[-1]
        return broken or lost or (self.outcome == "solved" and settings.stop_when_solved)


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

    records = [_Record() for _ in members]
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
        runs=_runs(shape, members, records),
        curves=_curves(members, records, loss_SP.cpu().numpy(), norm_SP.cpu().numpy()),
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


def _runs(shape: Shape, members: Sequence[Member], records: Sequence[_Record]) -> dict[str, list[object]]:
    blind = shape.task.blind_loss()
    return {
        "seed": [member.seed for member in members],
        "lr": [member.lr for member in members],
        "outcome": [record.outcome for record in records],
        "stalled": [record.outcome == "unsolved" and record.losses[-1] >= _STALLED * blind for record in records],
        "solved_step": [record.solved_step for record in records],
        "diverged_step": [record.diverged_step for record in records],
        "last_step": [record.steps[-1] for record in records],
        "final_loss": [record.losses[-1] for record in records],
        "final_accuracy": [record.accuracies[-1] for record in records],
    }


def _curves(
    members: Sequence[Member], records: Sequence[_Record], loss_SP: Floats, norm_SP: Floats
) -> dict[str, npt.NDArray[np.generic]]:
    """A row per member and step 0 … its last: what its batch cost in that step, and the evaluation after it."""
    parts: dict[str, list[npt.NDArray[np.generic]]] = {
        name: [] for name in ("seed", "lr", "step", "loss", "gradient_norm", "held_out_loss", "held_out_accuracy")
    }
    for column, (member, record) in enumerate(zip(members, records, strict=True)):
        last = record.steps[-1]
        held_out = np.full((2, last + 1), math.nan)
        held_out[:, record.steps] = record.losses, record.accuracies
        parts["seed"].append(np.full(last + 1, member.seed))
        parts["lr"].append(np.full(last + 1, member.lr))
        parts["step"].append(np.arange(last + 1))
        parts["loss"].append(np.concatenate([[math.nan], loss_SP[:last, column]]))
        parts["gradient_norm"].append(np.concatenate([[math.nan], norm_SP[:last, column]]))
        parts["held_out_loss"].append(held_out[0])
        parts["held_out_accuracy"].append(held_out[1])
    return {name: np.concatenate(pieces) for name, pieces in parts.items()}
