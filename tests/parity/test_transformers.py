"""Parity with the package `transformers`: GPT-2, Qwen3, the hyper-connections of DeepSeek-V4."""

import pytest
import torch
from support import foreign
from support.foreign import Compare, Weights
from support.schemes import scheme
from torch import Tensor


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


def test_the_modern_block_is_that_of_qwen_3(
    monkeypatch: pytest.MonkeyPatch, compare: Compare
) -> None:
    """RMSNorm, norms of queries and keys, rope and SwiGLU, but for the float32 in which it computes
    norms and softmax.
    """
    transformers = pytest.importorskip("transformers")
    from transformers.models.qwen3 import modeling_qwen3 as theirs

    monkeypatch.setattr(torch, "float32", torch.float64)
    monkeypatch.setattr(torch, "float", torch.float64)
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    config = transformers.Qwen3Config(
        hidden_size=12,
        num_attention_heads=3,
        num_key_value_heads=3,
        head_dim=4,
        intermediate_size=16,
        rms_norm_eps=1e-6,
        rope_theta=100.0,
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
        turns = theirs.Qwen3RotaryEmbedding(config)(x_BTD, torch.arange(tokens)[None])
        for block in (1, 2, 3):
            own = {
                f"{name}.weight": w[f"block{block}.{group}.matrix"].T
                for name, group in names.items()
            }
            own |= {
                "self_attn.q_norm.weight": w[f"block{block}.query.gain"],
                "self_attn.k_norm.weight": w[f"block{block}.key.gain"],
                "input_layernorm.weight": w[f"sublayer{2 * block - 1}.in.norm.gain"],
                "post_attention_layernorm.weight": w[f"sublayer{2 * block}.in.norm.gain"],
            }
            layer = theirs.Qwen3DecoderLayer(config, layer_idx=block - 1)
            options = {"attention_mask": mask_TT[None, None], "position_embeddings": turns}
            x_BTD = foreign.call(layer, own, x_BTD, **options)
        last = theirs.Qwen3RMSNorm(12, eps=1e-6)
        return foreign.call(last, {"weight": w["last.norm.gain"]}, x_BTD)

    compare(
        scheme("add"),
        stack,
        norm="pre",
        norm_kind="rms",
        qk_norm=True,
        bias=False,
        position="rope",
        rope_base=100.0,
        activation="swiglu",
    )


@pytest.mark.parametrize("n", [2, 4])
def test_streams_are_mixed_as_in_deepseek_v4(
    n: int, monkeypatch: pytest.MonkeyPatch, compare: Compare
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
            "base": torch.cat([*read, own["write"], (own["mix"] - 8).T.flatten()]),
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

    compare(scheme("mhc", streams=n), stack)
