"""The examples of loops that stop and go on: in one process, and on two where that is what they show."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import example_scripts
from distributed import torchrun


class Examples(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.folder = place.name

    def runs(self, script, *arguments):
        return example_scripts.run(script, *arguments, folder=self.folder)

    def runs_on_two(self, script, *arguments):
        return torchrun(example_scripts.FOLDER / script, *arguments, folder=self.folder)

    def test_accelerate(self):
        for runs, steps in ((self.runs, 78), (self.runs_on_two, 39)):
            Path(self.folder, "out.pt").unlink(missing_ok=True)
            self.assertRegex(runs("with_accelerate.py", "out.pt"), r"stopped after \d+ of 78 batches")
            said = runs("with_accelerate.py", "out.pt")
            self.assertRegex(
                said, rf"epoch 1: up to step {steps}, 156 batches.*\n.*epoch 2: up to step {steps}, 234 batches"
            )

    def test_transformers(self):
        for runs, out, counts in ((self.runs, "one", ["100", "200"]), (self.runs_on_two, "two", ["50", "100"])):
            for steps in counts:
                said = runs("with_transformers.py", out, steps)
                self.assertIn(f"step {steps}, ", said)
            self.assertTrue(Path(self.folder, out, f"checkpoint-{counts[0]}", "lookalike_sampler.pt").exists())
            # 200 batches were trained on in all, and the loader was up to six for each process ahead.
            self.assertRegex(said, r"step \d+, 2(0\d|1[012]) batches, 3 graphs")

    def test_torchdata(self):
        self.assertIn("stopped after 40 batches", self.runs("with_torchdata.py", "out"))
        self.assertRegex(self.runs("with_torchdata.py", "out"), r"epoch 1: 38 batches.*\nepoch 2: 78 batches")


if __name__ == "__main__":
    unittest.main()
