"""Train a small transformer to say a sequence again: one run, one process.

    python script.py --depth 4 --norm pre --residual false --lr 3e-3 --seed 1

The model reads `source, separator, source` and predicts the second source token by token.
"""

import argparse
import math

import torch
from torch import Tensor, nn

LENGTH, SYMBOLS, WIDTH, HEADS, BATCH = 8, 16, 32, 4, 32
WARM_UP, EVAL_EVERY, EVAL_SEQUENCES, TARGET = 50, 10, 128, 0.99


class PlainLayer(nn.TransformerEncoderLayer):
    """A block without its residual connections."""

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Attention, then FFN, each with its norm before or after."""
        if self.norm_first:
            x = self._sa_block(self.norm1(src), src_mask, src_key_padding_mask, is_causal)
            return self._ff_block(self.norm2(x))
        x = self.norm1(self._sa_block(src, src_mask, src_key_padding_mask, is_causal))
        return self.norm2(self._ff_block(x))


class Model(nn.Module):
    """Embeddings, blocks, and a linear head on the last positions."""

    def __init__(self, depth: int, residual: bool, norm: str) -> None:
        super().__init__()
        self.token = nn.Embedding(SYMBOLS + 1, WIDTH)
        self.position = nn.Parameter(torch.randn(2 * LENGTH, WIDTH))
        layer = (nn.TransformerEncoderLayer if residual else PlainLayer)(
            WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=norm == "pre"
        )
        last = nn.LayerNorm(WIDTH) if norm == "pre" else None
        self.encoder = nn.TransformerEncoder(layer, depth, last, enable_nested_tensor=False)
        # The encoder copies one layer: without this all blocks would start from the same weights.
        for name, parameter in self.encoder.named_parameters():
            if name.endswith("in_proj_weight"):
                for projection in parameter.data.chunk(3):
                    nn.init.xavier_uniform_(projection)
            elif parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        self.head = nn.Linear(WIDTH, SYMBOLS + 1)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(2 * LENGTH))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits of the second half."""
        x = self.encoder(self.token(inputs) + self.position, mask=self.mask, is_causal=True)
        return self.head(x[:, -LENGTH:])


def draw(sequences: int) -> tuple[Tensor, Tensor]:
    """Draw the tokens that are read, and the answers."""
    source = torch.randint(SYMBOLS, (sequences, LENGTH))
    separator = torch.full((sequences, 1), SYMBOLS)
    return torch.cat([source, separator, source[:, :-1]], dim=1), source


@torch.no_grad()
def accuracy(model: Model, inputs: Tensor, targets: Tensor) -> float:
    """Share of right tokens."""
    return (model(inputs).argmax(dim=-1) == targets).float().mean().item()


def train(model: Model, lr: float, steps: int) -> str:
    """Train until solved, not finite, or until the budget is used up; what became of it."""
    held_out = draw(EVAL_SEQUENCES)
    optimiser = torch.optim.AdamW(model.parameters(), lr, betas=(0.9, 0.98), weight_decay=0.0)
    warm_up = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / WARM_UP)
    )
    before = accuracy(model, *held_out)
    for step in range(1, steps + 1):
        inputs, targets = draw(BATCH)
        loss = nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        if not math.isfinite(loss.item()):
            return f"diverged at step {step}"
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        warm_up.step()
        if step % EVAL_EVERY == 0:
            now = accuracy(model, *held_out)
            print(f"step {step:4}  loss {loss.item():.3f}  accuracy {now:.3f}")
            if min(before, now) >= TARGET:
                return f"solved at step {step - EVAL_EVERY}"
            before = now
    return f"unsolved after {steps} steps"


def main() -> None:
    """Parse, train, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--residual", choices=["true", "false"], default="true")
    parser.add_argument("--norm", choices=["post", "pre"], default="post")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=600)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    model = Model(options.depth, options.residual == "true", options.norm)
    print(train(model, options.lr, options.steps))


if __name__ == "__main__":
    main()
