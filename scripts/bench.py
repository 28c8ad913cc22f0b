"""Milliseconds of one member's training step: in a population, and in the script anyone would write.

Both train the same model on the same task with AdamW, clipping and a fresh batch per step, in float32. The population
has one thread; the script is timed with one and with torch's default number. They are interleaved and the table holds
medians, so that a noisy machine disturbs all alike; only the ratios are meant to be compared between machines. The
last one is for the whole machine: on C cores C populations train side by side, one script with all threads.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from resformer import streams
from resformer.model import ModelSettings
from resformer.optim import adamw, clip
from resformer.process import prepare
from resformer.residuals.add import Add
from resformer.shape import Shape, TrainSettings
from resformer.tasks.base import Task
from resformer.tasks.copy import Copy
from resformer.tasks.sort import Sort
from resformer.weights import initial

WIDTH, HEADS, HIDDEN, BATCH, SYMBOLS, LENGTH = 32, 4, 128, 32, 16, 8


def script_step(task: Task, depth: int) -> Callable[[], None]:
    """A step of one training around `nn.TransformerEncoder` and `torch.optim.AdamW`."""
    tokens, causal = task.tokens(task.attention), task.attention == "causal"
    embedding = nn.Embedding(task.vocabulary, WIDTH)
    position = nn.Parameter(torch.randn(tokens, WIDTH))
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, dropout=0.0, batch_first=True)
    encoder = nn.TransformerEncoder(layer, depth)
    head = nn.Linear(WIDTH, task.vocabulary)
    parameters = [position, *embedding.parameters(), *encoder.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0)
    mask = nn.Transformer.generate_square_subsequent_mask(tokens) if causal else None

    def step() -> None:
        source = torch.randint(task.symbols, (BATCH, task.length))
        target = task.target(source)
        x = embedding(task.reads(source, target, task.attention)) + position
        logits = head(encoder(x, mask=mask, is_causal=causal)[:, -task.length :])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        loss.item()

    return step


def population_step(task: Task, depth: int, members: int) -> Callable[[], None]:
    """A step of `members` trainings in one stack, as `resformer.train` does it."""
    model = ModelSettings(depth, WIDTH, HEADS, HIDDEN, "relu", task.attention, "post")
    settings = TrainSettings(100, BATCH, 50, 0.9, 0.98, 1e-8, 0.0, 1.0, 10, 128, 0.99, 5, True)
    transformer = Shape(task, model, Add(), settings, "cpu").transformer()
    seed_P, lr_P = torch.arange(members), torch.full((members,), 1e-3)
    flat_PN = initial(transformer.weights(), seed_P, torch.float32)
    optimiser = adamw(flat_PN, 0.9, 0.98, 1e-8, 0.0)
    done = 0

    def step() -> None:
        nonlocal done
        source, target = task.draw(streams.stream(seed_P, "batch", done), BATCH)
        leaf_PN = flat_PN.detach().requires_grad_()
        logits = transformer.forward(leaf_PN, task.reads(source, target, task.attention))
        loss = nn.functional.cross_entropy(logits.flatten(0, 2), target.flatten(), reduction="none")
        (grad_PN,) = torch.autograd.grad(loss.view(members, -1).mean(dim=1).sum(), leaf_PN)
        clip(grad_PN, 1.0)
        optimiser.step(flat_PN, grad_PN, lr_P)
        done += 1

    return step


def seconds(step: Callable[[], None]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=6, help="members in the stack")
    parser.add_argument("--repeats", type=int, default=40, help="steps timed of each")
    options = parser.parse_args()
    cores = torch.get_num_threads()
    prepare()
    print(f"torch {torch.__version__}, {options.members} members in a stack, medians of {options.repeats} steps, ms")
    print(f"task  tokens depth  script, {cores} threads  script, 1 thread  population  per core  whole machine")
    for task in (Sort(LENGTH, SYMBOLS), Copy(LENGTH, SYMBOLS)):
        for depth in (2, 8):
            alone, together = script_step(task, depth), population_step(task, depth, options.members)
            found = [trial(alone, together, cores, options.members) for _ in range(options.repeats + 5)][5:]
            default, single, population = (1000 * statistics.median(column) for column in zip(*found, strict=True))
            name = type(task).__name__.lower()
            print(
                f"{name:<5} {task.tokens(task.attention):>6} {depth:>5} {default:>18.2f} "
                f"{single:>17.2f} {population:>11.2f} {single / population:>9.2f} "
                f"{default * cores / population:>14.2f}"
            )


def trial(alone: Callable[[], None], together: Callable[[], None], cores: int, members: int) -> tuple[float, ...]:
    """Seconds of one step of the script with all threads and with one, and of one member's in the population."""
    torch.set_num_threads(cores)
    default = seconds(alone)
    torch.set_num_threads(1)
    return default, seconds(alone), seconds(together) / members


if __name__ == "__main__":
    main()
