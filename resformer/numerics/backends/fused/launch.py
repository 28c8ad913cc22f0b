"""Choices that the launches of all kernels share."""

import torch
from torch import Tensor

OPTIONS = {"num_stages": 1, "enable_fp_fusion": True}
"""Options of a launch: no operand is fetched ahead, since other programs on the same processor
compute while one waits, and each stage would take shared memory from them; a product and a sum are
rounded once, as in torch's own products.
"""
VARIED = {"do_not_specialize": ("stride",)}
"""Options of a kernel: not compiled anew for other distances between two members' weights."""


def precision_of(x: Tensor) -> str:
    """Precision of matrix products, as torch has it for its own: bf16 under autocast, tf32 where
    products on a GPU are set to it, else ieee.
    """
    if torch.is_autocast_enabled(x.device.type):
        return "bf16"
    return "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "ieee"


def output_dtype(precision: str) -> torch.dtype:
    """Type of a linear layer's output, as autocast has it."""
    return torch.bfloat16 if precision == "bf16" else torch.float32
