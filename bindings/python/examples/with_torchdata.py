"""The same with torchdata's StatefulDataLoader: ``python with_torchdata.py OUT``. Stops in the middle; run again it goes on there."""

import sys
from pathlib import Path

import torch
from lookalike.torch import LookalikeBatchSampler
from torchdata.stateful_dataloader import StatefulDataLoader
from with_pytorch import Vectors, nt_xent


def main(out: str) -> None:
    torch.manual_seed(0)
    folder = Path(out)
    folder.mkdir(exist_ok=True)
    dataset = Vectors()
    sampler = LookalikeBatchSampler(len(dataset), batch_size=256, coverage="cover", refresh_every=50)
    # The loader asks for a state after every batch; embeddings are saved apart, with the states that are kept.
    sampler.light_states = True
    loader = StatefulDataLoader(dataset, batch_sampler=sampler, num_workers=2)
    model = torch.nn.Sequential(torch.nn.Linear(32, 128), torch.nn.ReLU(), torch.nn.Linear(128, 64))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    first, resumed = 0, (folder / "state.pt").exists()
    if resumed:
        state = torch.load(folder / "state.pt", weights_only=False)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        loader.load_state_dict(state["loader"])
        sampler.load_embeddings(folder / "embeddings.npz")
        first = state["epoch"]
    for epoch in range(first, 3):
        batches = 0
        for a, b, indices in loader:
            z, y = model(a), model(b)
            loss = nt_xent(z, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sampler.update(indices, torch.cat([z, y], dim=1))
            batches += 1
            if (epoch, batches) == (1, 40) and not resumed:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
                torch.save({**state, "loader": loader.state_dict()}, folder / "state.pt")
                sampler.save_embeddings(folder / "embeddings.npz")
                print(f"stopped after {batches} batches")
                return
        print(f"epoch {epoch}: {batches} batches, loss {loss.item():.3f}, {sampler.report().builds} graphs")


if __name__ == "__main__":
    main(sys.argv[1])
