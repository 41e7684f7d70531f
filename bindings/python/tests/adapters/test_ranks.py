"""Two processes share the batches out, whoever starts them; where they would not, an error says what to do."""

from __future__ import annotations

import json
import tempfile
import unittest
import warnings
from itertools import chain
from pathlib import Path

import lightning
import torch
from distributed import torchrun
from lookalike.torch import LookalikeBatchSampler
from test_data_loader import Indices, N
from torch.utils.data import DataLoader

SCRIPT = Path(__file__).parent / "ranks.py"


class TwoProcesses(unittest.TestCase):
    def shares(self, program, **refused):
        """What is right gives each batch to one process, and all others are refused on both."""
        with tempfile.TemporaryDirectory() as folder:
            torchrun(SCRIPT, program, folder=folder)
            said = [json.loads(Path(folder, f"said.{rank}").read_text(encoding="utf-8")) for rank in range(2)]
        self.assertEqual([len(one["given"]) for one in said], [10, 10])
        self.assertEqual(len(set(chain(*said[0]["given"], *said[1]["given"]))), N)
        for one in said:
            self.assertEqual(set(one), {"given", *(way.replace("_", " ") for way in refused)})
            for way, message in refused.items():
                self.assertRegex(str(one[way.replace("_", " ")]), message)

    def test_pytorch(self):
        self.shares("torch", made_too_early="RuntimeError: .*before torch.distributed.*rank= and num_replicas=")

    def test_accelerate(self):
        self.shares("accelerate", takes_its_part_too="RuntimeError: accelerate shares.*rank=0 and num_replicas=1")

    def test_lightning(self):
        self.shares(
            "lightning",
            made_too_early="RuntimeError: .*made before torch.distributed",
            by_default="TypeError: .*use_distributed_sampler=False.*rank= and num_replicas=",
        )


class OneProcess(unittest.TestCase):
    def test_lightning_is_told_that_it_cannot_predict_by_these_batches(self):
        class Predicting(lightning.LightningModule):
            def predict_step(self, batch):
                return batch

        warnings.filterwarnings("ignore")
        trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
        batches = LookalikeBatchSampler(N, batch_size=100)
        with self.assertRaisesRegex(TypeError, "predict with a DataLoader without it"):
            trainer.predict(Predicting(), DataLoader(Indices(), batch_sampler=batches))

    def test_the_ranks_are_those_of_one_process_and_can_be_given(self):
        self.assertFalse(torch.distributed.is_initialized())
        found = LookalikeBatchSampler(N, batch_size=100)
        self.assertEqual((found.rank, found.num_replicas, len(found)), (0, 1, 20))
        given = LookalikeBatchSampler(N, batch_size=100, rank=1, num_replicas=2)
        self.assertEqual((given.rank, given.num_replicas, len(given)), (1, 2, 10))


if __name__ == "__main__":
    unittest.main()
