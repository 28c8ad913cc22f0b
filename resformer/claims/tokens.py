"""Losses of single tokens: a member per token, all with the weights of one seed at its start."""

import dataclasses
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as nnf
from torch import Tensor

from resformer.model.objective import held_out
from resformer.model.shape import Shape
from resformer.model.transformer import Transformer


@final
@dataclass(frozen=True, kw_only=True)
class Tokens:
    """P tokens, each in a sequence of its own, in float64."""

    transformer: Transformer
    flat_PN: Tensor
    """P times the same weights."""
    inputs_PBT: Tensor
    """One sequence (B = 1) per token."""
    targets_P: Tensor
    place_P: Tensor
    """Number of each token among the targets of its sequence."""

    def logits(self, flat_PN: Tensor) -> Tensor:
        """Logits of each token, (P, V)."""
        logits_PBUV = self.transformer.forward(flat_PN, self.inputs_PBT)
        return logits_PBUV[torch.arange(len(flat_PN)), 0, self.place_P]

    def gradients(self) -> Tensor:
        """Gradient of each token's own loss, (P, N)."""
        flat_PN = self.flat_PN.detach().requires_grad_()
        loss = nnf.cross_entropy(self.logits(flat_PN), self.targets_P, reduction="sum")
        return torch.autograd.grad(loss, flat_PN)[0]


def tokens_of(shape: Shape, seed: int, count: int) -> Tokens:
    """One token of each of the first `count` held-out sequences: the first target of the first
    sequence, the second of the second, and so on in turn.
    """
    transformer = dataclasses.replace(shape.transformer(), compile=False)
    inputs_1BT, targets_1BU = held_out(shape, torch.device("cpu"))
    sequence_P = torch.arange(count)
    place_P = sequence_P % targets_1BU.shape[-1]
    flat_1N = transformer.initial_values(torch.tensor([seed]), torch.float64)
    return Tokens(
        transformer=transformer,
        flat_PN=flat_1N.repeat(count, 1),
        inputs_PBT=inputs_1BT[0, :count, None],
        targets_P=targets_1BU[0, sequence_P, place_P],
        place_P=place_P,
    )
