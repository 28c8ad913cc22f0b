"""The model that anyone would build of torch's own parts, with resformer's initial weights."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lib.bench.cases import Case
from lib.bench.drawn import initial
from resformer.model.shape import Member


class Classifier(nn.Module):
    """Token and position embeddings, `nn.TransformerEncoder`, a linear head on the last
    positions.
    """

    def __init__(self, case: Case) -> None:
        super().__init__()
        shape = case.shape(1)
        model = shape.transformer()
        width = model.settings.width
        self.causal, self.scored = shape.model.attention == "causal", model.num_targets
        self.token = nn.Embedding(model.vocabulary, width)
        self.position = nn.Parameter(torch.empty(model.tokens, width))
        layer = nn.TransformerEncoderLayer(
            width, model.settings.heads, model.ffn_width, dropout=0.0, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, model.settings.depth)
        self.head = nn.Linear(width, model.vocabulary)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(model.tokens))

    def forward(self, inputs_BT: Tensor) -> Tensor:
        """Logits at the scored positions, (B, scored, V)."""
        x_BTD = self.token(inputs_BT) + self.position
        x_BTD = self.encoder(x_BTD, mask=self.mask if self.causal else None, is_causal=self.causal)
        return self.head(x_BTD[:, -self.scored :])


def classifiers(case: Case, members: Sequence[Member]) -> list[Classifier]:
    """A module per member, with its initial weights."""
    w = initial(case, members)
    modules = []
    for row in range(len(members)):
        module = Classifier(case)
        module.load_state_dict(
            {
                **_state(case, {name: weight[row] for name, weight in w.items()}),
                "mask": module.get_buffer("mask"),
            }
        )
        modules.append(module)
    return modules


def optimised(
    module: nn.Module, case: Case, lr: float, *, fused: bool
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.LambdaLR]:
    """AdamW of a module, and its warm-up."""
    warmup_steps = case.shape(1).train.warmup_steps
    optimiser = torch.optim.AdamW(
        module.parameters(),
        lr,
        betas=(case.adamw.beta1, case.adamw.beta2),
        eps=case.adamw.eps,
        weight_decay=0.0,
        fused=fused,
    )
    return optimiser, torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / warmup_steps)
    )


def _state(case: Case, w: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One member's weights under torch's names and in its layout: (out, in); query, key and value
    in one.
    """
    renamed = {"head": "head"}
    state = {"token.weight": w["embedding.token"], "position": w["embedding.position"]}
    for block in range(1, case.depth + 1):
        ours, theirs = f"block{block}", f"encoder.layers.{block - 1}"
        renamed |= {
            f"{ours}.output": f"{theirs}.self_attn.out_proj",
            f"{ours}.ffn_in": f"{theirs}.linear1",
            f"{ours}.ffn_out": f"{theirs}.linear2",
        }
        projections = [f"{ours}.{group}" for group in ("query", "key", "value")]
        matrices = [w[f"{name}.matrix"].T for name in projections]
        state[f"{theirs}.self_attn.in_proj_weight"] = torch.cat(matrices)
        biases = [w[f"{name}.bias"] for name in projections]
        state[f"{theirs}.self_attn.in_proj_bias"] = torch.cat(biases)
        for sublayer, norm in ((2 * block - 1, "norm1"), (2 * block, "norm2")):
            state[f"{theirs}.{norm}.weight"] = w[f"sublayer{sublayer}.out.norm.gain"]
            state[f"{theirs}.{norm}.bias"] = w[f"sublayer{sublayer}.out.norm.bias"]
    for ours, theirs in renamed.items():
        state[f"{theirs}.weight"] = w[f"{ours}.matrix"].T
        state[f"{theirs}.bias"] = w[f"{ours}.bias"]
    return state
