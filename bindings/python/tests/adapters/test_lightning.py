"""The sampler inside Lightning, by the module of the example: epochs cover, and a checkpoint of Lightning's own resumes them."""

from __future__ import annotations

import logging
import tempfile
import unittest
import warnings
from itertools import chain

import example_scripts
import lightning
from lightning.pytorch.callbacks import ModelCheckpoint
from with_lightning import Contrast

N, B = 4000, 100


class Kept(Contrast):
    """Keeps what it was trained on."""

    def __init__(self, n, **options):
        super().__init__(n, **options)
        self.seen = []

    def training_step(self, batch, index):
        self.seen.append((self.current_epoch, batch[2].tolist()))
        return super().training_step(batch, index)


def fit(folder, checkpoint=None, steps=-1):
    """The batches of three epochs with a checkpoint every 50 steps: (epoch, instances) each."""
    lightning.seed_everything(0, verbose=False)
    module = Kept(N, batch_size=B, candidates=300, neighbors=20, refresh_every=10)
    trainer = lightning.Trainer(
        max_epochs=3,
        max_steps=steps,
        accelerator="cpu",
        use_distributed_sampler=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[ModelCheckpoint(every_n_train_steps=50, dirpath=folder, filename="at", save_top_k=-1)],
    )
    trainer.fit(module, ckpt_path=checkpoint)
    return module.seen


def members(seen, epoch):
    return sorted(chain(*(batch for at, batch in seen if at == epoch)))


class Lightning(unittest.TestCase):
    def setUp(self):
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        warnings.filterwarnings("ignore")

    def test_epochs_cover_and_a_checkpoint_resumes_amid_one(self):
        with tempfile.TemporaryDirectory() as folder:
            whole = fit(folder)
        for epoch in range(3):
            self.assertEqual(members(whole, epoch), list(range(N)))
        with tempfile.TemporaryDirectory() as folder:
            before = fit(folder, steps=50)
            after = fit(folder, checkpoint=f"{folder}/at.ckpt")
        self.assertEqual((len(before), len(before + after)), (50, len(whole)))
        # The next graph, of step 60, is made from embeddings that Lightning's own random numbers take part in.
        self.assertEqual((before + after)[:60], whole[:60])
        self.assertEqual(members(before + after, 1), list(range(N)))

    def test_the_example_runs_to_its_end(self):
        with tempfile.TemporaryDirectory() as folder:
            said = example_scripts.run("with_lightning.py", folder=folder)
        # 78 batches of 256 an epoch, a graph every 50 after the first one.
        self.assertIn("epoch 2, 234 batches, 4 graphs", said)

    def test_the_example_runs_on_two_processes(self):
        with tempfile.TemporaryDirectory() as folder:
            said = example_scripts.run("with_lightning.py", "2", folder=folder)
        self.assertEqual(said.count("epoch 2, 117 batches, 2 graphs"), 2)


class PyTorch(unittest.TestCase):
    def test_the_example_runs_to_its_end_with_and_without_workers(self):
        for arguments in ([], ["2", "spawn"]):
            with tempfile.TemporaryDirectory() as folder:
                said = example_scripts.run("with_pytorch.py", *arguments, folder=folder)
            self.assertRegex(said, r"(epoch [012]: 78 batches, loss [0-9.]+, hardness [0-9.]+\n){3}")


if __name__ == "__main__":
    unittest.main()
