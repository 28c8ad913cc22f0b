"""Many members in one compiled program: JAX."""

import math
import os
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from lib.bench.cases import Case
from lib.bench.drawn import initial, tokens
from lib.bench.peers.base import Losses, Peer, Timed, fastest
from lib.bench.server import Server, ask_all
from resformer.model.shape import Member, Shape
from resformer.optimizers.base import Adaptive

_CHUNK = 10
"""Steps in one call of the compiled program."""
_NORM_EPS = 1e-5

Weights = dict[str, Array]
State = tuple[Weights, Weights, Weights, Array]
"""Weights, Adam's two moments, steps done."""


@final
class Jax(Peer):
    """`jit(vmap(step))` in `lax.scan`, state donated, a learning rate per member; members in the
    stack are chosen.

    Two processes pinned to a core each: at depth 8 they were 1.6 times as fast as one with JAX's
    default threads. The blocks are unrolled and tokens looked up by a one-hot product: both were
    faster than scanning and gathering.
    """

    def prepare(self, case: Case) -> str:
        """Start the workers, compile, and choose the number of members."""
        cores = sorted(os.sched_getaffinity(0))
        self._workers = [
            Server(Worker, case, rank, core, daemon=True) for rank, core in enumerate(cores)
        ]
        self._members = fastest(case.stacks, self._trial)
        return f"{len(cores)} processes × 1 core, {self._members} members"

    def losses(self, steps: int) -> Losses:
        """Losses of the members of all workers."""
        return np.concatenate(ask_all(self._workers, "losses", self._members, steps))

    def run(self, steps: int) -> list[Timed]:
        """A stack per worker."""
        return ask_all(self._workers, "run", self._members, steps)

    def _trial(self, members: int) -> list[Timed]:
        self._members = members
        return self.run(_CHUNK)


@final
class Worker:
    """A process on one core, which trains a stack of members of its own."""

    def __init__(self, case: Case, rank: int, core: int) -> None:
        # XLA makes as many threads as there are cores to run on, when it is first used.
        os.sched_setaffinity(0, {core})
        self._case, self._rank = case, rank

    def losses(self, members: int, steps: int) -> Losses:
        """Loss of each member in each step, (members, steps), nats per scored token."""
        return train(self._case, self._members(members), steps)[0]

    def run(self, members: int, steps: int) -> Timed:
        """Whole chunks of steps."""
        return train(self._case, self._members(members), steps)[1]

    def _members(self, count: int) -> list[Member]:
        return self._case.members((self._rank + 1) * count)[-count:]


