"""Parity with the package `transformers`: GPT-2, GPT-NeoX, Qwen 3, EXAONE 4, the
hyper-connections of DeepSeek-V4, the gated residual of Qwen 4, the stochastic depth of DINOv2.
"""

import importlib

import pytest
import torch
from support import foreign
from support.foreign import Compare, Weights
from support.schemes import scheme
from torch import Tensor

from resformer.numerics import rng


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_blocks_are_those_of_gpt_2(activation: str, compare: Compare) -> None:
    transformers = pytest.importorskip("transformers")
    from transformers.models.gpt2.modeling_gpt2 import GPT2Block

    config = transformers.GPT2Config(
        n_embd=12,
        n_head=3,
        n_inner=24,
        activation_function=activation,
        resid_pdrop=0.0,
        attn_pdrop=0.0,
        attn_implementation="sdpa",
    )

    def conv(w: Weights, block: int, *groups: str) -> Weights:
        """Weights of their linear layer, whose matrix is (in, out)."""
        names = [f"block{block}.{group}" for group in groups]
        return {
            "weight": torch.cat([w[f"{name}.matrix"] for name in names], 1),
            "bias": torch.cat([w[f"{name}.bias"] for name in names]),
        }

    def stack(w: Weights, x_BTD: Tensor) -> Tensor:
        for block in (1, 2, 3):
            own = {
                **foreign.within("ln_1", foreign.layer_norm(w, f"sublayer{2 * block - 1}.in")),
                **foreign.within("attn.c_attn", conv(w, block, "query", "key", "value")),
                **foreign.within("attn.c_proj", conv(w, block, "output")),
                **foreign.within("ln_2", foreign.layer_norm(w, f"sublayer{2 * block}.in")),
                **foreign.within("mlp.c_fc", conv(w, block, "ffn_in")),
                **foreign.within("mlp.c_proj", conv(w, block, "ffn_out")),
            }
            x_BTD = foreign.call(GPT2Block(config, layer_idx=block - 1), own, x_BTD)
        return foreign.norm(w, "last")(x_BTD)

    compare(scheme("gpt2"), stack, activation=activation)


@pytest.mark.parametrize(
    ("model", "norm", "place", "norms"),
    [
        ("Qwen3", "pre", "in", ("input_layernorm", "post_attention_layernorm")),
        ("Exaone4", "branch", "branch", ("post_attention_layernorm", "post_feedforward_layernorm")),
    ],
)
def test_modern_blocks_are_those_of_qwen_3_and_exaone_4(
    model: str,
    norm: str,
    place: str,
    norms: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    compare: Compare,
) -> None:
    """RMSNorm, norms of queries and keys, rope and SwiGLU, but for the float32 in which they
    compute norms and softmax.
    """
    transformers = pytest.importorskip("transformers")
    name = model.lower()
    theirs = importlib.import_module(f"transformers.models.{name}.modeling_{name}")
    monkeypatch.setattr(torch, "float32", torch.float64)
    monkeypatch.setattr(torch, "float", torch.float64)
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    config = getattr(transformers, f"{model}Config")(
        hidden_size=12,
        num_attention_heads=3,
        num_key_value_heads=3,
        head_dim=4,
        intermediate_size=16,
        rms_norm_eps=1e-6,
        rope_theta=100.0,
        sliding_window=None,
        num_hidden_layers=3,
        layer_types=["full_attention"] * 3,
        attn_implementation="eager",
    )
    names = {
        "self_attn.q_proj": "query",
        "self_attn.k_proj": "key",
        "self_attn.v_proj": "value",
        "self_attn.o_proj": "output",
        "mlp.up_proj": "ffn_in",
        "mlp.gate_proj": "ffn_gate",
        "mlp.down_proj": "ffn_out",
    }

    def stack(w: Weights, x_BTD: Tensor) -> Tensor:
        tokens = x_BTD.shape[1]
        mask_TT = torch.zeros(tokens, tokens, dtype=x_BTD.dtype)
        mask_TT = mask_TT.masked_fill(foreign.causal_mask(tokens), float("-inf"))
        turns = getattr(theirs, f"{model}RotaryEmbedding")(config)(
            x_BTD, torch.arange(tokens)[None]
        )
        for block in (1, 2, 3):
            own = {
                f"{name}.weight": w[f"block{block}.{group}.matrix"].T
                for name, group in names.items()
            }
            own |= {
                "self_attn.q_norm.weight": w[f"block{block}.query.gain"],
                "self_attn.k_norm.weight": w[f"block{block}.key.gain"],
                f"{norms[0]}.weight": w[f"sublayer{2 * block - 1}.{place}.norm.gain"],
                f"{norms[1]}.weight": w[f"sublayer{2 * block}.{place}.norm.gain"],
            }
            layer = getattr(theirs, f"{model}DecoderLayer")(config, layer_idx=block - 1)
            options = {"attention_mask": mask_TT[None, None], "position_embeddings": turns}
            x_BTD = foreign.call(layer, own, x_BTD, **options)
        last = getattr(theirs, f"{model}RMSNorm")(12, eps=1e-6)
        normed: Tensor = foreign.call(last, {"weight": w["last.norm.gain"]}, x_BTD)
        return normed

    compare(
        scheme("add"),
        stack,
        norm=norm,
        norm_kind="rms",
        qk_norm=True,
        bias=False,
        position="rope",
        rope_base=100.0,
        activation="swiglu",
    )


