"""The same with the ``Trainer`` of transformers: ``python with_transformers.py OUT STEPS``, or by torchrun on several processes.

Run again with more steps it goes on from its last checkpoint.
"""

import sys
from pathlib import Path

import torch
from lookalike.torch import LookalikeBatchSampler
from lookalike.transformers import SamplerCallback
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments
from with_pytorch import Vectors, nt_xent


class Contrast(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = torch.nn.Sequential(torch.nn.Linear(32, 128), torch.nn.ReLU(), torch.nn.Linear(128, 64))

    def forward(self, a: torch.Tensor, b: torch.Tensor):
        return self.model(a), self.model(b)


def collated(rows):
    a, b, indices = zip(*rows)
    return {"a": torch.stack(a), "b": torch.stack(b), "indices": torch.tensor(indices)}


class ContrastTrainer(Trainer):
    def __init__(self, sampler: LookalikeBatchSampler, **options) -> None:
        super().__init__(callbacks=[SamplerCallback(sampler)], data_collator=collated, **options)
        self.sampler = sampler

    def get_train_dataloader(self) -> DataLoader:
        workers = self.args.dataloader_num_workers
        loader = DataLoader(
            self.train_dataset, batch_sampler=self.sampler, collate_fn=self.data_collator, num_workers=workers
        )
        return self.accelerator.prepare(loader)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        z, y = model(inputs["a"], inputs["b"])
        everybody, embeddings = self.accelerator.gather((inputs["indices"], torch.cat([z, y], dim=1).detach()))
        self.sampler.update(everybody.cpu(), embeddings.cpu())
        return nt_xent(z, y)


def main(out: str, steps: str) -> None:
    torch.manual_seed(0)
    dataset = Vectors()
    # The trainer shares the batches out, so this is the sampler of one process.
    sampler = LookalikeBatchSampler(
        len(dataset), rank=0, num_replicas=1, batch_size=256, coverage="cover", refresh_every=50
    )
    trainer = ContrastTrainer(
        sampler,
        model=Contrast(),
        train_dataset=dataset,
        args=TrainingArguments(
            output_dir=out,
            max_steps=int(steps),
            save_steps=50,
            per_device_train_batch_size=256,
            dataloader_num_workers=2,
            remove_unused_columns=False,
            use_cpu=True,
            report_to="none",
        ),
    )
    trainer.train(resume_from_checkpoint=any(Path(out).glob("checkpoint-*")))
    if trainer.is_world_process_zero():
        print(f"\nstep {trainer.state.global_step}, {sampler.steps} batches, {sampler.report().builds} graphs")


if __name__ == "__main__":
    main(*sys.argv[1:])
