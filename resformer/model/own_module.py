"""A block of one's own: `model.module=package:Class`, a torch module from (B, T, D) to (B, T, D)
that stands in place of each of the L blocks.

It is trained as it is, by `torch.func` over members: slower than the blocks that are built in, with
the same data, results and statistics. Its constructor gets those of `width`, `heads`, `tokens`,
`causal`, `depth` and `block` (from 1) that it names.
"""

import contextlib
import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from resformer.errors import UserError
from resformer.numerics import rng
from resformer.numerics.parameters import ParameterSpec
from resformer.text import failure_line

_MEMBERS, _SEQUENCES = 2, 2


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

    @cached_property
    def templates(self) -> Sequence[nn.Module]:
        """The modules without values."""
        with torch.device("meta"):
            return [self.build(block) for block in range(1, self.depth + 1)]

    def build(self, block: int) -> nn.Module:
        """The module of this block, from 1, as its class makes it."""
        kind = load(self.path)
        given = {**vars(self), "block": block}
        taken = inspect.signature(kind).parameters
        with _blaming(self.path):
            return kind(**{key: given[key] for key in _GIVEN if key in taken})

    @cached_property
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
            for block, module in enumerate(self.templates, start=1)
            for name, parameter in module.named_parameters()
        ]

    def initial_values(self, seed: int) -> dict[str, Tensor]:
        """Parameters of a member as the class makes them, with torch's generator seeded by its
        seed.
        """
        key = rng.key(torch.tensor([seed]), "module")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(key))
            modules = [self.build(block) for block in range(1, self.depth + 1)]
        return {
            f"block{block}.module.{name}": parameter.detach()
            for block, module in enumerate(modules, start=1)
            for name, parameter in module.named_parameters()
        }

    def forward(self, parameters: Mapping[str, Tensor], x_PBTD: Tensor) -> Tensor:
        """Output of the last module, (P, B, T, D)."""
        for block, module in enumerate(self.templates, start=1):
            own = {
                name: parameters[f"block{block}.module.{name}"]
                for name, _ in module.named_parameters()
            }

            def call(weights: dict[str, Tensor], x_BTD: Tensor, module: nn.Module = module) -> Any:
                return torch.func.functional_call(module, weights, (x_BTD,))

            with sdpa_kernel(SDPBackend.MATH):  # the others have no rule for many members
                x_PBTD = torch.func.vmap(call, randomness="error")(own, x_PBTD)
        return x_PBTD

    def flops_per_sequence(self) -> int:
        """Floating-point operations in matrix products of a forward pass, as torch counts them."""
        x_BTD = torch.empty(1, self.tokens, self.width, device="meta")
        with FlopCounterMode(display=False) as counter:
            for module in self.templates:
                module(x_BTD)
        return int(counter.get_total_flops())


_GIVEN = ("width", "heads", "tokens", "causal", "depth", "block")
"""Names of arguments that a constructor may have."""


@cache
def check(own: OwnBlocks) -> None:
    """Raise UserError unless the class makes modules that can be trained."""
    where = f"model.module={own.path}"
    for module in own.templates:
        if buffers := [name for name, _ in module.named_buffers()]:
            raise UserError(f"{where}: keeps buffers ({buffers[0]}); parameters alone would do")
    if not own.parameter_specs:
        raise UserError(f"{where}: has no parameters; there is nothing to train")
    values = [own.initial_values(seed) for seed in range(_MEMBERS)]
    stacked = {name: torch.stack([of_member[name] for of_member in values]) for name in values[0]}
    x_PBTD = torch.zeros(_MEMBERS, _SEQUENCES, own.tokens, own.width)
    with _blaming(own.path), torch.no_grad():
        y_PBTD = own.forward(stacked, x_PBTD)
    if not isinstance(y_PBTD, Tensor) or y_PBTD.shape != x_PBTD.shape:
        shape = tuple(y_PBTD.shape[1:]) if isinstance(y_PBTD, Tensor) else type(y_PBTD).__name__
        raise UserError(
            f"{where}: makes {shape} of {tuple(x_PBTD.shape[1:])}; both must have one shape"
        )


@cache
def load(path: str) -> type[nn.Module]:
    """The class of a path `package:Class`, also from the working directory. Raises UserError."""
    name, _, attribute = path.partition(":")
    if not name or not attribute:
        raise UserError(f"model.module={path}: must be package:Class, as mine:Block of mine.py")
    with _blaming(path), _working_directory():
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            nowhere = f"there is no module {name}, installed or in the working directory"
            raise UserError(f"model.module={path}: {nowhere}") from error
    kind = getattr(module, attribute, None)
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        raise UserError(f"model.module={path}: {name} has no torch.nn.Module of that name")
    return kind


def sources(path: str) -> list[Path]:
    """Files of the code of a class: its module's, and all of the package that it is in."""
    try:
        kind = load(path)
    except UserError:
        return []
    top = sys.modules[kind.__module__.partition(".")[0]]
    folders = list(getattr(top, "__path__", []))
    if not folders:
        return [Path(inspect.getfile(kind))]
    return sorted(file for folder in folders for file in Path(folder).rglob("*.py"))


@contextlib.contextmanager
def _working_directory() -> Iterator[None]:
    """Import from the working directory, too, but nothing that is found elsewhere."""
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)


@contextlib.contextmanager
def _blaming(path: str) -> Iterator[None]:
    """Turn whatever the code of a class raises into a UserError of one line."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # foreign code may raise anything
        if "randomness" in str(error):
            line = "draws at random, which would not be that of the seed; no dropout would do"
        else:
            line = failure_line(error)
        raise UserError(f"model.module={path}: {line}") from error
