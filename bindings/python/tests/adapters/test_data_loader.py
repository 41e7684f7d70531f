"""The sampler inside PyTorch's DataLoader and torchdata's: all batches arrive, and a resumed run gets those of a whole one."""

from __future__ import annotations

import pickle
import tempfile
import unittest
from itertools import chain

import torch
from lookalike.torch import LookalikeBatchSampler
from torch.utils.data import DataLoader, Dataset
from torchdata.stateful_dataloader import StatefulDataLoader

N, B = 2000, 32


class Indices(Dataset):
    """Instances that are their own numbers."""

    def __len__(self):
        return N

    def __getitem__(self, index):
        return index


def sampler():
    return LookalikeBatchSampler(N, batch_size=B, candidates=300, neighbors=20, refresh_every=20, coverage="cover")


def embed(indices, step):
    """What training at `step` would make of some instances."""
    generator = torch.Generator().manual_seed(step)
    return torch.eye(16)[indices % 16] + 0.3 * torch.randn(len(indices), 16, generator=generator)


def train(batches, loader, stop=None, step=0):
    """Trains to the end of epoch 3, or up to batch `stop` = (epoch, batch); gives all batches, the state there, and the steps."""
    seen = []
    for epoch in range(batches.epoch, 4):
        batches.set_epoch(epoch)
        for at, indices in enumerate(loader, start=batches.first_batch):
            seen.append(indices.tolist())
            batches.update(indices, embed(indices, step))
            step += 1
            if (epoch, at) == stop:
                return seen, batches.state_dict(consumed=at + 1), step
    return seen, None, step


class Loaders(unittest.TestCase):
    def test_a_run_resumed_amid_an_epoch_gets_the_batches_of_one_that_never_stopped(self):
        # Processes that do not persist are started anew each epoch, which forking makes cheap.
        cases = [(0, None, False), (2, "fork", False)]
        cases += [(2, method, True) for method in ("fork", "spawn", "forkserver")]
        for workers, method, persistent in cases:
            with self.subTest(workers=workers, method=method, persistent=persistent):
                options = {
                    "num_workers": workers,
                    "multiprocessing_context": method,
                    "persistent_workers": persistent,
                }
                self.resumes(lambda batches, options=options: DataLoader(Indices(), batch_sampler=batches, **options))

    def resumes(self, loader):
        whole = sampler()
        expected, _, _ = train(whole, loader(whole))
        self.assertEqual(len(expected), 4 * (N // B))
        self.assertTrue(all(len(set(batch)) == B for batch in expected))
        self.assertEqual(len(set(chain(*expected[-(N // B) :]))), N // B * B, "an epoch covers")
        self.assertGreater(whole.report().builds, 1)
        stopped = sampler()
        before, state, step = train(stopped, loader(stopped), stop=(2, 17))
        with tempfile.TemporaryFile() as file:
            torch.save(state, file)
            file.seek(0)
            state = torch.load(file, weights_only=True)
        resumed = sampler()
        resumed.load_state_dict(state)
        after, _, _ = train(resumed, loader(resumed), step=step)
        self.assertEqual(before + after, expected)

    def test_the_sampler_is_one_of_pytorchs_own(self):
        self.assertIsInstance(sampler(), torch.utils.data.Sampler)

    def test_torchdata_iterates_over_all_batches(self):
        for workers in (0, 2):
            loader = StatefulDataLoader(Indices(), batch_sampler=sampler(), num_workers=workers)
            self.assertEqual(len(set(chain(*(indices.tolist() for indices in loader)))), N // B * B)

    def test_torchdata_resumes_from_light_states_and_embeddings_saved_apart(self):
        for workers in (0, 2):
            with self.subTest(workers=workers), tempfile.TemporaryDirectory() as folder:
                self.resumes_stateful(workers, f"{folder}/embeddings.npz")

    def resumes_stateful(self, workers, file):
        def made():
            batches = sampler()
            batches.light_states = True
            return batches, StatefulDataLoader(Indices(), batch_sampler=batches, num_workers=workers)

        whole, loader = made()
        seen, state, kept = [], None, 0
        for epoch in range(4):
            for at, indices in enumerate(loader):
                seen.append(indices.tolist())
                whole.update(indices, embed(indices, len(seen)))
                if (epoch, at) == (1, 30):
                    state, kept = pickle.dumps(loader.state_dict()), len(seen)
                    whole.save_embeddings(file)
        self.assertLess(len(state), 60_000)
        again, loader = made()
        loader.load_state_dict(pickle.loads(state))
        again.load_embeddings(file)
        found = []
        for _ in range(1, 4):
            for indices in loader:
                found.append(indices.tolist())
                again.update(indices, embed(indices, kept + len(found)))
        self.assertEqual(found, seen[kept:])
        self.assertEqual(again.report().builds, whole.report().builds)


if __name__ == "__main__":
    unittest.main()
