"""Parity with torch's own layers and optimiser."""

import dataclasses
from typing import Any

import pytest
import torch
from support import shapes
from support.schemes import name_of, schemes
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from resformer.model.shape import Shape
from resformer.numerics import rng
from resformer.numerics.adamw import AdamW
from resformer.numerics.backends.base import AdamWSettings, Backend
from resformer.numerics.parameters import initial_values, unpack
from resformer.residuals.base import Residual
from resformer.tasks.sort import Sort

# float32: a handful of sums of some tens of terms of size 1, each with a relative error of 6e-8.
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-10}


@pytest.fixture(params=[False, True], ids=["eager", "compiled"])
def shape(shape: Shape, request: pytest.FixtureRequest) -> Shape:
    if request.param:
        request.getfixturevalue("kernels")
    return shapes.changed(shape, compile=request.param)


class Reference(nn.Module):
    """The model as anyone would write it around `nn.TransformerEncoderLayer`, with one member's
    weights.
    """

    def __init__(self, shape: Shape, weights: dict[str, Tensor], dtype: torch.dtype) -> None:
        super().__init__()
        model = shape.model
        self.token = nn.Parameter(weights["embedding.token"].clone())
        self.position = nn.Parameter(weights["embedding.position"].clone())
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                model.width,
                model.heads,
                model.hidden,
                dropout=0.0,
                activation=model.activation,
                batch_first=True,
                norm_first=model.norm == "pre",
                dtype=dtype,
            )
            for _ in range(model.depth)
        )
        self.last = nn.LayerNorm(model.width, dtype=dtype) if model.norm == "pre" else nn.Identity()
        self.head = nn.Linear(model.width, shape.task.vocabulary, dtype=dtype)
        for block, layer in enumerate(self.blocks, start=1):
            self.load(layer, block, weights)
        with torch.no_grad():
            self.head.weight.copy_(weights["head.matrix"].T)

    @torch.no_grad()
    def load(
        self, layer: nn.TransformerEncoderLayer, block: int, weights: dict[str, Tensor]
    ) -> None:
        qkv = [weights[f"block{block}.{group}.matrix"].T for group in ("query", "key", "value")]
        layer.self_attn.in_proj_weight.copy_(torch.cat(qkv))
        layer.self_attn.in_proj_bias.zero_()
        layer.self_attn.out_proj.bias.zero_()
        for ours, theirs in (
            ("output", layer.self_attn.out_proj),
            ("ffn_in", layer.linear1),
            ("ffn_out", layer.linear2),
        ):
            theirs.weight.copy_(weights[f"block{block}.{ours}.matrix"].T)
            theirs.bias.copy_(weights[f"block{block}.{ours}.bias"])

    def forward(self, inputs_BT: Tensor) -> Tensor:
        x = self.token[inputs_BT] + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.last(x))

    def gradient(self, name: str) -> Tensor | None:
        """The gradient that corresponds to one of our weights, or None where the norms are
        concerned.
        """
        part, _, kind = name.partition(".")
        if part == "embedding":
            return getattr(self, kind).grad
        if part == "head":
            return self.head.weight.grad.T if kind == "matrix" else self.head.bias.grad
        if part == "last":
            return self.last.weight.grad if kind.endswith("gain") else self.last.bias.grad
        if part.startswith("sublayer"):
            sublayer = int(part.removeprefix("sublayer"))
            layer = self.blocks[(sublayer - 1) // 2]
            norm = layer.norm1 if sublayer % 2 else layer.norm2
            return norm.weight.grad if kind.endswith("gain") else norm.bias.grad
        layer = self.blocks[int(part.removeprefix("block")) - 1]
        group, _, tensor = kind.partition(".")
        if group in ("query", "key", "value"):
            place = ("query", "key", "value").index(group)
            whole = (
                layer.self_attn.in_proj_weight
                if tensor == "matrix"
                else layer.self_attn.in_proj_bias
            )
            piece = whole.grad.chunk(3)[place]
        else:
            module = {
                "output": layer.self_attn.out_proj,
                "ffn_in": layer.linear1,
                "ffn_out": layer.linear2,
            }[group]
            piece = module.weight.grad if tensor == "matrix" else module.bias.grad
        return piece.T if tensor == "matrix" else piece


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_default_block_is_torchs(
    shape: Shape, dtype: torch.dtype, norm: str, activation: str
) -> None:
    model = dataclasses.replace(
        shape.model, norm=norm, activation=activation, attention="bidirectional"
    )
    shape = dataclasses.replace(shape, model=model, task=Sort(length=6, symbols=8))
    transformer = shape.transformer()
    weights = transformer.parameter_specs
    flat_PN = initial_values(weights, torch.tensor([3, 5]), dtype).requires_grad_()
    source, target = shape.task.draw(rng.key(torch.tensor([3, 5]), "test"), 4)
    ours = transformer.forward(flat_PN, source)
    loss_P = torch.stack(
        [nn.functional.cross_entropy(ours[p].flatten(0, 1), target[p].flatten()) for p in (0, 1)]
    )
    (grad_PN,) = torch.autograd.grad(loss_P.sum(), flat_PN)
    for member in (0, 1):
        own = {name: tensor[member] for name, tensor in unpack(weights, flat_PN.detach()).items()}
        reference = Reference(shape, own, dtype)
        reference.head.bias.data.zero_()
        logits = reference(source[member])
        nn.functional.cross_entropy(logits.flatten(0, 1), target[member].flatten()).backward()
        tolerance = {"rtol": TOLERANCE[dtype] * 10, "atol": TOLERANCE[dtype]}
        torch.testing.assert_close(ours[member], logits, **tolerance)
        for name, tensor in unpack(weights, grad_PN).items():
            torch.testing.assert_close(
                tensor[member], reference.gradient(name), **tolerance, msg=name
            )


def test_causal_is_torchs_mask(shape: Shape) -> None:
    transformer = shape.transformer()
    weights = transformer.parameter_specs
    flat_PN = initial_values(weights, torch.tensor([3]), torch.float64)
    source, target = shape.task.draw(rng.key(torch.tensor([3]), "test"), 4)
    inputs = shape.task.inputs(source, target, "causal")
    reference = Reference(
        shape, {name: w[0] for name, w in unpack(weights, flat_PN).items()}, torch.float64
    )
    reference.head.bias.data.zero_()
    x = reference.token[inputs[0]] + reference.position
    mask = nn.Transformer.generate_square_subsequent_mask(transformer.tokens, dtype=torch.float64)
    for block in reference.blocks:
        x = block(x, src_mask=mask)
    expected = reference.head(x)[:, -transformer.num_targets :]
    torch.testing.assert_close(
        transformer.forward(flat_PN, inputs)[0], expected, rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adamw_is_torchs(dtype: torch.dtype, weight_decay: float, backend: Backend) -> None:
    """With clipping and a learning rate that changes, each member against an optimiser of
    its own.
    """
    generator = torch.Generator().manual_seed(0)
    flat_PN = torch.randn(3, 40, dtype=dtype, generator=generator)
    lr_P = torch.tensor([1e-3, 1e-2, 0.3], dtype=dtype)
    theirs = [nn.Parameter(row.clone()) for row in flat_PN]
    options = {"betas": (0.9, 0.98), "eps": 1e-8, "weight_decay": weight_decay}
    optimisers = [
        torch.optim.AdamW([p], lr=float(lr), **options) for p, lr in zip(theirs, lr_P, strict=True)
    ]
    ours = AdamW(
        backend=backend,
        settings=AdamWSettings(
            clip=1.0, beta1=0.9, beta2=0.98, eps=1e-8, weight_decay=weight_decay
        ),
        exp_avg_PN=torch.zeros_like(flat_PN),
        exp_avg_sq_PN=torch.zeros_like(flat_PN),
    )
    for step in range(30):
        grad_PN = torch.randn(3, 40, dtype=dtype, generator=generator) * (
            10.0 if step % 3 else 0.01
        )
        warm = min(1.0, (step + 1) / 10)
        for parameter, optimiser, grad, lr in zip(theirs, optimisers, grad_PN, lr_P, strict=True):
            parameter.grad = grad.clone()
            nn.utils.clip_grad_norm_([parameter], 1.0)
            optimiser.param_groups[0]["lr"] = float(lr) * warm
            optimiser.step()
        norm_before_P = grad_PN.norm(dim=1)
        norm_P = ours.step(flat_PN, grad_PN, lr_P * warm, torch.tensor(step + 1))
        torch.testing.assert_close(norm_P, norm_before_P)
        # 30 steps of size lr ≤ 0.3 add up their round-off, some five roundings each: 30 × 0.3 × 5 ×
        # 6e-8 in float32.
        expected, atol = torch.stack([p.data for p in theirs]), 3 * TOLERANCE[dtype]
        torch.testing.assert_close(flat_PN, expected, rtol=TOLERANCE[dtype], atol=atol)


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_flops_are_those_torch_counts(shape: Shape, residual: Residual[Any]) -> None:
    model = dataclasses.replace(shape.model, norm=residual.own_norm)
    # The counter sees torch's own operations only.
    transformer = dataclasses.replace(
        dataclasses.replace(shape, residual=residual, model=model).transformer(), compile=False
    )
    flat_PN = initial_values(
        transformer.parameter_specs, torch.arange(2), torch.float32
    ).requires_grad_()
    source, target = shape.task.draw(rng.key(torch.arange(2), "test"), 8)
    # The counter knows matrix products, not the CPU's fused attention: let attention be matrix
    # products.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        transformer.forward(flat_PN, shape.task.inputs(source, target, "causal")).sum().backward()
    assert counter.get_total_flops() == 2 * transformer.flops_per_step(8)


def test_parameters_are_counted(shape: Shape) -> None:
    transformer = shape.transformer()
    own = {weight.name: torch.zeros(weight.shape) for weight in transformer.parameter_specs}
    reference = Reference(shape, own, torch.float32)
    assert transformer.num_parameters == sum(p.numel() for p in reference.parameters())
