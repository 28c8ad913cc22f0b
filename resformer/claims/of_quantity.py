"""Statistic of a quantity of cells, whose rates are chosen by final loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from resformer.claims import quantities
from resformer.claims.statistics.base import Trained


@dataclass(frozen=True, kw_only=True)
class OfQuantity(Trained):
    """Statistic of a quantity of each cell of its arms."""

    of: str
    """Name of the quantity, such as final_loss."""

    by_final_loss: ClassVar[bool] = True

    def __post_init__(self) -> None:
        quantities.check_name(self.of)

    def check_members(self, members: Sequence[quantities.Planned]) -> None:
        """Raise UserError where the quantity does not exist."""
        for each in members:
            quantities.QUANTITIES[self.of].check(each)
