"""Names that settings have elsewhere, and the settings that a mistyped name may mean."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from resformer.plugins import GROUPS

_NAMES_BY_REASON = (
    ("optimizer=sgd and optimizer=muon have one; of adamw it is optimizer.beta1", "momentum"),
    ("every sequence is fresh; the budget is train.steps", "epochs dataset train_size"),
    ("engine.extra is for it, with engine=slurm", "qos constraint nodelist exclude sbatch wckey"),
)
"""Reasons why there is no setting, each with the names that such a setting has elsewhere."""
_NAMES_BY_KEY = {
    "member.lr": "learning_rate rate",
    "member.seed": "seeds random_state manual_seed",
    "model.depth": "layers blocks num_hidden_layers",
    "model.width": "dim d_model n_embd embed_dim embedding hidden_size channels",
    "model.loops": "passes recurrence recurrent universal weight_sharing shared_layers",
    "model.heads": "n_head num_attention_heads",
    "model.hidden": "ffn d_ff ffn_dim mlp intermediate_size feedforward",
    "model.activation": "relu gelu silu relu2 swiglu geglu nonlinearity",
    "model.attention": "causal mask bidirectional",
    "model.norm": "layer_norm prenorm postnorm normalization normalisation",
    "model/residual": "scheme",
    "model.skip": "skips connection",
    "train.steps": "iterations iters max_iters budget",
    "train.batch": "bs batch_size",
    "train.warmup_steps": "warmup warm_up",
    "model.norm_kind": "rms rmsnorm rms_norm layernorm dyt derf",
    "model.position": "positional rotary rope sinusoidal pos_emb position_embedding",
    "model.rope_base": "theta rope_theta",
    "model.qk_norm": "qk_layernorm query_key_norm",
    "model.tied": "tie_embeddings tie_word_embeddings weight_tying",
    "model.parametrisation": "mup parametrization completep",
    "optimizer": "optimiser optim adam adamw sgd muon lion nesterov",
    "optimizer.weight_decay": "wd l2 lambda regularization",
    "train.schedule": "scheduler lr_decay lr_schedule annealing cosine wsd",
    "train.final_lr": "min_lr lr_min eta_min",
    "train.dropout": "p_drop drop dropout_rate",
    "train.clip": "grad_norm gradient_norm clip_norm",
    "optimizer.eps": "epsilon adam_eps",
    "train.eval_every": "eval_steps eval_interval eval_freq evaluate_every",
    "train.eval_sequences": "test_size val_size eval_size",
    "train.stop_when_solved": "early_stopping",
    "train.precision": "dtype amp fp16 bf16 half float16",
    "task": "data problem",
    "task.length": "seq_len sequence_length max_len context block_size tokens",
    "task.symbols": "vocab vocabulary alphabet",
    "device": "gpu cuda cpu accelerator",
    "engine.workers": "jobs processes parallel",
    "engine.memory_gib": "ram mem",
    "engine.partition": "queue",
}
"""Names that settings have elsewhere, by key."""
_FEWEST_LETTERS = 3
"""Fewest letters of a name that stands for a longer one."""


@final
@dataclass(frozen=True)
class Meant:
    """Settings that a name may mean: keys, or the reason why there is none."""

    keys: list[str]
    reason: str = ""


def meant(name: str, known: Sequence[str], section: str = "") -> Meant:
    """Settings that a name may mean, of these keys and those that have other names. One that was
    typed behind a section means no other section's, unless that has it by this very name.
    """
    reasons = {word: reason for reason, words in _NAMES_BY_REASON for word in words.split()}
    elsewhere = {word: key for key, words in _NAMES_BY_KEY.items() for word in words.split()}
    here: dict[str, str] = {}
    for key in known:
        here.setdefault(key.rpartition(".")[2], GROUPS.get(key, key))
    keys = {**here, **elsewhere, **here}
    inside = {word: key for word, key in keys.items() if key.startswith(section)}
    name = name.lower()
    closest = _same(name, {**reasons, **keys}) or _similar(name, {**reasons, **inside})
    if reason := next((reasons[word] for word in closest if word in reasons), ""):
        return Meant([], reason)
    return Meant(list(dict.fromkeys(keys[word] for word in closest)))


def _same(name: str, words: Collection[str]) -> list[str]:
    """The name among these, whatever its underscores."""
    if name in words:
        return [name]
    return [word for word in words if word.replace("_", "") == name.replace("_", "")]


def _similar(name: str, words: Collection[str]) -> list[str]:
    """Words that a name of several parts begins; else those with all of its parts, as underscores
    divide it, or all of whose parts it has; else those that it begins or that begin it; else those
    that hold it or that it holds; else a similar one.
    """
    if "_" in name and (begun := [word for word in words if word.startswith(name)]):
        return _longest({word: -len(word) for word in begun})
    parts = {*name.split("_")}
    shared = {
        word: len(parts & own)
        for word in words
        if parts <= (own := {*word.split("_")}) or own <= parts
    }
    if shared:
        return _longest(shared)
    letters = {word: min(len(word), len(name)) for word in words}
    long = [word for word in words if letters[word] >= _FEWEST_LETTERS]
    begun = [word for word in long if word.startswith(name) or name.startswith(word)]
    held = [word for word in long if word in name or name in word]
    if close := begun or held:
        return _longest({word: letters[word] for word in close})
    return difflib.get_close_matches(name, words, n=1, cutoff=0.7)


def _longest(lengths: Mapping[str, int]) -> list[str]:
    """Words of the greatest length."""
    return [word for word, length in lengths.items() if length == max(lengths.values())]
