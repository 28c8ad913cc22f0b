"""DenseFormer: after every block, a learned weighted sum of all blocks' outputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.numerics.parameters import ParameterSpec
from resformer.residuals.base import Norm, Place, Residual, Stack, Streams


@final
@dataclass(frozen=True)
class Dense(Residual[Streams]):
    """u_l = Block_l(y_{l-1}), y_l = Σ_{j=0…l} α_lj·u_j, u_0 = y_0 the embedding, Block_l two
    sub-layers x' = x + F(x).

    Pagliardini et al. 2024, arXiv 2402.02622, eq. 2 and the authors' code: what is summed are the
    blocks' own outputs, not earlier sums. Initial values: α_ll = 1, the others 0, which is
    pre-norm; learned. Norm: pre.
    """

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def weights(self, stack: Stack) -> list[ParameterSpec]:
        """α of every block: of the embedding and of each output, its own last."""
        return [
            weight
            for block in range(1, stack.depth + 1)
            for weight in (
                ParameterSpec(f"{_dense(block)}.earlier", (block,), "constant", 0.0),
                ParameterSpec(f"{_dense(block)}.own", (1,), "constant", 1.0),
            )
        ]

    def open(self, x_PRD: Tensor) -> Streams:
        """x, and all u up to here."""
        return x_PRD, x_PRD

    def read(self, carried: Streams, place: Place) -> Tensor:
        """The stream x."""
        return carried[0]

    def write(self, carried: Streams, f_PRD: Tensor, place: Place) -> Streams:
        """The sum; at the end of a block the weighted one."""
        x_PRD, *outputs = carried
        x_PRD = x_PRD + f_PRD
        if place.attends:
            return x_PRD, *outputs
        earlier_Pl, own_P1 = (
            place.weights[f"{_dense(place.block)}.{part}"] for part in ("earlier", "own")
        )
        y_PRD = own_P1.unsqueeze(2) * x_PRD
        for column, u_PRD in enumerate(outputs):
            y_PRD = y_PRD + earlier_Pl[:, column].view(-1, 1, 1) * u_PRD
        return y_PRD, *outputs, x_PRD

    def outer(self, carried: Streams, norm: Norm, place: Place) -> Streams:
        """Of x; no placement that it allows has one."""
        return norm(carried[0]), *carried[1:]

    def end(self, carried: Streams, weights: Mapping[str, Tensor]) -> Tensor:
        """The last y."""
        return carried[0]

    def close(self, carried: Streams, last: Norm, weights: Mapping[str, Tensor]) -> Tensor:
        """The last y."""
        return last(carried[0])


def _dense(block: int) -> str:
    return f"block{block}.dense"
