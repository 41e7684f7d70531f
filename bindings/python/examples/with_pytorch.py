"""SimCLR on vectors with PyTorch alone: ``python with_pytorch.py [WORKERS [fork|spawn]]``."""

import sys

import torch
from lookalike.torch import LookalikeBatchSampler
from torch.nn.functional import cross_entropy, normalize
from torch.utils.data import DataLoader, Dataset


class Vectors(Dataset):
    """Instances around 50 centres: two noisy views of one, and its number, by which the sampler knows it."""

    def __init__(self, n: int = 20_000) -> None:
        generator = torch.Generator().manual_seed(0)
        centers = torch.randn(50, 32, generator=generator)
        self.values = centers[torch.arange(n) % 50] + 0.5 * torch.randn(n, 32, generator=generator)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int):
        value = self.values[index]
        return value + 0.2 * torch.randn(32), value + 0.2 * torch.randn(32), index


def nt_xent(a: torch.Tensor, b: torch.Tensor, temperature: float = 0.5) -> torch.Tensor:
    z = normalize(torch.cat([a, b]))
    logits = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    return cross_entropy(logits, torch.arange(len(z)).roll(len(a)))


def main(workers: int = 0, method: str = "fork") -> None:
    torch.manual_seed(0)
    dataset = Vectors()
    sampler = LookalikeBatchSampler(
        len(dataset), batch_size=256, candidates=1000, neighbors=100, coverage="cover", refresh_every=50
    )
    loader = DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        multiprocessing_context=method if workers else None,
    )
    model = torch.nn.Sequential(torch.nn.Linear(32, 128), torch.nn.ReLU(), torch.nn.Linear(128, 64))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        losses = []
        for batch, (a, b, indices) in enumerate(loader):
            z, y = model(a), model(b)
            loss = nt_xent(z, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sampler.update(indices, torch.cat([z, y], dim=1))
            losses.append(loss.item())
            if (epoch, batch) == (1, 40):
                # The loader may have asked for more by now: the count says what was trained on.
                torch.save(sampler.state_dict(consumed=batch + 1), "/dev/null" if sys.platform != "win32" else "nul")
        hardness = sampler.report().finished.hardness or 0.0
        print(f"epoch {epoch}: {len(losses)} batches, loss {sum(losses) / len(losses):.3f}, hardness {hardness:.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0, sys.argv[2] if len(sys.argv) > 2 else "fork")
