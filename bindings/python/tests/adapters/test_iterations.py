"""What a loader has asked for and not given: a look costs no epoch, and no state loses it."""

from __future__ import annotations

import pickle
import unittest
import warnings

from accelerate import Accelerator
from lookalike.torch import LookalikeBatchSampler
from test_data_loader import Indices, N, embed
from torch.utils.data import DataLoader

B = 100


def sampler(**options):
    return LookalikeBatchSampler(
        N, **{"batch_size": B, "candidates": 300, "neighbors": 20, "refresh_every": 8, "coverage": "cover", **options}
    )


def loaders():
    """Ways to read from a sampler: by itself, by loaders with and without workers, and by accelerate."""
    return {
        "itself": lambda batches: batches,
        "no workers": lambda batches: DataLoader(Indices(), batch_sampler=batches),
        "workers": lambda batches: DataLoader(Indices(), batch_sampler=batches, num_workers=2),
        "persistent": lambda batches: DataLoader(
            Indices(), batch_sampler=batches, num_workers=2, persistent_workers=True
        ),
        "accelerate": lambda batches: Accelerator(cpu=True).prepare(DataLoader(Indices(), batch_sampler=batches)),
    }


def epochs(batches, loader, count, looks=0, stop=None, by_number=False):
    """The batches of some epochs, each left after `stop` of them, before which `looks` looked at the first one."""
    seen = []
    for epoch in range(count):
        for _ in range(looks):
            next(iter(loader))
        if by_number:
            batches.set_epoch(epoch)
        for at, indices in enumerate(loader):
            seen.append([int(index) for index in indices])
            if at + 1 == stop:
                break
    return seen


class Looks(unittest.TestCase):
    def setUp(self):
        warnings.filterwarnings("ignore")

    def test_looks_change_nothing_in_what_comes(self):
        known = embed_all()
        for name, made in loaders().items():
            whole = sampler(embeddings=known)
            expected = epochs(whole, made(whole), 3)
            self.assertEqual(len(expected), 3 * N // B)
            for looks in (1, 2):
                for by_number in (False, True):
                    with self.subTest(name, looks=looks, by_number=by_number):
                        looked = sampler(embeddings=known)
                        found = epochs(looked, made(looked), 3, looks, by_number=by_number)
                        self.assertEqual(found, expected)
                        self.assertEqual(looked.epoch, 2)

    def test_who_leaves_every_epoch_early_gets_other_batches_each_time(self):
        for name, made in loaders().items():
            if name == "accelerate":
                # It sets the epoch itself, and an epoch that was left begins again there.
                continue
            for stop in (2, 10):
                with self.subTest(name, stop=stop):
                    left = sampler(kind="uniform")
                    found = epochs(left, made(left), 5, stop=stop)
                    firsts = {tuple(found[at]) for at in range(0, len(found), stop)}
                    self.assertEqual(len(firsts), 5)

    def test_an_epoch_of_one_batch_that_was_trained_on_is_over(self):
        for name, made in loaders().items():
            with self.subTest(name):
                whole = sampler(kind="uniform", batch_size=N)
                found = epochs(whole, made(whole), 4)
                self.assertEqual(len({tuple(batch) for batch in found}), 4)

    def test_a_batch_that_was_trained_on_is_no_look(self):
        batches = sampler()
        first = next(iter(batches))
        batches.update(first, embed_all()[first])
        self.assertNotEqual(next(iter(batches)), first)
        self.assertEqual(batches.epoch, 1)

    def test_two_iterations_at_once_are_an_error(self):
        for name, made in loaders().items():
            with self.subTest(name):
                batches = sampler()
                first, second = iter(made(batches)), None
                next(first)
                next(first)
                second = iter(made(batches))
                next(second)
                with self.assertRaisesRegex(RuntimeError, "another iteration"):
                    list(first)


class States(unittest.TestCase):
    def setUp(self):
        warnings.filterwarnings("ignore")

    def test_a_state_that_would_lose_what_was_prefetched_is_refused(self):
        for name, made in loaders().items():
            with self.subTest(name):
                batches = sampler(embeddings=embed_all())
                loader = made(batches)
                for at, _ in enumerate(loader):
                    if at == 6:
                        if name in ("itself", "no workers"):
                            self.assertEqual(batches.state_dict()["consumed"], 7)
                        else:
                            with self.assertRaisesRegex(ValueError, r"were handed out.*state_dict\(consumed=\)"):
                                batches.state_dict()
                        self.assertEqual(batches.state_dict(consumed=7)["consumed"], 7)
                        break
                copied = pickle.loads(pickle.dumps(batches))
                self.assertEqual(copied.position, batches.position)

    def test_who_gives_the_rest_of_a_loaded_epoch_up_is_told(self):
        whole = sampler(embeddings=embed_all())
        epochs(whole, whole, 1)
        state = next(whole.state_dict(consumed=at + 1) for at, _ in enumerate(whole) if at == 4)
        again = sampler(embeddings=embed_all())
        again.load_state_dict(state)
        # As accelerate does in a loader that was not told the epoch.
        loader = Accelerator(cpu=True).prepare(DataLoader(Indices(), batch_sampler=again))
        with self.assertWarnsRegex(UserWarning, "in the middle of epoch 1.*given up for epoch 0.*loader.set_epoch"):
            next(iter(loader))
        again.load_state_dict(state)
        loader.set_epoch(1)
        self.assertEqual(len(epochs(again, loader, 1)), N // B - 5)

    def test_at_the_end_of_an_epoch_nothing_must_be_said(self):
        for name, made in loaders().items():
            with self.subTest(name):
                batches = sampler(embeddings=embed_all())
                loader = made(batches)
                epochs(batches, loader, 1)
                self.assertEqual(batches.state_dict()["consumed"], N // B)


def embed_all():
    import torch

    return embed(torch.arange(N), 0)


if __name__ == "__main__":
    unittest.main()