def train(case: Case, members: Sequence[Member], steps: int) -> tuple[Losses, Timed]:
    """Train a stack of members on JAX's device, whole chunks of steps; the loss of each in each
    step, (members, steps), nats per scored token.
    """
    chunks = -(-steps // _CHUNK)
    inputs, targets = (
        jnp.asarray(part.numpy(), jnp.int32) for part in tokens(case, members, chunks * _CHUNK)
    )
    batches = list(zip(jnp.split(inputs, chunks), jnp.split(targets, chunks), strict=True))
    weights = {name: jnp.asarray(value.numpy()) for name, value in initial(case, members).items()}
    moments = [{name: jnp.zeros_like(value) for name, value in weights.items()} for _ in range(2)]
    state = (weights, *moments, jnp.zeros((), jnp.int32))
    lr_P = jnp.asarray([member.lr for member in members], jnp.float32)
    run, losses = _compiled(case.shape(1)), []
    jax.block_until_ready((state, batches))
    began = time.perf_counter()
    for batch in batches:
        state, loss_GP = run(state, lr_P, *batch)
        losses.append(loss_GP)
    jax.block_until_ready(losses)
    timed = Timed(len(members) * chunks * _CHUNK, time.perf_counter() - began)
    return np.concatenate(losses).T[:, :steps], timed


@cache
def _compiled(shape: Shape) -> Callable[[State, Array, Array, Array], tuple[State, Array]]:
    return jax.jit(partial(_chunk, shape), donate_argnums=0)


def _chunk(
    shape: Shape, state: State, lr_P: Array, inputs_SPBT: Array, targets_SPBU: Array
) -> tuple[State, Array]:
    """Train as many steps as there are batches; the losses are (steps, P)."""
    gradients_of = jax.vmap(jax.value_and_grad(partial(_loss, shape)))
    update = jax.vmap(partial(_adamw, shape), in_axes=(0, 0, 0, 0, 0, None))

    def step(state: State, batch: tuple[Array, Array]) -> tuple[State, Array]:
        weights, means, squares, done = state
        loss_P, gradients = gradients_of(weights, *batch)
        done = done + 1
        warm_lr_P = lr_P * jnp.minimum(1.0, done / shape.train.warmup_steps)
        return (*update(weights, gradients, means, squares, warm_lr_P, done), done), loss_P

    return lax.scan(step, state, (inputs_SPBT, targets_SPBU))


def _adamw(
    shape: Shape,
    weights: Weights,
    gradients: Weights,
    means: Weights,
    squares: Weights,
    lr: Array,
    done: Array,
) -> tuple[Weights, Weights, Weights]:
    """One member's weights and moments after a step with the clipped gradients."""
    adamw = shape.optimizer
    assert isinstance(adamw, Adaptive)
    beta1, beta2 = adamw.beta1, adamw.beta2
    norm = jnp.sqrt(sum(jnp.vdot(gradient, gradient) for gradient in gradients.values()))
    scale = jnp.minimum(1.0, shape.train.clip / (norm + 1e-6))
    gradients = {name: gradient * scale for name, gradient in gradients.items()}
    means = {
        name: beta1 * means[name] + (1 - beta1) * gradient for name, gradient in gradients.items()
    }
    squares = {
        name: beta2 * squares[name] + (1 - beta2) * gradient**2
        for name, gradient in gradients.items()
    }
    rate, correction = lr / (1 - beta1**done), 1 - beta2**done
    weights = {
        name: weight - rate * means[name] / (jnp.sqrt(squares[name] / correction) + adamw.eps)
        for name, weight in weights.items()
    }
    return weights, means, squares


def _loss(shape: Shape, w: Weights, inputs_BT: Array, targets_BU: Array) -> Array:
    """Mean cross-entropy at the scored positions."""
    model = shape.transformer()
    x_BTD = _one_hot(shape, inputs_BT) @ w["embedding.token"] + w["embedding.position"]
    for block in range(1, model.settings.depth + 1):
        x_BTD = _norm(
            w, f"sublayer{2 * block - 1}", x_BTD + _attend(shape, w, f"block{block}", x_BTD)
        )
        hidden = jax.nn.relu(_linear(w, f"block{block}.ffn_in", x_BTD))
        x_BTD = _norm(
            w, f"sublayer{2 * block}", x_BTD + _linear(w, f"block{block}.ffn_out", hidden)
        )
    logits_BUV = _linear(w, "head", x_BTD[:, -model.num_targets :])
    return -(_one_hot(shape, targets_BU) * jax.nn.log_softmax(logits_BUV)).sum(axis=-1).mean()


def _attend(shape: Shape, w: Weights, block: str, x_BTD: Array) -> Array:
    """Multi-head attention."""
    sequences, tokens, width = x_BTD.shape
    heads = shape.model.heads

    def split(group: str) -> Array:
        y_BTD = _linear(w, f"{block}.{group}", x_BTD)
        return y_BTD.reshape(sequences, tokens, heads, width // heads).transpose(0, 2, 1, 3)

    scores = split("query") @ split("key").swapaxes(-1, -2) / math.sqrt(width // heads)
    if shape.model.attention == "causal":
        scores = jnp.where(jnp.tri(tokens, dtype=bool), scores, -jnp.inf)
    mixed = jax.nn.softmax(scores) @ split("value")
    return _linear(w, f"{block}.output", mixed.transpose(0, 2, 1, 3).reshape(x_BTD.shape))


def _linear(w: Weights, name: str, x: Array) -> Array:
    """Rows flattened first:
    as one matrix product per member it is faster than as one per sequence.
    """
    matrix = w[f"{name}.matrix"]
    rows = x.reshape(-1, x.shape[-1]) @ matrix
    return rows.reshape(*x.shape[:-1], matrix.shape[-1]) + w[f"{name}.bias"]


def _norm(w: Weights, sublayer: str, x: Array) -> Array:
    unit = (x - x.mean(axis=-1, keepdims=True)) * lax.rsqrt(
        x.var(axis=-1, keepdims=True) + _NORM_EPS
    )
    return unit * w[f"{sublayer}.out.norm.gain"] + w[f"{sublayer}.out.norm.bias"]


def _one_hot(shape: Shape, tokens: Array) -> Array:
    return jax.nn.one_hot(tokens, shape.task.vocabulary)
