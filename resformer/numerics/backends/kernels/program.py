"""Training step and evaluation of a whole model in kernels, member by member: what one member's
step needs stays in the processor's cache until it is used again.
"""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

_Field = tuple[str, Any]


@final
class NormPlan(ctypes.Structure):
    """Columns of a norm's gain and bias; -1 where there is none."""

    _fields_: ClassVar[Sequence[_Field]] = [("gain", ctypes.c_long), ("bias", ctypes.c_long)]


@final
class WeightPlan(ctypes.Structure):
    """Weight of a sum: a factor, times so many learned numbers from this column on."""

    _fields_: ClassVar[Sequence[_Field]] = [
        ("factor", ctypes.c_double),
        ("column", ctypes.c_long),
        ("count", ctypes.c_long),
    ]


@final
class SublayerPlan(ctypes.Structure):
    """Sub-layer, as `plan.hpp` has it."""

    _fields_: ClassVar[Sequence[_Field]] = [
        ("attention", ctypes.c_long),
        ("norm_in", NormPlan),
        ("norm_branch", NormPlan),
        ("norm_out", NormPlan),
        ("input_scale", ctypes.c_double),
        ("skip", WeightPlan),
        ("branch", WeightPlan),
        ("weights", ctypes.c_long * 10),
    ]


@final
class ModelPlan(ctypes.Structure):
    """Model, as `plan.hpp` has it."""

    _fields_: ClassVar[Sequence[_Field]] = [
        *(
            (name, ctypes.c_long)
            for name in (
                *("tokens", "targets", "vocabulary", "width", "heads", "hidden", "causal"),
                *("activation", "centred", "tied", "num_sublayers"),
            )
        ),
        *(
            (name, ctypes.c_double)
            for name in (
                *("attention_scale", "head_epsilon", "norm_epsilon"),
                *("embedding_scale", "logit_scale"),
            )
        ),
        *((name, ctypes.c_long) for name in ("token", "position", "head", "head_bias")),
        ("last", NormPlan),
        *((name, ctypes.c_void_p) for name in ("positions", "cosine", "sine")),
        ("sublayers", ctypes.POINTER(SublayerPlan)),
    ]


@final
@dataclass(frozen=True)
class Program:
    """Model for the kernels of a library. Nothing is ever reduced over P."""

    library: ctypes.CDLL
    plan: ModelPlan
    tables: Mapping[str, Tensor | None]
    """Tables that the plan points to, kept here."""

    def gradient(
        self, flat_PN: Tensor, inputs_PBT: Tensor, targets_PBU: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy of each member on its batch, (P,), and its gradient, (P, N)."""
        loss_P, grad_PN = flat_PN.new_empty(len(flat_PN)), torch.empty_like(flat_PN)
        self.library.model_gradient(
            ctypes.byref(self.plan),
            *flat_PN.shape,
            inputs_PBT.shape[1],
            *_pointers(flat_PN, inputs_PBT, targets_PBU, loss_P, grad_PN),
        )
        return loss_P, grad_PN

    def score(
        self, flat_PN: Tensor, inputs_BT: Tensor, targets_BU: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sum of each member's cross-entropies on the same sequences, (P,), and the number of
        targets that it predicts, (P,).
        """
        loss_P, right_P = (torch.empty(len(flat_PN), dtype=torch.float64) for _ in range(2))
        self.library.model_score(
            ctypes.byref(self.plan),
            *flat_PN.shape,
            len(inputs_BT),
            *_pointers(flat_PN, inputs_BT, targets_BU, loss_P, right_P),
        )
        return loss_P, right_P


def _pointers(*tensors: Tensor) -> list[int]:
    assert all(tensor.is_contiguous() for tensor in tensors)
    return [tensor.data_ptr() for tensor in tensors]
