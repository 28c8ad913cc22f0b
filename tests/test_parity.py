"""Parity with torch's own layers, optimiser and schedule; with other packages in `parity/`."""

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from support import shapes
from support.schemes import name_of, schemes
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from resformer.model.shape import Member, Shape
from resformer.numerics import rng
from resformer.numerics.backends.base import (
    AttentionSettings,
    AttentionWeights,
    Backend,
    Linear,
)
from resformer.numerics.parameters import initial_values, unpack
from resformer.residuals.base import Residual
from resformer.tasks.sort import Sort
from resformer.training.population import Population

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


@pytest.mark.parametrize("tokens", [1, 2, 15, 16, 17, 33, 70])
@pytest.mark.parametrize("heads", [1, 3, 12])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_torchs_for_odd_shapes(
    backend: Backend, tokens: int, heads: int, causal: bool
) -> None:
    generator = torch.Generator().manual_seed(tokens)
    x_PRD, flat_PN = (
        torch.randn(2, *size, dtype=torch.float64, generator=generator)
        for size in ((3 * tokens, 12), (4 * 13 * 12,))
    )
    weights = [
        part_PN.view(2, 12, 12) if part_PN.shape[1] == 144 else part_PN
        for part_PN in flat_PN.split([144, 12] * 4, dim=1)
    ]
    settings = AttentionSettings(
        tokens=tokens, heads=heads, causal=causal, scale=(12 // heads) ** -0.5
    )
    layers = itertools.starmap(Linear, zip(weights[::2], weights[1::2], strict=True))
    ours = backend.attend(x_PRD, AttentionWeights(*layers), settings)
    mask = torch.ones(tokens, tokens, dtype=torch.bool).triu(1) if causal else None
    for member in (0, 1):
        query, key, value, output = (
            (matrix[member].T, bias[member])
            for matrix, bias in zip(weights[::2], weights[1::2], strict=True)
        )
        module = nn.MultiheadAttention(12, heads, batch_first=True, dtype=torch.float64)
        theirs = {
            "in_proj_weight": torch.cat([query[0], key[0], value[0]]),
            "in_proj_bias": torch.cat([query[1], key[1], value[1]]),
            "out_proj.weight": output[0],
            "out_proj.bias": output[1],
        }
        x_BTD = x_PRD[member].unflatten(0, (3, tokens))
        options = {"attn_mask": mask, "need_weights": False}
        expected, _ = torch.func.functional_call(module, theirs, (x_BTD,) * 3, options)
        # Scores of size 40 are rounded by 1e-14, and outputs of size 20 with them.
        torch.testing.assert_close(ours[member], expected.flatten(0, 1), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize(("clip", "weight_decay"), [(1.0, 0.0), (0.05, 0.1)])
def test_training_is_that_of_torchs_model_optimiser_and_schedule(
    shape: Shape, norm: str, clip: float, weight_decay: float
) -> None:
    shape = shapes.changed(
        shape,
        task=Sort(length=6, symbols=8),
        norm=norm,
        attention="bidirectional",
        steps=60,
        eval_every=60,
        warmup_steps=20,
        clip=clip,
        weight_decay=weight_decay,
        decay_all=True,
    )
    population = Population(shape, [Member(seed=3, lr=1e-2)], dtype=torch.float64)
    specs = population.model.parameter_specs
    own = {name: tensor[0] for name, tensor in unpack(specs, population.flat_PN).items()}
    reference = Reference(shape, own, torch.float64)
    reference.head.bias.data.zero_()
    optimiser = torch.optim.AdamW(
        reference.parameters(), lr=1e-2, betas=(0.9, 0.98), eps=1e-8, weight_decay=weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1, (step + 1) / 20))
    losses, norms = [], []
    for step in range(60):
        population.advance()
        place = step % population.drawn_steps
        logits = reference(population.inputs_CPBT[place, 0])
        targets = population.targets_CPBU[place, 0]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimiser.zero_grad()
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(reference.parameters(), clip).item())
        losses.append(loss.item())
        optimiser.step()
        schedule.step()
    # Sixty steps of round-off of 1e-16, amplified by training by far less than 1e6.
    expected = np.array([losses, norms])
    np.testing.assert_allclose(population.recorded(0)[..., 0], expected, rtol=1e-9)


@pytest.mark.parametrize("clip", [1.0, None])
def test_clipping_is_torchs(backend: Backend, clip: float | None) -> None:
    grad_PN = torch.tensor([[1e-2], [1.0], [30.0]], dtype=torch.float64) * torch.ones(3, 40)
    before, rows = grad_PN.clone(), [nn.Parameter(row.clone()) for row in grad_PN]
    norm_P = backend.clip(grad_PN, clip)
    for row in rows:
        row.grad = row.detach().clone()
        nn.utils.clip_grad_norm_([row], math.inf if clip is None else clip)
    torch.testing.assert_close(norm_P, before.norm(dim=1))
    torch.testing.assert_close(grad_PN, torch.stack([row.grad for row in rows]))


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_flops_are_those_torch_counts(residual: Residual[Any]) -> None:
    # The counter sees torch's own operations only, so that nothing is compiled here.
    shape = shapes.shape(residual=residual, norm=residual.own_norm)
    transformer = shape.transformer()
    flat_PN = initial_values(
        transformer.parameter_specs, torch.arange(2), torch.float32
    ).requires_grad_()
    source, target = shape.task.draw(rng.key(torch.arange(2), "test"), 8)
    # The counter knows matrix products, not the CPU's fused attention: let attention be matrix
    # products.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        transformer.forward(flat_PN, shape.task.inputs(source, target, "causal")).sum().backward()
    assert counter.get_total_flops() == 2 * transformer.flops_per_step(8)


@pytest.mark.parametrize(
    "changes",
    [
        {"activation": "swiglu", "bias": False, "qk_norm": True, "norm_kind": "rms"},
        {"position": "rope", "rope_base": 100.0, "activation": "geglu"},
        {"tied": True, "position": "none", "norm_kind": "derf"},
    ],
)
def test_flops_of_other_blocks_are_those_torch_counts(changes: dict[str, Any]) -> None:
    shape = shapes.shape(**changes)
    transformer = shape.transformer()
    flat_PN = transformer.initial_values(torch.arange(2), torch.float32).requires_grad_()
    source, target = shape.task.draw(rng.key(torch.arange(2), "test"), 8)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        transformer.forward(flat_PN, shape.task.inputs(source, target, "causal")).sum().backward()
    assert counter.get_total_flops() == 2 * transformer.flops_per_step(8)


def test_parameters_are_counted(shape: Shape) -> None:
    transformer = shape.transformer()
    own = {weight.name: torch.zeros(weight.shape) for weight in transformer.parameter_specs}
    reference = Reference(shape, own, torch.float32)
    assert transformer.num_parameters == sum(p.numel() for p in reference.parameters())