@pytest.mark.parametrize(("n", "start", "off_diagonal"), [(2, "apart", -8), (4, "published", -3)])
def test_streams_are_mixed_as_in_deepseek_v4(
    n: int, start: str, off_diagonal: int, monkeypatch: pytest.MonkeyPatch, compare: Compare
) -> None:
    """But for the 1e-6 that it adds to weights, and for float32, in which it computes them."""
    transformers = pytest.importorskip("transformers")
    from transformers.models.deepseek_v4 import modeling_deepseek_v4 as theirs

    monkeypatch.setattr(Tensor, "float", Tensor.double)
    config = transformers.DeepseekV4Config(
        hidden_size=12, hc_mult=n, hc_sinkhorn_iters=20, hc_eps=0.0, rms_norm_eps=1e-6
    )

    def weights(w: Weights, i: int) -> Weights:
        """Ours in its places; its matrix of the mixing is the transpose of M."""
        own = {
            name: w[f"sublayer{i}.mhc.{name}"]
            for name in ("write", "mix", "dynamic", "scale_read", "scale_write", "scale_mix")
        }
        read_write, mix = own["dynamic"].split([2 * n, n * n], 1)
        transposed = mix.unflatten(1, (n, n)).transpose(1, 2).flatten(1)
        read = [w[f"sublayer{i}.mhc.read{j}"] for j in range(n)]
        return {
            "fn": torch.cat([read_write, transposed], 1).T,
            "base": torch.cat([*read, own["write"], (own["mix"] + off_diagonal).T.flatten()]),
            "scale": torch.cat([own[f"scale_{part}"] for part in ("read", "write", "mix")]),
        }

    def stack(w: Weights, x_BTD: Tensor) -> Tensor:
        H_BTnD = x_BTD.unsqueeze(2).expand(-1, -1, n, -1).contiguous()
        for i in range(1, 7):
            connection = theirs.DeepseekV4HyperConnection(config)
            b_BTn, M_BTnn, h_BTD = foreign.call(connection, weights(w, i), H_BTnD)
            f_BTD = foreign.sublayer(w, i)(foreign.norm(w, f"sublayer{i}.in")(h_BTD))
            mixed_BTnD = M_BTnn.transpose(-1, -2) @ H_BTnD
            H_BTnD = mixed_BTnD + b_BTn.unsqueeze(-1) * f_BTD.unsqueeze(-2)
        return foreign.norm(w, "last")(H_BTnD.sum(2))

    compare(scheme("mhc", streams=n, start=start), stack)


