"""The same with accelerate: ``python with_accelerate.py OUT.pt`` or ``torchrun --nproc_per_node 2 with_accelerate.py OUT.pt``.

Stops in the middle of the second epoch; run again it goes on from there.
"""

import os
import sys

import torch
from accelerate import Accelerator
from lookalike.torch import LookalikeBatchSampler
from torch.utils.data import DataLoader
from with_pytorch import Vectors, nt_xent


def main(out: str) -> None:
    accelerator = Accelerator(cpu=True)
    torch.manual_seed(0)
    dataset = Vectors()
    # accelerate shares the batches out, so this is the sampler of one process.
    sampler = LookalikeBatchSampler(
        len(dataset), rank=0, num_replicas=1, batch_size=256, coverage="cover", refresh_every=50
    )
    model = torch.nn.Sequential(torch.nn.Linear(32, 128), torch.nn.ReLU(), torch.nn.Linear(128, 64))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    first_epoch, resumed = 0, os.path.exists(out)
    if resumed:
        saved = torch.load(out, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        sampler.load_state_dict(saved["sampler"])
        first_epoch = saved["epoch"]
    loader = accelerator.prepare(DataLoader(dataset, batch_sampler=sampler, num_workers=2))
    model, optimizer = accelerator.prepare(model, optimizer)
    for epoch in range(first_epoch, 3):
        # The loader passes its epoch on to the sampler, and would else begin with 0.
        loader.set_epoch(epoch)
        processes = accelerator.num_processes
        for step, (a, b, indices) in enumerate(loader, start=sampler.first_batch // processes):
            z, y = model(a), model(b)
            loss = nt_xent(z, y)
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
            everybody, embeddings = accelerator.gather((indices, torch.cat([z, y], dim=1).detach()))
            sampler.update(everybody.cpu(), embeddings.cpu())
            if (epoch, step) == (1, 20) and not resumed:
                # The loader is ahead: the count says what all processes have trained on.
                state = sampler.state_dict(consumed=(step + 1) * processes)
                saved = {"epoch": epoch, "sampler": state, "optimizer": optimizer.state_dict()}
                accelerator.save({"model": accelerator.unwrap_model(model).state_dict(), **saved}, out)
                accelerator.print(f"stopped after {sampler.position} of {len(sampler)} batches")
                accelerator.end_training()
                return
        accelerator.print(f"epoch {epoch}: up to step {step + 1}, {sampler.steps} batches, loss {loss.item():.3f}")
    accelerator.end_training()


if __name__ == "__main__":
    main(sys.argv[1])
