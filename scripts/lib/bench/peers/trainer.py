"""One run at a time, in Lightning's Trainer."""

import logging
import time
import warnings
from typing import final

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lib.bench.cases import Case
from lib.bench.drawn import tokens
from lib.bench.module import classifiers
from lib.bench.peers.base import Losses, Peer, Timed, fastest
from resformer.model.shape import Member, TrainSettings

_TRIAL_STEPS = 30


@final
class Lightning(Peer):
    """`lightning.Trainer`; logger, checkpoints, progress bar and model summary off, AdamW fused,
    threads chosen.
    """

    def prepare(self, case: Case) -> str:
        """Choose the number of threads."""
        self._case = case
        torch.set_flush_denormal(True)
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module="lightning")
        threads = fastest({1, torch.get_num_threads()}, self._trial)
        torch.set_num_threads(threads)
        return f"{threads} thread{'s' if threads > 1 else ''}, fused AdamW"

    def losses(self, steps: int) -> Losses:
        """Losses of the first two members, one after the other."""
        return np.array(
            [_train(self._case, member, steps).losses for member in self._case.members(2)]
        )

    def run(self, steps: int) -> list[Timed]:
        """The first member."""
        fitted = _train(self._case, self._case.members(1)[0], steps)
        return [Timed(steps, fitted.ended - fitted.began)]

    def _trial(self, threads: int) -> list[Timed]:
        torch.set_num_threads(threads)
        return self.run(_TRIAL_STEPS)


def _train(case: Case, member: Member, steps: int) -> "_Fitted":
    settings = case.shape(steps).train
    fitted = _Fitted(case, member, settings)
    inputs_SPBT, targets_SPBU = tokens(case, [member], steps)
    # Batches are whole already: without `batch_size=None` the loader would collate each of its
    # sequences anew.
    loader = DataLoader(TensorDataset(inputs_SPBT[:, 0], targets_SPBU[:, 0]), batch_size=None)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=steps,
        gradient_clip_val=settings.clip,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(fitted, loader)
    return fitted


@final
class _Fitted(lightning.LightningModule):
    """The module with its loss, optimiser and schedule; when its training began and ended."""

    def __init__(self, case: Case, member: Member, settings: TrainSettings) -> None:
        super().__init__()
        self._settings, self._lr = settings, member.lr
        [self._classifier] = classifiers(case, [member])
        self.losses: list[float] = []
        self.began = self.ended = 0.0

    def training_step(self, batch: list[Tensor]) -> Tensor:
        inputs, targets = batch
        loss = nn.functional.cross_entropy(
            self._classifier(inputs).flatten(0, 1), targets.flatten()
        )
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> dict[str, object]:
        settings = self._settings
        optimiser = torch.optim.AdamW(
            self.parameters(),
            self._lr,
            betas=(settings.beta1, settings.beta2),
            eps=settings.eps,
            weight_decay=0.0,
            fused=True,
        )
        warm_up = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: min(1.0, (step + 1) / settings.warmup_steps)
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": warm_up, "interval": "step"}}

    def on_train_start(self) -> None:
        self.began = time.perf_counter()

    def on_train_end(self) -> None:
        self.ended = time.perf_counter()
