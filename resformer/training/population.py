"""Members of a job as they train together: their parameters, moments and data, and the step that
updates them all.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from resformer.model.objective import accuracy, draw_batch, held_out, loss, target_count
from resformer.model.program import program
from resformer.model.shape import Member, Shape
from resformer.numerics import rng
from resformer.numerics.cuda_graph import CudaGraphedStep
from resformer.numerics.layout import Layout
from resformer.optimizers.base import Step
from resformer.training import schedules
from resformer.training.outcome import Floats

_MOST_DRAWN, _DRAWN_TOKENS = 16, 1 << 24
"""Most steps whose data are drawn together, and most tokens: a draw costs some fifty small
operations, whatever its size.
"""


@final
class Population:
    """Rows of `flat_PN`, one per member. A step reads nothing back from the device.

    `chunk_size` members are computed at a time (default: all). Nothing is reduced over members:
    results do not depend on it; on the CPU they are bit-identical. With `recompute` a backward pass
    computes the activations of each block again, to the same bits; kernels that take whole steps
    keep few and do not.
    """

    def __init__(
        self,
        shape: Shape,
        members: Sequence[Member],
        *,
        dtype: torch.dtype,
        chunk_size: int | None = None,
        recompute: bool = False,
    ) -> None:
        self.recompute = recompute
        self.shape, self.model, self.device = shape, shape.transformer(), torch.device(shape.device)
        self.chunk_size = chunk_size or len(members)
        train = shape.train
        if self.device.type == "cuda":
            torch.backends.cuda.matmul.fp32_precision = (
                "tf32" if train.precision == "tf32" else "ieee"
            )
        seed_P = torch.tensor([member.seed for member in members])
        self.program = program(self.model, shape.device, dtype)
        """Steps of the whole model in kernels; None where torch calls what is computed."""
        self.flat_PN = self.model.initial_values(seed_P, dtype).to(self.device)
        self.seed_P = seed_P.to(self.device)
        self.lr_P = torch.tensor([member.lr for member in members], dtype=dtype, device=self.device)
        self.optimizer = shape.optimizer
        self.layout = Layout(
            self.model.parameter_specs,
            weight_decay=self.optimizer.weight_decay,
            decay_all=train.decay_all,
        )
        self.moments = {name: torch.zeros_like(self.flat_PN) for name in self.optimizer.state}
        """Tensors (P, N) of the optimiser."""
        self.steps = 0
        """Steps taken."""
        self.device_steps = torch.zeros((), dtype=torch.int64, device=self.device)
        """Steps taken, counted on the device."""
        self.loss_EP, self.norm_EP = (
            self.lr_P.new_zeros(train.longest_interval, len(members)) for _ in range(2)
        )
        self.held_out = held_out(shape, self.device)
        tokens = len(members) * train.batch * self.model.tokens
        self.drawn_steps = max(1, min(_MOST_DRAWN, _DRAWN_TOKENS // tokens))
        self.inputs_CPBT, self.targets_CPBU = self._batches(0)
        self._run_step = self._graphed()

    def advance(self) -> None:
        """Take one step of every member."""
        if self.steps and self.steps % self.drawn_steps == 0:
            self._draw()
        self._run_step()
        self.steps += 1

    def recorded(self, since: int) -> Floats:
        """Loss (nats per target) and gradient norm before clipping of the steps since then, (2, E,
        P).

        At most as many steps are kept as lie between two evaluations.
        """
        kept_E = torch.arange(since, self.steps, device=self.device) % len(self.loss_EP)
        recorded_2EP = torch.stack([self.loss_EP, self.norm_EP])[:, kept_E]
        return recorded_2EP.cpu().numpy().astype(np.float64)

    @torch.no_grad()
    def evaluate(self) -> tuple[Floats, Floats]:
        """Held-out loss and accuracy, (P,) each, as `objective` has them."""
        losses, accuracies = zip(*map(self._evaluate_chunk, self._chunks()), strict=True)
        loss_P, accuracy_P = torch.cat(losses).cpu().numpy(), torch.cat(accuracies).cpu().numpy()
        return loss_P.astype(np.float64), accuracy_P

    def _evaluate_chunk(self, rows: slice) -> tuple[Tensor, Tensor]:
        flat_PN = self.flat_PN[rows]
        if self.program is not None:
            inputs_1BT, targets_1BU = self.held_out
            loss_P, right_P = self.program.score(flat_PN, inputs_1BT[0], targets_1BU[0])
            counted_1 = target_count(targets_1BU)
            return loss_P / counted_1, right_P / counted_1
        inputs_PBT, targets_PBU = (
            part.expand(len(flat_PN), *part.shape[1:]) for part in self.held_out
        )
        logits_PBUV = self._forward(flat_PN, inputs_PBT, None, self.device_steps)
        scored = logits_PBUV, targets_PBU
        return loss(*scored), accuracy(self.shape.task, *scored)

    def finite(self) -> npt.NDArray[np.bool_]:
        """True for each member whose parameters are all finite, (P,): ReLU can hide one that is not
        from loss and gradient.
        """
        return self.flat_PN.isfinite().all(dim=1).cpu().numpy()

    def weights(self, row: int) -> Tensor:
        """Copy of the current parameters of the member in this row, (N,), on the CPU."""
        return self.flat_PN[row].to("cpu", copy=True)

    def state(self) -> dict[str, Tensor]:
        """Tensors that later steps depend on, by the name that they have in a checkpoint."""
        return {
            "flat_PN": self.flat_PN,
            **{f"{name}_PN": tensor for name, tensor in self.moments.items()},
            "loss_EP": self.loss_EP,
            "norm_EP": self.norm_EP,
        }

    def restore(self, steps: int, state: Mapping[str, Tensor]) -> None:
        """Resume from the state that the same rows had after so many steps.

        Raises KeyError or ValueError if it does not fit these rows.
        """
        for name, tensor in self.state().items():
            saved = state[name]
            if (tensor.shape, tensor.dtype) != (saved.shape, saved.dtype):
                raise ValueError(f"{name} is {tuple(saved.shape)}, not {tuple(tensor.shape)}")
            tensor.copy_(saved)  # in place: a captured step knows these tensors
        self.steps = steps
        self.device_steps.fill_(steps)
        self._draw()

    def worth_keeping(self, rows: int) -> int:
        """Largest number of members left in so many rows at which dropping the others pays: on a
        GPU the step is then captured anew.
        """
        return rows // 2 if self.device.type == "cuda" else rows - 1

    def keep(self, rows: Sequence[int]) -> None:
        """Drop the members that are not in these rows."""
        index = torch.tensor(rows, dtype=torch.int64, device=self.device)
        self.flat_PN = self.flat_PN[index]
        self.seed_P, self.lr_P = self.seed_P[index], self.lr_P[index]
        self.loss_EP, self.norm_EP = self.loss_EP[:, index], self.norm_EP[:, index]
        self.inputs_CPBT, self.targets_CPBU = (
            self.inputs_CPBT[:, index],
            self.targets_CPBU[:, index],
        )
        self.moments = {name: tensor[index] for name, tensor in self.moments.items()}
        del self._run_step  # a captured step holds its memory, and the next one needs some
        self._run_step = self._graphed()

    def _graphed(self) -> Callable[[], None]:
        """Step of all members; captured on a GPU, where it would wait for its launches."""
        if self.device.type != "cuda":
            return self._step
        return CudaGraphedStep(
            self._step, (self.flat_PN, *self.moments.values(), self.device_steps)
        )

    def _draw(self) -> None:
        """Draw the data of the next step, and of those that are drawn together with it."""
        first = self.steps - self.steps % self.drawn_steps
        inputs_CPBT, targets_CPBU = self._batches(first)
        self.inputs_CPBT.copy_(inputs_CPBT)
        self.targets_CPBU.copy_(targets_CPBU)

    def _batches(self, first: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of `drawn_steps` steps from this one on."""
        step_C1 = torch.arange(first, first + self.drawn_steps, device=self.device).unsqueeze(1)
        key_CP = rng.key(self.seed_P, "batch", step_C1)
        batch = draw_batch(self.shape, key_CP.flatten(), self.shape.train.batch)
        inputs_CPBT, targets_CPBU = (part.view(*key_CP.shape, *part.shape[1:]) for part in batch)
        return inputs_CPBT, targets_CPBU

    def _chunks(self) -> list[slice]:
        """Rows that are computed at a time."""
        size = self.chunk_size
        return [slice(first, first + size) for first in range(0, len(self.flat_PN), size)]

    def _forward(
        self, flat_PN: Tensor, inputs_PBT: Tensor, key_P: Tensor | None, step: Tensor
    ) -> Tensor:
        """Logits in the dtype of the parameters."""
        recompute = self.recompute and torch.is_grad_enabled()
        if self.shape.train.precision != "bf16":
            return self.model.forward(flat_PN, inputs_PBT, key_P, step, recompute=recompute)
        with torch.autocast(self.device.type, torch.bfloat16):
            logits_PBUV = self.model.forward(flat_PN, inputs_PBT, key_P, step, recompute=recompute)
            return logits_PBUV.to(flat_PN.dtype)

    def _gradient(self, inputs_PBT: Tensor, targets_PBU: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each member on its batch, (P,), and its gradient, (P, N)."""
        if self.program is not None:
            return self.program.gradient(self.flat_PN, inputs_PBT, targets_PBU)
        key_P, chunks = self._step_key(), list[tuple[Tensor, Tensor]]()
        step = self.device_steps + 1
        for rows in self._chunks():
            flat_PN = self.flat_PN[rows].requires_grad_()
            key = None if key_P is None else key_P[rows]
            loss_P = loss(self._forward(flat_PN, inputs_PBT[rows], key, step), targets_PBU[rows])
            (grad_PN,) = torch.autograd.grad(loss_P.sum(), flat_PN)
            chunks.append((loss_P.detach(), grad_PN))
        if len(chunks) == 1:
            return chunks[0]
        losses, gradients = zip(*chunks, strict=True)
        return torch.cat(losses), torch.cat(gradients)

    def _step_key(self) -> Tensor | None:
        """Keys of this step's random numbers, (P,), by seed and step; None if the model needs
        none.
        """
        return rng.key(self.seed_P, "step", self.device_steps) if self.model.random else None

    def _step(self) -> None:
        """Forward, backward and update, without a number on the host: the step is in
        `device_steps`.
        """
        drawn_1 = (self.device_steps % self.drawn_steps).view(1)
        inputs_PBT, targets_PBU = (
            part.index_select(0, drawn_1).squeeze(0)
            for part in (self.inputs_CPBT, self.targets_CPBU)
        )
        loss_P, grad_PN = self._gradient(inputs_PBT, targets_PBU)
        recorded_1 = (self.device_steps % len(self.loss_EP)).view(1)
        self.device_steps += 1
        norm_P = self.model.backend.clip(grad_PN, self.shape.train.clip)
        self.optimizer.move(
            Step(
                flat_PN=self.flat_PN,
                grad_PN=grad_PN,
                state=self.moments,
                lr_P=self.lr_P * schedules.share(self.shape.train, self.device_steps),
                number=self.device_steps,
                layout=self.layout,
                backend=self.model.backend,
            )
        )
        self.loss_EP.index_copy_(0, recorded_1, loss_P.unsqueeze(0))
        self.norm_EP.index_copy_(0, recorded_1, norm_P.unsqueeze(0))
