"""Checkpoints of the trainer of sentence-transformers: a run that was stopped gets the batches of one that was not."""

from __future__ import annotations

import shutil
import tempfile
import unittest
import warnings
from pathlib import Path

import torch
from datasets import Dataset, DatasetDict
from lookalike.sentence_transformers import batch_sampler
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from text_model import Keeping, arguments, save_model, sentences

ROWS, BATCH = 320, 16


class Checkpoints(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.place.cleanup)
        save_model(f"{cls.place.name}/model")

    def setUp(self):
        warnings.filterwarnings("ignore")
        self.folder = tempfile.mkdtemp(dir=self.place.name)

    def data(self):
        texts = sentences(ROWS)
        return Dataset.from_dict({"anchor": texts, "positive": texts})

    def trainer(self, data=None, known=True, sampler=None, **options):
        model = SentenceTransformer(f"{self.place.name}/model")
        self.asked = []

        def embed(rows):
            self.asked.append(len(rows))
            return model.encode(rows["anchor"], show_progress_bar=False)

        chosen = {"candidates": 200, "neighbors": 20, "refresh_every": 7, "coverage": "cover", **(sampler or {})}
        self.batches = batch_sampler(embeddings=embed if known else None, **chosen)
        options = {"num_train_epochs": 3, "save_steps": 27, "per_device_train_batch_size": BATCH, **options}
        return Keeping(
            model=model,
            args=arguments(self.folder, batch_sampler=self.batches, **options),
            train_dataset=data or self.data(),
            loss=MultipleNegativesRankingLoss(model),
        )

    def weights(self, trainer):
        return torch.cat(
            [value.flatten() for value in trainer.model.state_dict().values() if value.is_floating_point()]
        )

    def resumes(self, step, **options):
        """Trains to the end, and again from the checkpoint of `step` on, with the same arguments."""
        whole = self.trainer(**options)
        whole.train()
        builds = {name: sampler.report().builds for name, sampler in self.batches.samplers.items()}
        self.assertGreater(min(builds.values()), 2)
        again = self.trainer(**options)
        again.train(resume_from_checkpoint=f"{self.folder}/out/checkpoint-{step}")
        trained = step * options.get("gradient_accumulation_steps", 1)
        if "gradient_accumulation_steps" in options:
            trained = len(whole.seen) - len(again.seen)
        self.assertGreater(len(again.seen), 0)
        self.assertEqual(again.seen, whole.seen[trained:])
        self.assertEqual({name: sampler.report().builds for name, sampler in self.batches.samplers.items()}, builds)
        self.assertTrue(torch.equal(self.weights(whole), self.weights(again)))
        self.assertEqual(self.asked, [], "a resumed run embeds nothing")
        return whole

    def test_amid_an_epoch(self):
        whole = self.resumes(27)
        self.assertEqual(len(whole.seen), 60)
        self.assertEqual(len({row for batch in whole.seen[20:40] for row in batch}), ROWS)

    def test_with_workers(self):
        self.resumes(27, dataloader_num_workers=2)

    def test_at_the_end_of_an_epoch_and_in_a_later_one(self):
        for step in (20, 40):
            with self.subTest(step=step):
                shutil.rmtree(f"{self.folder}/out", ignore_errors=True)
                self.resumes(step, save_steps=20)
        shutil.rmtree(f"{self.folder}/out", ignore_errors=True)
        self.resumes(54)

    def test_with_gradients_accumulated_over_batches_that_do_not_fill_an_epoch(self):
        # 20 batches an epoch, 7 updates.
        self.resumes(10, gradient_accumulation_steps=3, save_steps=10)

    def test_with_embeddings_that_training_recorded_alone(self):
        self.resumes(27, known=False)

    def test_with_several_data_sets(self):
        texts = sentences(ROWS)
        parts = {"long": texts[:200], "short": texts[200:]}
        data = DatasetDict(
            {name: Dataset.from_dict({"anchor": part, "positive": part}) for name, part in parts.items()}
        )
        for order in ("proportional", "round_robin"):
            with self.subTest(order):
                shutil.rmtree(f"{self.folder}/out", ignore_errors=True)
                self.resumes(
                    27, data=data, multi_dataset_batch_sampler=order, save_steps=27, num_train_epochs=4, max_steps=60
                )
                self.assertEqual(list(self.batches.samplers), ["long", "short"])

    def test_a_checkpoint_without_the_state_is_warned_of(self):
        self.trainer(num_train_epochs=2).train()
        Path(self.folder, "out/checkpoint-27/lookalike_sampler.pt").unlink()
        with self.assertWarnsRegex(UserWarning, "holds no lookalike_sampler.pt.*come again"):
            self.trainer(num_train_epochs=2).train(resume_from_checkpoint=f"{self.folder}/out/checkpoint-27")

    def test_a_state_of_other_options_is_refused_by_what_differs(self):
        self.trainer(num_train_epochs=2).train()
        with self.assertRaisesRegex(
            ValueError, r"checkpoint-27/lookalike_sampler.pt, train: .*refresh_every = 7, not 8"
        ):
            self.trainer(sampler={"refresh_every": 8}).train(resume_from_checkpoint=f"{self.folder}/out/checkpoint-27")

    def test_what_the_trainer_pickles_is_small_and_says_what_it_was(self):
        self.trainer(num_train_epochs=2).train()
        file = Path(self.folder, "out/checkpoint-27/training_args.bin")
        self.assertLess(file.stat().st_size, 12_000)
        saved = torch.load(file, weights_only=False).batch_sampler
        self.assertRegex(repr(saved), r"lookalike.batch_sampler\(embeddings=.*embed, candidates=200, neighbors=20")
        with self.assertRaisesRegex(ValueError, "without their embeddings"):
            saved(self.data(), BATCH, True)
        card = Path(self.folder, "out/checkpoint-27/README.md").read_text(encoding="utf-8")
        self.assertIn("lookalike.batch_sampler(", card)


if __name__ == "__main__":
    unittest.main()
