"""One run at a time, in Lightning's Trainer."""

import logging
import time
import warnings
from typing import final

import lightning
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lib.bench.cases import Case
from lib.bench.drawn import tokens
from lib.bench.module import classifiers, optimised
from lib.bench.peers.base import Timed
from lib.bench.peers.one import One
from resformer.model.shape import Member


@final
class Lightning(One):
    """`lightning.Trainer`; logger, checkpoints, progress bar and model summary off, AdamW fused,
    threads chosen.
    """

    def prepare(self, case: Case) -> str:
        """Keep it quiet, and choose the number of threads."""
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module="lightning")
        return super().prepare(case)

    def _train(self, member: Member, steps: int) -> tuple[list[float], Timed]:
        fitted = _Fitted(self._case, member)
        inputs_SPBT, targets_SPBU = tokens(self._case, [member], steps)
        # Batches are whole already: without `batch_size=None` the loader would collate each of its
        # sequences anew.
        loader = DataLoader(TensorDataset(inputs_SPBT[:, 0], targets_SPBU[:, 0]), batch_size=None)
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_steps=steps,
            gradient_clip_val=self._case.clip,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(fitted, loader)
        return fitted.losses, Timed(steps, fitted.ended - fitted.began)


@final
class _Fitted(lightning.LightningModule):
    """The module with its loss, optimiser and schedule; when its training began and ended."""

    def __init__(self, case: Case, member: Member) -> None:
        super().__init__()
        self._case, self._lr = case, member.lr
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
        optimiser, warm_up = optimised(self, self._case, self._lr, fused=True)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": warm_up, "interval": "step"}}

    def on_train_start(self) -> None:
        self.began = time.perf_counter()

    def on_train_end(self) -> None:
        self.ended = time.perf_counter()
