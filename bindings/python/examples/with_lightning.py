"""The same with Lightning: ``python with_lightning.py``. It must not put a sampler of its own in the place of this one."""

import lightning
import torch
from lookalike.torch import LookalikeBatchSampler
from torch.utils.data import DataLoader
from with_pytorch import Vectors, nt_xent


class Contrast(lightning.LightningModule):
    def __init__(self, sampler: LookalikeBatchSampler) -> None:
        super().__init__()
        self.sampler = sampler
        self.model = torch.nn.Sequential(torch.nn.Linear(32, 128), torch.nn.ReLU(), torch.nn.Linear(128, 64))
        self.consumed = 0

    def training_step(self, batch, batch_index):
        a, b, indices = batch
        z, y = self.model(a), self.model(b)
        # With several devices: self.all_gather of both, and rank and num_replicas for the sampler.
        self.sampler.update(indices.cpu(), torch.cat([z, y], dim=1).cpu())
        self.consumed = batch_index + 1
        return nt_xent(z, y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)

    def on_train_epoch_start(self) -> None:
        self.consumed = 0

    def on_save_checkpoint(self, checkpoint) -> None:
        checkpoint["sampler"] = self.sampler.state_dict(consumed=self.consumed)

    def on_load_checkpoint(self, checkpoint) -> None:
        self.sampler.load_state_dict(checkpoint["sampler"])
        self.consumed = self.sampler.first_batch


def main() -> None:
    lightning.seed_everything(0)
    dataset = Vectors()
    sampler = LookalikeBatchSampler(len(dataset), batch_size=256, coverage="cover", refresh_every=50)
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        use_distributed_sampler=False,
        logger=False,
        enable_progress_bar=False,
    )
    trainer.fit(Contrast(sampler), DataLoader(dataset, batch_sampler=sampler, num_workers=2))
    print(f"epoch {sampler.epoch}, {sampler.steps} batches, {sampler.report().builds} graphs")


if __name__ == "__main__":
    main()
