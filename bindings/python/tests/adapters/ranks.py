"""A process of two that shares batches out in one of several ways: ``ranks.py WAY``. Prints what each gets, or what is refused."""

from __future__ import annotations

import sys
import warnings

import torch
from lookalike.torch import LookalikeBatchSampler
from test_data_loader import Indices, N
from torch import distributed
from torch.utils.data import DataLoader

B = 100


def sampler(**options):
    return LookalikeBatchSampler(N, batch_size=B, kind="uniform", coverage="cover", **options)


def with_lightning(made=None, **options):
    import lightning

    class Kept(lightning.LightningModule):
        """Keeps what it was given, and trains on nothing."""

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.seen = []

        def train_dataloader(self):
            return DataLoader(Indices(), batch_sampler=sampler() if made is None else made)

        def training_step(self, batch, index):
            self.seen.append(batch.tolist())
            return (self.weight * 0).sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, **options,
    )  # fmt: skip
    module = Kept()
    trainer.fit(module)
    return module.seen


def with_accelerate(**options):
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    loader = accelerator.prepare(DataLoader(Indices(), batch_sampler=sampler(**options)))
    return [batch.tolist() for batch in loader]


def by_itself():
    distributed.init_process_group("gloo")
    return [batch.tolist() for batch in DataLoader(Indices(), batch_sampler=sampler())]


def made_too_early():
    early = sampler()
    distributed.init_process_group("gloo")
    return list(early)


WAYS = {
    "itself": by_itself,
    "too-early": made_too_early,
    "accelerate": lambda: with_accelerate(rank=0, num_replicas=1),
    "accelerate-found": with_accelerate,
    "lightning": lambda: with_lightning(use_distributed_sampler=False),
    "lightning-default": with_lightning,
    "lightning-too-early": lambda: with_lightning(sampler(), use_distributed_sampler=False),
}


def main(way: str) -> None:
    warnings.filterwarnings("ignore")
    try:
        said = f"batches {WAYS[way]()}"
    except (RuntimeError, TypeError) as error:
        said = f"refused {type(error).__name__}: {error}"
    rank = distributed.get_rank() if distributed.is_initialized() else 0
    with open(f"said.{rank}", "w", encoding="utf-8") as file:
        file.write(said)
    if distributed.is_initialized():
        distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
