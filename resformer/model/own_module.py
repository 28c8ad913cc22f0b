"""A block of one's own: `model.module=package:Class`, a torch module from (B, T, D) to (B, T, D)
that stands in place of each of the L blocks.

It is trained as it is, by `torch.func` over members: slower than the blocks that are built in, with
the same data, results and statistics. Its constructor gets those of `width`, `heads`, `tokens`,
`causal`, `depth` and `block` (from 1) that it names. The last bits of a member's results may depend
on the members that it is trained with: they are equal within rounding, not bit for bit.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map_only

from resformer.errors import Incompatible, UserError
from resformer.keys import in_message
from resformer.model.own_class import blaming, load
from resformer.model.recompute import recomputed
from resformer.model.settings import ModelSettings
from resformer.numerics import parameters, rng
from resformer.numerics.parameters import ParameterSpec

NO_PROBE = "a probe sees the sub-layers of built-in blocks only"

_CPU = torch.device("cpu")
_GIVEN = ("width", "heads", "tokens", "causal", "depth", "block")
"""Names of arguments that a constructor may have."""
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
"""Attributes that torch itself gives a module."""


def check_settings(settings: ModelSettings, *, scheme: str, dropout: float) -> None:
    """Raise Incompatible for settings of blocks that the blocks of one's own do not have."""
    for setting, value, only in (
        ("model/residual", scheme, ("add",)),
        ("model.norm", settings.norm, ("none", "pre")),
        ("model.skip", settings.skip, ("both",)),
        ("model.parametrisation", settings.parametrisation, ("standard",)),
        ("model.position", settings.position, ("learned", "sinusoidal", "none")),
        ("model.activation", settings.activation, ("relu",)),
        ("model.hidden", settings.hidden, (4 * settings.width,)),
        ("model.qk_norm", settings.qk_norm, (False,)),
        ("model.loops", settings.loops, (1,)),
        ("train.dropout", dropout, (0.0,)),
    ):
        if value not in only:
            words = " or ".join(map(in_message, only))
            raise Incompatible(
                f"model.module={settings.module}: has blocks of its own, which "
                f"{setting}={in_message(value)} is not for; {words} would work"
            )


