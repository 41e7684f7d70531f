"""Two processes share the batches out, whoever starts them; where they would not, an error says what to do."""

from __future__ import annotations

import ast
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


def said(way):
    with tempfile.TemporaryDirectory() as folder:
        torchrun(SCRIPT, way, folder=folder)
        return [Path(folder, f"said.{rank}").read_text(encoding="utf-8") for rank in range(2)]


class TwoProcesses(unittest.TestCase):
    def test_each_batch_is_one_process_s(self):
        for way in ("itself", "accelerate", "lightning"):
            with self.subTest(way):
                parts = [ast.literal_eval(one.removeprefix("batches ")) for one in said(way)]
                self.assertEqual([len(part) for part in parts], [10, 10])
                self.assertEqual(len(set(chain(*parts[0], *parts[1]))), N)

    def test_what_would_not_share_is_refused_with_what_to_do(self):
        expected = {
            "too-early": "refused RuntimeError: .*made before torch.distributed.*rank= and num_replicas=",
            "accelerate-found": "refused RuntimeError: accelerate shares.*rank=0 and num_replicas=1",
            "lightning-default": "refused TypeError: .*use_distributed_sampler=False.*rank= and num_replicas=",
            "lightning-too-early": "refused RuntimeError: .*made before torch.distributed",
        }
        for way, message in expected.items():
            with self.subTest(way):
                for one in said(way):
                    self.assertRegex(one, message)


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
