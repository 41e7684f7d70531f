"""sentence-transformers on two processes: each batch is trained on once, all record the same, and checkpoints resume."""

from __future__ import annotations

import json
import os
import tempfile
import unittest
from itertools import chain
from pathlib import Path

from distributed import torchrun
from text_model import save_model

SCRIPT = Path(__file__).parent / "two_trainers.py"


class TwoProcesses(unittest.TestCase):
    def runs(self, folder, name, data, *checkpoint):
        torchrun(SCRIPT, "model", name, data, *checkpoint, folder=folder)
        return [json.loads(Path(folder, f"{name}.{rank}").read_text(encoding="utf-8")) for rank in range(2)]

    def resumes(self, data, epoch):
        with tempfile.TemporaryDirectory() as folder:
            save_model(f"{folder}/model")
            whole = self.runs(folder, "whole", data)
            again = self.runs(folder, "again", data, "out/checkpoint-27")
        rows = [[tuple(row) for row in chain(*rank["seen"][:epoch])] for rank in whole]
        self.assertFalse(set(rows[0]) & set(rows[1]))
        self.assertEqual(len(set(rows[0]) | set(rows[1])), 2 * 16 * epoch)
        for before, after in zip(whole, again):
            self.assertEqual(after["seen"], before["seen"][27:])
            self.assertEqual(after["builds"], before["builds"])
        self.assertEqual(whole[0]["known"], whole[1]["known"])
        self.assertGreater(min(whole[0]["builds"]), 2)
        self.assertEqual(again[0]["known"], whole[0]["known"])

    def test_one_data_set(self):
        self.resumes("one", 12)

    def test_two_data_sets(self):
        self.resumes("two", 20)


if __name__ == "__main__":
    os.chdir(Path(__file__).parent)
    unittest.main()
