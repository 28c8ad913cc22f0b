"""Many members in one module: torch's own model ensembling."""

import itertools
import time
from typing import final

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from lib.bench.cases import Case
from lib.bench.drawn import tokens
from lib.bench.module import classifiers
from lib.bench.peers.base import Losses, Peer, Timed, fastest

_TRIAL_STEPS = 5


@final
class Vmap(Peer):
    """`torch.func`: `stack_module_state` and `vmap(grad)`, with AdamW and clipping on the stacked
    tensors.

    vmap has no rule for the fused attention kernel, so the written-out one is used. Members in the
    stack and threads are the fastest pair.
    """

    def prepare(self, case: Case) -> str:
        """Choose members and threads."""
        self._case = case
        torch.set_flush_denormal(True)
        pairs = itertools.product(case.stacks, {1, torch.get_num_threads()})
        self._members, threads = fastest(pairs, self._trial)
        torch.set_num_threads(threads)
        return f"{self._members} members, {threads} thread{'s' if threads > 1 else ''}"

    def losses(self, steps: int) -> Losses:
        """Losses of the members in the stack."""
        return self._train(steps)[0]

    def run(self, steps: int) -> list[Timed]:
        """One stack."""
        return [self._train(steps)[1]]

    def _trial(self, pair: tuple[int, int]) -> list[Timed]:
        self._members, threads = pair
        torch.set_num_threads(threads)
        return self.run(_TRIAL_STEPS)

    def _train(self, steps: int) -> tuple[Losses, Timed]:
        settings, members = self._case.shape(steps).train, self._case.members(self._members)
        modules, adamw = classifiers(self._case, members), self._case.adamw
        parameters, buffers = stack_module_state(modules)
        parameters = {name: value.detach() for name, value in parameters.items()}
        optimiser = StackedAdamW(parameters, adamw.beta1, adamw.beta2, adamw.eps)
        lr_P = torch.tensor([member.lr for member in members])
        inputs_SPBT, targets_SPBU = tokens(self._case, members, steps)

        def loss_of(
            own: dict[str, Tensor],
            buffers: dict[str, Tensor],
            inputs_BT: Tensor,
            targets_BU: Tensor,
        ) -> Tensor:
            logits = functional_call(modules[0], (own, buffers), (inputs_BT,))
            return nn.functional.cross_entropy(logits.flatten(0, 1), targets_BU.flatten())

        # Without dropout nothing is drawn, but vmap refuses the call of it unless it is told how.
        gradients_of = vmap(grad_and_value(loss_of), randomness="different")
        losses = []
        began = time.perf_counter()
        with sdpa_kernel(SDPBackend.MATH):
            for step, (inputs, targets) in enumerate(zip(inputs_SPBT, targets_SPBU, strict=True)):
                gradients, loss_P = gradients_of(parameters, buffers, inputs, targets)
                clip(gradients, self._case.clip)
                optimiser.step(gradients, lr_P * min(1.0, (step + 1) / settings.warmup_steps))
                losses.append(loss_P.numpy())
        return np.stack(losses, axis=1), Timed(len(members) * steps, time.perf_counter() - began)


def clip(gradients: dict[str, Tensor], most: float) -> None:
    """Scale, in place, each member's gradients to a norm of at most `most`."""
    squares = [(gradient * gradient).flatten(1).sum(dim=1) for gradient in gradients.values()]
    scale_P = (most / (torch.stack(squares).sum(dim=0).sqrt() + 1e-6)).clamp(max=1.0)
    for gradient in gradients.values():
        gradient.mul_(_along(scale_P, gradient))


@final
class StackedAdamW:
    """torch's AdamW without weight decay, on tensors whose first axis is the members."""

    def __init__(
        self, parameters: dict[str, Tensor], beta1: float, beta2: float, eps: float
    ) -> None:
        self._parameters, self._betas, self._eps, self._steps = parameters, (beta1, beta2), eps, 0
        self._means, self._squares = (
            {name: torch.zeros_like(value) for name, value in parameters.items()} for _ in range(2)
        )

    def step(self, gradients: dict[str, Tensor], lr_P: Tensor) -> None:
        """Move every parameter, in place, each member by its own learning rate."""
        self._steps += 1
        beta1, beta2 = self._betas
        correction1, correction2 = 1.0 - beta1**self._steps, 1.0 - beta2**self._steps
        for name, gradient in gradients.items():
            mean, square = self._means[name], self._squares[name]
            mean.lerp_(gradient, 1.0 - beta1)
            square.mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
            scale = square.sqrt().div_(correction2**0.5).add_(self._eps)
            self._parameters[name].addcdiv_(
                mean * _along(lr_P / correction1, mean), scale, value=-1.0
            )


def _along(value_P: Tensor, like: Tensor) -> Tensor:
    return value_P.view(-1, *[1] * (like.dim() - 1))
