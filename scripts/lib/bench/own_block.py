"""A block of one's own, as a user writes it: the classic one, pre-norm."""

from torch import Tensor, nn


class Block(nn.Module):
    """Attention and FFN of torch's own parts, each added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attend = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ffn = nn.Sequential(
            nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width)
        )

    def forward(self, x_BTD: Tensor) -> Tensor:
        """From (B, T, D) to (B, T, D)."""
        h_BTD = self.norms[0](x_BTD)
        x_BTD = x_BTD + self.attend(h_BTD, h_BTD, h_BTD, need_weights=False)[0]
        return x_BTD + self.ffn(self.norms[1](x_BTD))
