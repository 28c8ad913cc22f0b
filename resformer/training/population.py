"""The members of a job as they train together: their weights, moments and data, and the step that
moves them all.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from resformer.model.objective import draw, held_out, loss, target_count
from resformer.model.shape import Member, Shape
from resformer.numerics import rng
from resformer.numerics.adamw import AdamW
from resformer.numerics.cuda_graph import CudaGraphedStep
from resformer.numerics.parameters import initial_values
from resformer.training.outcome import Floats

_MOST_DRAWN, _DRAWN_TOKENS = 16, 1 << 24
"""Steps whose data are drawn at once, and tokens: a draw is some fifty small operations, however
many it makes.
"""


@final
class Population:
    """Rows of `flat_PN`, one per member. A step reads nothing back from the device.

    The layers' outputs of so many rows are in memory `at_once`, of all if it is not said; nothing
    is reduced over members, so that no result depends on it, on the CPU no bit.
    """

    def __init__(
        self,
        shape: Shape,
        members: Sequence[Member],
        dtype: torch.dtype,
        chunk_size: int | None = None,
    ) -> None:
        self.shape, self.model, self.device = shape, shape.transformer(), torch.device(shape.device)
        self.chunk_size = chunk_size or len(members)
        train = shape.train
        if self.device.type == "cuda":
            torch.backends.cuda.matmul.fp32_precision = (
                "tf32" if train.precision == "tf32" else "ieee"
            )
        seed_P = torch.tensor([member.seed for member in members])
        self.flat_PN = initial_values(self.model.weights(), seed_P, dtype).to(self.device)
        self.seed_P = seed_P.to(self.device)
        self.lr_P = torch.tensor([member.lr for member in members], dtype=dtype, device=self.device)
        self.optimiser = AdamW(
            *(
                self.model.backend,
                train.clip,
                train.beta1,
                train.beta2,
                train.eps,
                train.weight_decay,
            ),
            *(torch.zeros_like(self.flat_PN), torch.zeros_like(self.flat_PN)),
        )
        self.steps = 0
        self.taken = torch.zeros((), dtype=torch.int64, device=self.device)
        recorded = min(train.eval_every, train.steps)
        self.loss_EP, self.norm_EP = (self.lr_P.new_zeros(recorded, len(members)) for _ in range(2))
        self.held_out = held_out(shape, self.device)
        tokens = len(members) * train.batch * self.model.tokens
        self.drawn = max(1, min(_MOST_DRAWN, _DRAWN_TOKENS // tokens))
        self.reads_CPBT, self.answers_CPBS = self._drawn(0)
        self._take = self._replayed()

    def advance(self) -> None:
        """One step of every member."""
        if self.steps and self.steps % self.drawn == 0:
            self._draw()
        self._take()
        self.steps += 1

    def recorded(self, since: int) -> tuple[Floats, Floats]:
        """Loss (nats per token) and gradient norm before clipping of the steps since then, (steps,
        P) each.

        At most the last `train.eval_every` steps are kept.
        """
        rows = slice(0, self.steps - since)
        return tuple(
            kept[rows].cpu().numpy().astype(np.float64) for kept in (self.loss_EP, self.norm_EP)
        )  # type: ignore[return-value]

    @torch.no_grad()
    def evaluate(self) -> tuple[Floats, Floats]:
        """Held-out loss (nats per token) and accuracy (share of tokens), (P,) each."""
        losses, accuracies = zip(*map(self._evaluated, self._parts()), strict=True)
        return torch.cat(losses).cpu().numpy().astype(np.float64), torch.cat(
            accuracies
        ).cpu().numpy()

    def _evaluated(self, rows: slice) -> tuple[Tensor, Tensor]:
        reads_1BT, answers_1BS = self.held_out
        flat_PN = self.flat_PN[rows]
        answers_PBS = answers_1BS.expand(len(flat_PN), -1, -1)
        logits_PBSV = self._forward(flat_PN, reads_1BT.expand(len(flat_PN), -1, -1))
        right_P = (logits_PBSV.argmax(dim=-1) == answers_PBS).flatten(1).sum(1, dtype=torch.float64)
        return loss(logits_PBSV, answers_PBS), right_P / target_count(answers_PBS)

    def finite(self) -> npt.NDArray[np.bool_]:
        """Whether all weights of each member are, (P,): ReLU can hide one that is not from loss and
        gradient.
        """
        return self.flat_PN.isfinite().all(dim=1).cpu().numpy()

    def weights(self, row: int) -> Tensor:
        """The weights of the member in this row as they are now, (N,), on the CPU."""
        return self.flat_PN[row].to("cpu", copy=True)

    def state(self) -> dict[str, Tensor]:
        """What the steps so far have left behind, by name: all that later ones depend on but their
        number.
        """
        moments = {"mean_PN": self.optimiser.exp_avg_PN, "square_PN": self.optimiser.exp_avg_sq_PN}
        return {
            "flat_PN": self.flat_PN,
            **moments,
            "loss_EP": self.loss_EP,
            "norm_EP": self.norm_EP,
        }

    def restore(self, steps: int, state: Mapping[str, Tensor]) -> None:
        """Go on from this state, which the same rows had after so many steps; else KeyError or
        ValueError.
        """
        for name, place in self.state().items():
            if (place.shape, place.dtype) != (state[name].shape, state[name].dtype):
                raise ValueError(f"{name} is {tuple(state[name].shape)}, not {tuple(place.shape)}")
            place.copy_(state[name])  # in place: a captured step knows these tensors
        self.steps = steps
        self.taken.fill_(steps)
        self._draw()

    def worth_keeping(self, rows: int) -> int:
        """How many of so many rows may be left when dropping the others pays: on a GPU a step is
        captured anew.
        """
        return rows // 2 if self.device.type == "cuda" else rows - 1

    def keep(self, rows: Sequence[int]) -> None:
        """Drop the members that are not in these rows."""
        index = torch.tensor(rows, dtype=torch.int64, device=self.device)
        self.flat_PN = self.flat_PN[index]
        self.seed_P, self.lr_P = self.seed_P[index], self.lr_P[index]
        self.loss_EP, self.norm_EP = self.loss_EP[:, index], self.norm_EP[:, index]
        self.reads_CPBT, self.answers_CPBS = self.reads_CPBT[:, index], self.answers_CPBS[:, index]
        self.optimiser.keep(index)
        del self._take  # a captured step holds its memory, and the next one needs some
        self._take = self._replayed()

    def _replayed(self) -> Callable[[], None]:
        """The step; on a GPU captured, or it would wait for its launches."""
        if self.device.type != "cuda":
            return self._step
        changed = (
            self.flat_PN,
            self.optimiser.exp_avg_PN,
            self.optimiser.exp_avg_sq_PN,
            self.taken,
        )
        return CudaGraphedStep(self._step, changed)

    def _draw(self) -> None:
        """Draw the data of the steps that were last drawn together with the next one."""
        first = self.steps - self.steps % self.drawn
        for place, drawn in zip(
            (self.reads_CPBT, self.answers_CPBS), self._drawn(first), strict=True
        ):
            place.copy_(drawn)

    def _drawn(self, first: int) -> tuple[Tensor, Tensor]:
        """The data of `drawn` steps."""
        step_C1 = torch.arange(first, first + self.drawn, device=self.device).unsqueeze(1)
        state_CP = rng.key(self.seed_P, "batch", step_C1)
        drawn = draw(self.shape, state_CP.flatten(), self.shape.train.batch)
        reads_CPBT, answers_CPBS = (part.view(*state_CP.shape, *part.shape[1:]) for part in drawn)
        return reads_CPBT, answers_CPBS

    def _parts(self) -> list[slice]:
        """The rows that are computed at once."""
        return [
            slice(first, first + self.chunk_size)
            for first in range(0, len(self.flat_PN), self.chunk_size)
        ]

    def _forward(
        self, flat_PN: Tensor, reads_PBT: Tensor, draws_PS: Tensor | None = None
    ) -> Tensor:
        """Logits in the weights' own dtype."""
        if self.shape.train.precision != "bf16":
            return self.model.forward(flat_PN, reads_PBT, draws_PS)
        with torch.autocast(self.device.type, torch.bfloat16):
            return self.model.forward(flat_PN, reads_PBT, draws_PS).to(flat_PN.dtype)

    def _gradient(self, reads_PBT: Tensor, answers_PBS: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each member on its batch, (P,), and its gradient, (P, N)."""
        draws_PS, found = self._random(), []
        for rows in self._parts():
            flat_PN = self.flat_PN[rows].requires_grad_()
            draws = None if draws_PS is None else draws_PS[rows]
            loss_P = loss(self._forward(flat_PN, reads_PBT[rows], draws), answers_PBS[rows])
            (grad_PN,) = torch.autograd.grad(loss_P.sum(), flat_PN)
            found.append((loss_P.detach(), grad_PN))
        if len(found) == 1:
            return found[0]
        losses, gradients = zip(*found, strict=True)
        return torch.cat(losses), torch.cat(gradients)

    def _random(self) -> Tensor | None:
        """What a scheme that wants random numbers has in this step: by seed and step, uniform in
        [0, 1), (P, S).
        """
        if not self.model.residual.random:
            return None
        state_P = rng.key(self.seed_P, "scheme", self.taken)
        return (rng.uniform(state_P, self.model.stack.sublayers) + 1) / 2

    def _step(self) -> None:
        """Forward, backward, update. No number of it is known on the host: which step it is stands
        in `taken`.
        """
        train = self.shape.train
        drawn_1 = (self.taken % self.drawn).view(1)
        reads_PBT, answers_PBS = (
            part.index_select(0, drawn_1).squeeze(0)
            for part in (self.reads_CPBT, self.answers_CPBS)
        )
        loss_P, grad_PN = self._gradient(reads_PBT, answers_PBS)
        place_1 = (self.taken % len(self.loss_EP)).view(1)
        self.taken += 1
        warm = (self.taken.double() / max(1, train.warmup_steps)).clamp(max=1.0)
        norm_P = self.optimiser.step(self.flat_PN, grad_PN, self.lr_P * warm, self.taken)
        self.loss_EP.index_copy_(0, place_1, loss_P.unsqueeze(0))
        self.norm_EP.index_copy_(0, place_1, norm_P.unsqueeze(0))
