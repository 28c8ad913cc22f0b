"""Shape of a batch of trainings, and its members: everything that is trained."""

from dataclasses import dataclass
from typing import Any, final

from resformer import plugins
from resformer.errors import Incompatible, require
from resformer.keys import COARSE, FINE, PRECISIONS, SCHEDULES
from resformer.model.settings import ModelSettings
from resformer.model.transformer import Transformer
from resformer.optimizers.base import Optimizer
from resformer.residuals.base import Residual
from resformer.tasks.base import Task


@final
@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of the training of every member.

    Their values are in `configs/config.yaml`, their limits here.
    """

    steps: int
    """Budget of steps."""
    batch: int
    """B, fresh sequences per member and step."""
    warmup_steps: int
    """Steps over which the learning rate rises linearly to its peak, `member.lr`."""
    schedule: str
    """Course of the learning rate from there: constant, cosine, linear or wsd."""
    final_lr: float | None
    """Learning rate at the last step, as a share of the peak; None with constant."""
    decay_all: bool
    """True if the optimiser's weight decay is of every parameter, False to leave out biases, norms
    and all that a residual scheme learns.
    """
    dropout: float
    """Share of the numbers of each branch that are left out in training."""
    clip: float | None
    """Largest gradient norm of a member; None: gradients are not clipped."""
    eval_every: int | None
    """Steps between two evaluations on the held-out set; None: `FINE`, then every `COARSE`."""
    eval_sequences: int
    """Sequences of the held-out set."""
    target_accuracy: float | None
    """Share of held-out targets from which on a member counts as having solved the task; None: no
    accuracy is enough.
    """
    target_loss: float | None
    """Largest held-out loss at which a member counts as having solved the task, in place of the
    accuracy; None: the accuracy decides.
    """
    patience: int
    """Steps above the divergence bound after which a member counts as diverged."""
    stop_when_solved: bool
    """True to stop a member once it has solved, False to train it on to the budget."""
    compile: bool
    """True to compute with compiled kernels, False with torch's own operations."""
    precision: str
    """Precision of matrix products: fp32, bf16, or tf32 on a GPU. Parameters and moments are
    float32 in any case. With bf16 the rest is as torch's autocast has it: products are rounded to
    bf16, and so is what follows them without a float32 partner, such as ReLU, on the CPU softmax as
    well, and without norms and skips the whole stream.
    """

    def __post_init__(self) -> None:
        def between(setting: str, low: float, high: float, unit: str = "") -> None:
            value = getattr(self, setting)
            require(
                low <= value <= high,
                f"train.{setting}",
                value,
                f"must be from {low:,} to {high:,}{unit}",
            )

        between("steps", 1, 10_000_000)
        between("batch", 1, 65_536, " sequences")
        between("warmup_steps", 0, 10_000_000)
        if self.eval_every is not None:
            between("eval_every", 1, 10_000_000, " steps")
        between("eval_sequences", 1, 65_536)
        between("patience", 1, 10_000_000, " steps")
        if self.final_lr is not None:
            between("final_lr", 0.0, 1.0)
        must = f"must be a number with train.schedule={self.schedule}"
        ends = self.schedule == "constant" or self.final_lr is not None
        require(ends, "train.final_lr", "null", must)
        if self.schedule != "constant" and self.warmup_steps >= self.steps:
            raise Incompatible(
                f"train.warmup_steps={self.warmup_steps}: must be under "
                f"train.steps={self.steps} with train.schedule={self.schedule}, which falls from "
                "there"
            )
        require(0 <= self.dropout < 1, "train.dropout", self.dropout, "must be at least 0, under 1")
        if self.clip is not None:
            between("clip", 1e-30, 1e30, ", or null")
        for setting, words in (("precision", PRECISIONS), ("schedule", SCHEDULES)):
            value = getattr(self, setting)
            require(value in words, f"train.{setting}", value, f"must be one of {', '.join(words)}")
        if self.target_accuracy is not None:
            require(
                0 < self.target_accuracy <= 1,
                "train.target_accuracy",
                self.target_accuracy,
                "must be in (0, 1], or null",
            )
        if self.target_loss is not None:
            between("target_loss", 0.0, 1e30, ", or null")

    @property
    def has_target(self) -> bool:
        """True if a member can solve its task. Otherwise all train to the budget."""
        return self.target_accuracy is not None or self.target_loss is not None

    def on_target(self, loss: float, accuracy: float) -> bool:
        """Return True if an evaluation reaches the target."""
        if self.target_loss is not None:
            return loss <= self.target_loss
        return self.target_accuracy is not None and accuracy >= self.target_accuracy

    def eval_interval(self, step: int) -> int:
        """Steps between two evaluations around this step."""
        if self.eval_every is not None:
            return self.eval_every
        return next((every for until, every in FINE if step <= until), COARSE)

    def evaluated_at(self, step: int) -> bool:
        """True if members are evaluated after so many steps."""
        return step == self.steps or self.evaluated_beyond(step)

    def evaluated_beyond(self, step: int) -> bool:
        """True if members are evaluated after so many steps within longer budgets, too."""
        return step % self.eval_interval(step) == 0

    @property
    def begins_longer_ones(self) -> bool:
        """True if a training is the beginning of one with a larger budget."""
        return self.schedule == "constant"

    @property
    def longest_interval(self) -> int:
        """Largest number of steps between two evaluations."""
        return min(self.steps, self.eval_interval(self.steps))

    @property
    def num_evaluations(self) -> int:
        """Evaluations within the budget, without the one before training."""
        return sum(map(self.evaluated_at, range(1, self.steps + 1)))


