"""Small settings and shapes; a test changes by name what it is about."""

import dataclasses
from typing import Any

from resformer.model.settings import ModelSettings
from resformer.model.shape import Shape, TrainSettings
from resformer.optimizers.adamw import AdamW
from resformer.residuals.add import Add
from resformer.tasks.copy import Copy


def settings(**changes: Any) -> TrainSettings:
    """Settings of training: 20 steps of 8 sequences, evaluated every 5, eager."""
    small = TrainSettings(
        steps=20,
        batch=8,
        warmup_steps=5,
        schedule="constant",
        final_lr=None,
        decay_all=False,
        dropout=0.0,
        clip=1.0,
        eval_every=5,
        eval_sequences=16,
        target_accuracy=0.99,
        target_loss=None,
        patience=20,
        stop_when_solved=True,
        compile=False,
        precision="fp32",
    )
    return dataclasses.replace(small, **changes)


def model(**changes: Any) -> ModelSettings:
    """Settings of the model: two causal blocks of width 16 with norms behind both sub-layers."""
    small = ModelSettings(
        depth=2,
        loops=1,
        width=16,
        heads=2,
        hidden=32,
        activation="relu",
        attention="causal",
        norm="post",
        norm_kind="layer",
        qk_norm=False,
        bias=True,
        position="learned",
        rope_base=None,
        tied=False,
        parametrisation="standard",
        base_depth=None,
        base_width=None,
        base_heads=None,
        module=None,
        skip="both",
    )
    return dataclasses.replace(small, **changes)


def shape(**changes: Any) -> Shape:
    """The shape of those settings: copy of 6 tokens, plain addition, on the CPU.

    A change is a field of the shape (`task`, `residual`, `optimizer`, `device`), of the settings
    of the model (`depth`, `norm`, …), of training (`steps`, `batch`, …) or of AdamW
    (`weight_decay`, …).
    """
    small = Shape(
        task=Copy(length=6, symbols=8),
        model=model(),
        residual=Add(),
        optimizer=AdamW(beta1=0.9, beta2=0.98, eps=1e-8, weight_decay=0.0),
        train=settings(),
        device="cpu",
    )
    return changed(small, **changes)


def tiny(**changes: Any) -> Shape:
    """The smallest shape that trains: one block of width 8, copy of 5 tokens."""
    small = shape(task=Copy(length=5, symbols=8), depth=1, width=8, hidden=16)
    return changed(small, **changes)


def changed(shape: Shape, **changes: Any) -> Shape:
    """This shape with some of its fields, or of its settings' fields, changed."""
    fields = dict(changes)
    for part in ("model", "train", "optimizer"):
        old = fields.get(part, getattr(shape, part))
        own = {name: fields.pop(name) for name in changes if hasattr(old, name)}
        fields[part] = dataclasses.replace(old, **own)
    return dataclasses.replace(shape, **fields)
