"""The number of members that train together as one job."""

import dataclasses
from functools import cache

import torch
from torch import Tensor, UntypedStorage

from resformer.errors import UserError
from resformer.model.objective import blank_batch, loss
from resformer.model.shape import Shape

_CPU, _CPU_FLOPS = 16, 10**11
_GPU = 1024
_SHARE = 0.8
_FLOAT, _INTEGER = 4, 8
"""Bytes of a float32 and of an int64."""
_DRAWN = 16
"""Steps whose data are drawn together."""


def members_per_job(shape: Shape, sharers: int, *, recompute: bool = False) -> int:
    """A good number of members for this shape and device; UserError for a GPU that is not here.

    On the CPU 16, which spreads the cost of calling kernels thin; fewer where a step would take
    much more than a second, since a worker's heartbeat advances once a step. On a GPU as many as
    fit into four fifths of its memory, or of a sharer's part of it, at most 1,024; the number is
    part of the job, since bits on a GPU may depend on it.
    """
    if shape.device == "cpu":
        return max(
            1, min(_CPU, _CPU_FLOPS // shape.transformer().flops_per_step(shape.train.batch))
        )
    if shape.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "engine.stack=null: this machine has no GPU to size a stack by; engine.stack=64 would "
            "work"
        )
    memory = torch.cuda.get_device_properties(torch.device(shape.device)).total_memory
    return max(1, min(_GPU, int(_SHARE * memory / sharers / bytes_per_member(shape, recompute))))


@cache
def bytes_per_member(shape: Shape, recompute: bool = False) -> int:
    """Memory of a member while it trains, in bytes: weights, gradient, the optimiser's tensors and
    as many again while it moves them, the drawn data, what the backward pass of a step or one block
    of an evaluation keeps, whichever is more, and the logits of an evaluation. A step that
    recomputes keeps the streams between blocks and one block.
    """
    transformer, train = shape.transformer(), shape.train
    tensors = 2 + 2 * len(shape.optimizer.state)
    weights = _FLOAT * tensors * transformer.num_parameters
    of_token = _INTEGER if shape.task.numbers is None else _FLOAT * shape.task.numbers
    drawn = of_token * _DRAWN * train.batch * transformer.tokens
    scored = _FLOAT * train.eval_sequences * transformer.num_targets * transformer.vocabulary
    sequences = max(train.batch, -(-train.eval_sequences // shape.model.depth))
    kept = kept_bytes(shape, sequences)
    if recompute:
        kept = kept_bytes(shape, sequences, recompute=True) + kept // shape.model.depth
    return weights + drawn + kept + 2 * scored


def kept_bytes(shape: Shape, sequences: int, *, recompute: bool = False) -> int:
    """Bytes that a step of one member on so many sequences keeps for its backward pass, in torch's
    operations and float32: counted on tensors without values.
    """
    transformer = dataclasses.replace(shape.transformer(), compile=False)
    flat_1N = torch.empty(1, transformer.num_parameters, device="meta", requires_grad=True)
    inputs, targets = blank_batch(shape, sequences)
    kept: dict[int, UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage  # kept alive, or its address would be another's
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        key_1 = torch.empty(1, dtype=torch.int64, device="meta") if transformer.random else None
        loss(transformer.forward(flat_1N, inputs, key_1, recompute=recompute), targets)
    return sum(storage.nbytes() for storage in kept.values())