@final
@dataclass(frozen=True, kw_only=True)
class Recording:
    """Data kept beside the results of a job. No result depends on it, so it is part of no id."""

    keep_weights: bool = False
    """True to keep the parameters that each member has at its last step."""
    probe_every: int | None = None
    """Steps between two probes of every layer while training; None: never."""

    def __post_init__(self) -> None:
        if self.probe_every is not None:
            require(
                1 <= self.probe_every <= 10_000_000,
                "probe.every",
                self.probe_every,
                "must be from 1 to 10,000,000, or null",
            )

    def union(self, other: "Recording") -> "Recording":
        """Recording that keeps what either keeps, with the shorter interval between probes."""
        intervals = [each for each in (self.probe_every, other.probe_every) if each is not None]
        return Recording(
            keep_weights=self.keep_weights or other.keep_weights,
            probe_every=min(intervals, default=None),
        )

    def covers(self, other: "Recording") -> bool:
        """True if all that `other` keeps is kept by this one."""
        return self.keep_weights >= other.keep_weights and (
            other.probe_every in (None, self.probe_every)
        )


RESULTS_ONLY = Recording()


@final
@dataclass(frozen=True, kw_only=True)
class Member:
    """One independent training within a shape."""

    seed: int
    lr: float
    """Learning rate."""

    def __post_init__(self) -> None:
        require(
            0 <= self.seed < 2**32,
            "member.seed",
            self.seed,
            "must be a whole number from 0 to 4294967295",
        )
        require(0 <= self.lr <= 1e30, "member.lr", self.lr, "must be from 0 to 1e30")


@final
@dataclass(frozen=True, kw_only=True)
class Shape:
    """Settings that all members of a batch share, resolved: no `own`, no `auto`, no null."""

    task: Task
    model: ModelSettings
    residual: Residual[Any]
    optimizer: Optimizer
    train: TrainSettings
    device: str
    """cpu or cuda."""

    def __post_init__(self) -> None:
        self.transformer()
        self._check_backend()
        kind = self.model.parametrisation
        if kind != "standard" and not self.optimizer.goes_with_parametrisations:
            raise Incompatible(
                f"model.parametrisation={kind}: has no factors for "
                f"optimizer={plugins.name_of(self.optimizer)}; adamw would work"
            )
        if (attention := self.model.attention) not in self.task.attentions:
            raise Incompatible(
                f"model.attention={attention}: would see the targets of "
                f"task={plugins.name_of(self.task)}; {' or '.join(self.task.attentions)} would work"
            )
        self._check_held_out()

    def _check_held_out(self) -> None:
        task, sequences = self.task, self.train.eval_sequences
        if (apart := task.num_held_out) is not None:
            if apart < sequences:
                raise Incompatible(
                    f"train.eval_sequences={sequences}: must be at most {apart:,}, the sources of "
                    f"{task.settings_text()} that are not for training"
                )
        elif task.num_inputs < 100 * sequences:
            raise Incompatible(
                f"{task.settings_text()}: there are {task.num_inputs:,} different sources; "
                f"accuracy on held-out ones needs {100 * sequences:,} (100 × train.eval_sequences)"
            )

    def _check_backend(self) -> None:
        precision = self.train.precision
        if precision == "tf32" and self.device != "cuda":
            raise Incompatible("train.precision=tf32: needs a GPU; fp32 and bf16 work here")
        if self.train.compile and self.device != "cuda" and precision != "fp32":
            raise Incompatible(
                "train.compile=true: the kernels for the CPU are for train.precision=fp32, not "
                f"{precision}"
            )

    def transformer(self) -> Transformer:
        """Model of a member of this shape."""
        train = self.train
        return model_for(
            self.task, self.model, self.residual, dropout=train.dropout, compiled=train.compile
        )


def model_for(
    task: Task,
    settings: ModelSettings,
    residual: Residual[Any],
    *,
    dropout: float = 0.0,
    compiled: bool = False,
) -> Transformer:
    """Model of these settings that reads and writes what a task has."""
    return Transformer(
        settings=settings,
        residual=residual,
        vocabulary=task.vocabulary,
        numbers=task.numbers,
        from_last=task.from_last,
        tokens=task.num_tokens(settings.attention),
        num_targets=task.sequence_length,
        dropout=dropout,
        compile=compiled,
    )
