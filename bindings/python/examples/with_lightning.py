"""The same with Lightning: ``python with_lightning.py [DEVICES]``. It must not put a sampler of its own in the place of this one."""

import sys

import lightning
import torch
from lookalike.torch import LookalikeBatchSampler
from torch.utils.data import DataLoader
from with_pytorch import Vectors, nt_xent


class Contrast(lightning.LightningModule):
    def __init__(self, n: int = 20_000, **options) -> None:
        super().__init__()
        self.dataset, self.options = Vectors(n), options
        self.model = torch.nn.Sequential(torch.nn.Linear(32, 128), torch.nn.ReLU(), torch.nn.Linear(128, 64))
        self.consumed = 0

    def setup(self, stage: str) -> None:
        # Here, not before: now torch.distributed knows the processes, and the sampler asks it.
        options = {"batch_size": 256, "coverage": "cover", "refresh_every": 50, **self.options}
        self.sampler = LookalikeBatchSampler(len(self.dataset), **options)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.dataset, batch_sampler=self.sampler, num_workers=2)

    def training_step(self, batch, batch_index):
        a, b, indices = batch
        z, y = self.model(a), self.model(b)
        # All processes record the embeddings of all.
        everybody, embeddings = self.all_gather((indices, torch.cat([z, y], dim=1).detach()))
        self.sampler.update(everybody.flatten().cpu(), embeddings.flatten(0, -2).cpu())
        self.consumed = batch_index + 1
        return nt_xent(z, y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)

    def on_train_epoch_start(self) -> None:
        self.consumed = 0

    def on_save_checkpoint(self, checkpoint) -> None:
        states = [self.sampler.state_dict(consumed=self.consumed)]
        if self.trainer.world_size > 1:
            # What was prefetched is each process's own.
            states = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(states, self.sampler.state_dict(consumed=self.consumed))
        checkpoint["samplers"] = states

    def on_load_checkpoint(self, checkpoint) -> None:
        self.sampler.load_state_dict(checkpoint["samplers"][self.trainer.global_rank])
        self.consumed = self.sampler.first_batch


def main(devices: int = 1) -> None:
    lightning.seed_everything(0)
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        use_distributed_sampler=False,
        logger=False,
        enable_progress_bar=False,
    )
    module = Contrast()
    trainer.fit(module)
    sampler = module.sampler
    print(f"epoch {sampler.epoch}, {sampler.steps} batches, {sampler.report().builds} graphs", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
