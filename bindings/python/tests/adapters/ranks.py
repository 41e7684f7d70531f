"""A process of two that shares batches out by one of several programs, in the right way and in wrong ones: ``ranks.py PROGRAM``.

Writes what the process gets, or what is refused, by way.
"""

from __future__ import annotations

import json
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


#: Made before anybody knows of the processes.
EARLY = sampler()


def with_torch():
    distributed.init_process_group("gloo")
    return {
        "given": lambda: [batch.tolist() for batch in DataLoader(Indices(), batch_sampler=sampler())],
        "made too early": lambda: list(EARLY),
    }


def with_accelerate():
    from accelerate import Accelerator

    def read(**options):
        loader = Accelerator(cpu=True).prepare(DataLoader(Indices(), batch_sampler=sampler(**options)))
        return [batch.tolist() for batch in loader]

    return {
        "given": lambda: read(rank=0, num_replicas=1),
        "takes its part too": lambda: (Accelerator(cpu=True), read()),
    }


def with_lightning():
    import lightning

    class Kept(lightning.LightningModule):
        """Keeps what it was given, and trains on nothing."""

        def __init__(self, made):
            super().__init__()
            self.made = made
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.seen = []

        def train_dataloader(self):
            return DataLoader(Indices(), batch_sampler=self.made())

        def training_step(self, batch, index):
            self.seen.append(batch.tolist())
            return (self.weight * 0).sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def fit(made, **options):
        options = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, **options}
        trainer = lightning.Trainer(
            max_epochs=1, accelerator="cpu", devices=2, strategy="ddp", enable_checkpointing=False, **options
        )
        module = Kept(made)
        trainer.fit(module)
        return module.seen

    return {
        "given": lambda: fit(sampler, use_distributed_sampler=False),
        "made too early": lambda: fit(lambda: EARLY, use_distributed_sampler=False),
        "by default": lambda: fit(sampler),
    }


def main(program: str) -> None:
    warnings.filterwarnings("ignore")
    said = {}
    for way, run in {"torch": with_torch, "accelerate": with_accelerate, "lightning": with_lightning}[
        program
    ]().items():
        try:
            said[way] = run()
        except (RuntimeError, TypeError) as error:
            said[way] = f"{type(error).__name__}: {error}"
    with open(f"said.{distributed.get_rank()}", "w", encoding="utf-8") as file:
        json.dump(said, file)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