@pytest.mark.parametrize("n", [2, 4])
def test_streams_are_gated_as_in_qwen_4(
    n: int, monkeypatch: pytest.MonkeyPatch, compare: Compare
) -> None:
    """But for the float32 in which it normalises. Its gains are written 1 + weight."""
    transformers = pytest.importorskip("transformers")
    from transformers.models.qwen4_exp import modeling_qwen4_exp as theirs

    monkeypatch.setattr(Tensor, "float", Tensor.double)
    config = transformers.Qwen4ExpTextConfig(
        hidden_size=12, hc_count=n, hc_lowrank=2, rms_norm_eps=1e-6
    )

    def weights(w: Weights, name: str) -> Weights:
        own = {
            "hc_norm.weight": w[f"{name}.gated_residual.gain"] - 1,
            "input_mix_weight_down.weight": w[f"{name}.gated_residual.down"].T,
            "input_mix_weight_up.weight": w[f"{name}.gated_residual.up"].T,
        }
        if name != "output":
            own["block_inject_weight.weight"] = w[f"{name}.gated_residual.write"].T
        return own

    def stack(w: Weights, x_BTD: Tensor) -> Tensor:
        s_BTN = x_BTD.repeat(1, 1, n)
        for i in range(1, 7):
            gates = theirs.Qwen4ExpTextGatedResidual(config)
            h_BTD, s_BTN, i_BTn = foreign.call(gates, weights(w, f"sublayer{i}"), s_BTN)
            f_BTD = foreign.sublayer(w, i)(h_BTD)
            s_BTN = s_BTN + (i_BTn.unsqueeze(-1) * f_BTD.unsqueeze(-2)).flatten(-2)
        last = theirs.Qwen4ExpTextGatedResidual(config, use_combine=False)
        read: Tensor = foreign.call(last, weights(w, "output"), s_BTN)
        return read

    compare(scheme("gated_residual", streams=n), stack)


def test_parallel_blocks_are_those_of_gpt_neox(compare: Compare) -> None:
    """With rotary positions that turn nothing."""
    transformers = pytest.importorskip("transformers")
    from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXLayer

    config = transformers.GPTNeoXConfig(
        hidden_size=12,
        num_attention_heads=3,
        intermediate_size=24,
        hidden_act="relu",
        attn_implementation="sdpa",
    )

    def by_head(w: Weights, block: int) -> Weights:
        """Query, key and value of a head side by side."""
        groups = [f"block{block}.{group}" for group in ("query", "key", "value")]
        matrices = [w[f"{group}.matrix"].T.unflatten(0, (3, -1)) for group in groups]
        biases = [w[f"{group}.bias"].unflatten(0, (3, -1)) for group in groups]
        return {
            "weight": torch.cat(matrices, 1).flatten(0, 1),
            "bias": torch.cat(biases, 1).flatten(),
        }

    def stack(w: Weights, x_BTD: Tensor) -> Tensor:
        unturned = torch.ones(1, x_BTD.shape[1], 4, dtype=x_BTD.dtype)
        for block in (1, 2, 3):
            first, second = f"sublayer{2 * block - 1}.in", f"sublayer{2 * block}.in"
            own = {
                **foreign.within("input_layernorm", foreign.layer_norm(w, first)),
                **foreign.within("post_attention_layernorm", foreign.layer_norm(w, second)),
                **foreign.within("attention.query_key_value", by_head(w, block)),
                **foreign.within("attention.dense", foreign.linear(w, f"block{block}.output")),
                **foreign.within("mlp.dense_h_to_4h", foreign.linear(w, f"block{block}.ffn_in")),
                **foreign.within("mlp.dense_4h_to_h", foreign.linear(w, f"block{block}.ffn_out")),
            }
            layer = GPTNeoXLayer(config, layer_idx=block - 1).eval()
            turns = (unturned, 0 * unturned)
            x_BTD = foreign.call(layer, own, x_BTD, position_embeddings=turns)
        return foreign.norm(w, "last")(x_BTD)

    compare(scheme("parallel"), stack)


def test_branches_are_dropped_as_in_dinov2(
    monkeypatch: pytest.MonkeyPatch, compare: Compare
) -> None:
    """With one number for all sequences of a batch, whose distance from 1 is ours."""
    pytest.importorskip("transformers")
    from transformers.models.dinov2.modeling_dinov2 import Dinov2DropPath

    key_P, survival = torch.tensor([3]), [1 - block / 6 for block in (1, 1, 2, 2, 3, 3)]
    drawn = ((rng.uniform(rng.key(key_P, "scheme"), 6) + 1) / 2)[0]
    assert 0 < sum(drawn < torch.tensor(survival)) < 6

    def stack(w: Weights, x_BTD: Tensor) -> Tensor:
        for i in range(1, 7):
            f_BTD = foreign.sublayer(w, i)(foreign.norm(w, f"sublayer{i}.in")(x_BTD))
            monkeypatch.setattr(torch, "rand", lambda *_, i=i, **__: 1 - drawn[i - 1])
            x_BTD = x_BTD + foreign.call(Dinov2DropPath(1 - survival[i - 1]), {}, f_BTD)
        return foreign.norm(w, "last")(x_BTD)

    compare(scheme("stochastic_depth"), stack, key_P, norm="pre")