@final
@dataclass(frozen=True, kw_only=True)
class OwnBlocks:
    """L modules of one class, one after the other."""

    path: str
    """Module and class, `package:Class`."""
    depth: int
    width: int
    heads: int
    tokens: int
    causal: bool

    @property
    def kinds(self) -> Sequence[int]:
        """Blocks that differ, from 1: the first, which stands for all, unless the constructor is
        given their numbers.
        """
        return range(1, self.depth + 1) if "block" in _arguments(self.path) else [1]

    def build(self, block: int, seed: int) -> nn.Module:
        """The module of this block, from 1, on the CPU, as its class makes it with torch's
        generator seeded by the member's seed and the block.
        """
        given = {**vars(self), "block": block}
        key = rng.key(torch.tensor([seed]), "module", block)
        with blaming(self.path), torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(key))
            return load(self.path)(**{name: given[name] for name in _arguments(self.path)})

    @property
    def parameter_specs(self) -> list[ParameterSpec]:
        """Parameters of all modules. Their initial values are those that the class gives them."""
        return [
            ParameterSpec(
                name=f"block{block}.module.{name}",
                shape=tuple(parameter.shape),
                draw="module",
                scale=1.0,
                role="matrix" if parameter.dim() == 2 else "vector",
            )
            for block in range(1, self.depth + 1)
            for name, parameter in self._template(block, _CPU).named_parameters()
        ]

    def initial_values(
        self, specs: Sequence[ParameterSpec], seed_P: Tensor, dtype: torch.dtype
    ) -> Tensor:
        """Initial `flat_PN` of a model with these blocks on the CPU; a module's parameters depend
        on the seed and its block.
        """
        values: dict[str, list[Tensor]] = {}
        for seed in seed_P.tolist():
            for block in range(1, self.depth + 1):
                for name, parameter in self.build(block, seed).named_parameters():
                    row = parameter.detach().flatten().to(dtype)
                    values.setdefault(f"block{block}.module.{name}", []).append(row)
        parts = [
            torch.stack(values[spec.name])
            if spec.draw == "module"
            else parameters.initial_values([spec], seed_P, dtype)
            for spec in specs
        ]
        return torch.cat(parts, dim=1)

    def forward(
        self, weights: Mapping[str, Tensor], x_PBTD: Tensor, *, recompute: bool = False
    ) -> Tensor:
        """Output of the last module, (P, B, T, D). With `recompute` the backward pass computes the
        activations of each block again.
        """
        for block in range(1, self.depth + 1):
            module = self._template(block, x_PBTD.device)
            names = [name for name, _ in module.named_parameters()]
            own = {name: weights[f"block{block}.module.{name}"] for name in names}
            run = partial(self.forward_module, module, own)
            x_PBTD = recomputed(run, x_PBTD) if recompute else run(x_PBTD)
        return x_PBTD

    def forward_block(self, block: int, weights: dict[str, Tensor], x_PBTD: Tensor) -> Tensor:
        """Output of the module of a block with these weights, each (P, …)."""
        return self.forward_module(self._template(block, x_PBTD.device), weights, x_PBTD)

    def forward_module(
        self, module: nn.Module, weights: dict[str, Tensor], x_PBTD: Tensor
    ) -> Tensor:
        """Output of a module with these weights, each (P, …), in place of its own. Raises UserError
        unless it is a tensor of the input's shape.
        """

        def call(of_member: dict[str, Tensor], x_BTD: Tensor) -> Tensor:
            made: object = torch.func.functional_call(module, of_member, (x_BTD,))
            if not isinstance(made, Tensor) or made.shape != x_BTD.shape:
                kind = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
                raise UserError(
                    f"model.module={self.path}: makes {kind} of {tuple(x_BTD.shape)}; a tensor of "
                    "this shape would do"
                )
            return made

        # The other ways of attention have no rule for many members. What the module makes without
        # naming a device, such as a mask, is to be where its input is.
        with sdpa_kernel(SDPBackend.MATH), x_PBTD.device:
            output_PBTD: Tensor = torch.func.vmap(call, randomness="error")(weights, x_PBTD)
        return output_PBTD

    def flops_per_sequence(self) -> int:
        """Floating-point operations in matrix products of a forward pass, as torch counts them."""
        flops = [_flops(self, block) for block in self.kinds]
        return sum(flops) * (self.depth // len(flops))

    def _template(self, block: int, device: torch.device) -> nn.Module:
        return _template(self, block if block in self.kinds else 1, device)


@cache
def _arguments(path: str) -> tuple[str, ...]:
    """Names of the arguments that the constructor of a class is given."""
    with blaming(path):
        taken = inspect.signature(load(path)).parameters
    return tuple(name for name in _GIVEN if name in taken)


@cache
def _template(own: OwnBlocks, block: int, device: torch.device) -> nn.Module:
    """The module of a block whose parameters have shapes but no values: one number each in memory,
    on the CPU. Tensors that it keeps beside them are on this device.
    """
    module = own.build(block, seed=0)
    for parameter in module.parameters():
        parameter.data = parameter.data.new_zeros(()).expand(parameter.shape)
    for part in module.modules():
        kept = vars(part)
        for name in kept.keys() - _OF_EVERY_MODULE:
            kept[name] = tree_map_only(Tensor, lambda tensor: tensor.to(device), kept[name])
    return module


@cache
def _flops(own: OwnBlocks, block: int) -> int:
    """Operations of one block for one sequence."""
    from torch.utils.flop_counter import FlopCounterMode  # imports Triton where there is one: 0.1 s

    module = own.build(block, seed=0)
    with blaming(own.path), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, own.tokens, own.width))
    return int(counter.get_total_flops())
