"""Stability of training in numbers: rates that learn, sensitivity to the rate, spikes."""

import numpy as np

from resformer.keys import LEARNT
from resformer.stats import Bools, Floats

WINDOW = 201
"""Steps of the running median of the loss."""
SPIKE = 0.1
"""Nats per token by which the loss of a spike exceeds the running median."""
PER_STEPS = 10_000


def learning_share(loss_SR: Floats, ran_SR: Bools, blind_loss: float) -> float:
    """Share of the learning rates at which a seed learns, mean over seeds: its final held-out loss,
    nats per token, is under `LEARNT` times that of the best predictor that sees positions only.
    """
    learns_SR = ran_SR & (loss_SR < LEARNT * blind_loss)
    return float((learns_SR.sum(axis=1) / ran_SR.sum(axis=1)).mean())


def lr_sensitivity(loss_SR: Floats, initial_SR: Floats, ran_SR: Bools) -> Floats:
    """Sensitivity of each seed to the learning rate, nats per token, (S,): the mean over rates of
    min(final loss, initial loss), minus the least final loss (Wortsman et al. 2023, arXiv
    2309.14322, section 2.2). A loss that is not finite counts as the initial one.
    """
    capped_SR = capped(loss_SR, initial_SR)
    mean_S = np.where(ran_SR, capped_SR, 0.0).sum(axis=1) / ran_SR.sum(axis=1)
    sensitivity_S: Floats = mean_S - np.where(ran_SR, capped_SR, np.inf).min(axis=1)
    return sensitivity_S


def capped(loss: Floats, initial: Floats) -> Floats:
    """min(loss, initial loss); a loss that is not finite counts as the initial one."""
    return np.minimum(np.where(np.isfinite(loss), loss, np.inf), initial)


def spikes(loss_G: Floats) -> tuple[int, int]:
    """(spikes, steps judged) of the training losses of consecutive steps, (G,), nats per token.

    A spike is a step whose loss exceeds the median of the `WINDOW` steps around it by more than
    `SPIKE`, or is not finite (the rule of the Gated Residual report, arXiv 2608.30320, section
    3.3). Steps without a whole window are not judged: at the beginning the loss falls so fast that
    its first steps lie above any median.
    """
    judged = len(loss_G) - WINDOW + 1
    if judged < 1:
        return 0, 0
    loss_G = np.where(np.isfinite(loss_G), loss_G, np.inf)
    median_J = np.median(np.lib.stride_tricks.sliding_window_view(loss_G, WINDOW), axis=1)
    middle_J = loss_G[WINDOW // 2 :][:judged]
    return int((np.isinf(middle_J) | (middle_J > median_J + SPIKE)).sum()), judged
