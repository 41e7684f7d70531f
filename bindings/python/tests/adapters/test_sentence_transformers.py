"""The batches inside the trainer of sentence-transformers: evaluation, groups, what training records, and plans."""

from __future__ import annotations

import ast
import copy
import tempfile
import unittest
import warnings
from itertools import chain
from pathlib import Path

import example_scripts
import lookalike
import numpy as np
from datasets import Dataset, DatasetDict
from lookalike.sentence_transformers import batch_sampler
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)
from text_model import Keeping, arguments, save_model, sentences
from transformers import TrainerCallback


def same_twice(texts):
    """A data set of each text with itself."""
    return Dataset.from_dict({"anchor": texts, "positive": texts})


class WithModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.place.cleanup)
        save_model(f"{cls.place.name}/model")

    def setUp(self):
        warnings.filterwarnings("ignore")
        self.folder = tempfile.mkdtemp(dir=self.place.name)
        self.model = SentenceTransformer(f"{self.place.name}/model")
        self.asked = []

    def embed(self, rows):
        self.asked.append(len(rows))
        return self.model.encode(rows["anchor"], show_progress_bar=False)

    def trainer(self, batches, data, loss=None, evaluation=None, callbacks=(), **options):
        options = {"num_train_epochs": 2, "per_device_train_batch_size": 20, "save_strategy": "no", **options}
        return Keeping(
            model=self.model,
            args=arguments(self.folder, batch_sampler=batches, **options),
            train_dataset=data,
            eval_dataset=evaluation,
            loss=loss or MultipleNegativesRankingLoss(self.model),
            callbacks=list(callbacks),
        )


class Evaluation(WithModel):
    def test_evaluation_is_uniform_and_asks_for_no_embeddings(self):
        texts = sentences(260)
        batches = batch_sampler(embeddings=self.embed, kind="nearest", coverage="cover")
        trainer = self.trainer(
            batches, same_twice(texts[:200]), evaluation=same_twice(texts[200:]), eval_strategy="epoch"
        )
        trainer.evaluate()
        trainer.train()
        self.assertEqual(self.asked, [200])
        self.assertEqual(list(batches.samplers), ["train"])
        self.assertEqual((trainer.state.global_step, batches.sampler.steps), (20, 20))
        self.assertEqual(batches.sampler.graph.instances, 200)
        trainer.evaluate()
        self.assertEqual(batches.sampler.steps, 20)

    def test_evaluation_is_on_look_alikes_for_those_who_ask(self):
        texts = sentences(260)
        batches = batch_sampler(embeddings=self.embed, evaluation="look-alikes", coverage="cover")
        trainer = self.trainer(batches, same_twice(texts[:200]), evaluation=same_twice(texts[200:]))
        trainer.evaluate()
        self.assertEqual(self.asked, [60])
        self.assertEqual(batches.samplers, {})
        with self.assertRaisesRegex(ValueError, 'evaluation = "hard" is neither'.replace('"hard"', "'hard'")):
            batch_sampler(evaluation="hard")

    def test_each_training_has_a_sampler_of_its_own_and_the_name_is_that_of_the_one_in_use(self):
        batches = batch_sampler(embeddings=self.embed, coverage="cover")
        with self.assertRaisesRegex(RuntimeError, "no trainer has asked"):
            _ = batches.sampler
        trainer = self.trainer(batches, same_twice(sentences(200)), num_train_epochs=1)
        trainer.train()
        first = batches.sampler
        trainer.train()
        self.assertIsNot(batches.sampler, first)
        self.assertEqual((first.steps, batches.sampler.steps, len(batches.samplers)), (10, 10, 1))
        self.assertEqual(sum(callback is batches.callback for callback in trainer.callback_handler.callbacks), 1)

    def test_several_data_sets_have_samplers_by_name(self):
        texts = sentences(300)
        data = DatasetDict({"one": same_twice(texts[:200]), "two": same_twice(texts[200:])})
        batches = batch_sampler(embeddings=self.embed, coverage="cover")
        self.trainer(batches, data, evaluation=data, eval_strategy="epoch").train()
        self.assertEqual(list(batches.samplers), ["one", "two"])
        self.assertEqual([sampler.steps for sampler in batches.samplers.values()], [20, 10])
        self.assertEqual(self.asked, [200, 100])
        with self.assertRaisesRegex(RuntimeError, r"samplers of \['one', 'two'\]"):
            _ = batches.sampler

    def test_without_a_trainer_a_warning_says_what_to_do(self):
        batches = batch_sampler()
        with self.assertWarnsRegex(UserWarning, r"callbacks=\[batches.callback\]"):
            batches(same_twice(sentences(100)), 10, True)
        self.assertEqual(len(batches.sampler), 10)

    def test_a_copy_makes_samplers_of_its_own(self):
        batches = batch_sampler(embeddings=self.embed)
        copied = copy.deepcopy(batches)
        copied(same_twice(sentences(100)), 10, True)
        self.assertEqual((len(batches.samplers), len(copied.samplers), self.asked), (0, 1, [100]))


class Groups(WithModel):
    def data(self):
        """Four anchors to each positive."""
        texts = sentences(800)
        return Dataset.from_dict({"anchor": texts[:640], "positive": [texts[640 + row // 4] for row in range(640)]})

    def meetings(self, batches, data, **options):
        """The share of rows that meet another one of the same positive, by first column of what was trained on."""
        trainer = self.trainer(batches, data, per_device_train_batch_size=32, **options)
        trainer.train()
        numbers = {}
        tokens = self.model.tokenizer(data["anchor"][:])["input_ids"]
        for row, ids in enumerate(tokens):
            numbers[tuple(ids)] = row // 4
        met = total = 0
        for batch in trainer.seen:
            groups = [numbers[row] for row in batch]
            met += sum(groups.count(group) > 1 for group in groups)
            total += len(groups)
        return met / total

    def test_rows_of_equal_texts_do_not_meet_unless_asked_for(self):
        data = self.data()

        def embed(rows):
            return self.model.encode(rows["positive"], show_progress_bar=False)

        options = {"embeddings": embed, "neighbors": 20, "coverage": "cover"}
        self.assertEqual(self.meetings(batch_sampler(**options), data), 0)
        self.assertGreater(self.meetings(batch_sampler(groups=None, **options), data), 0.5)

    def test_an_array_is_for_training_and_a_function_for_every_data_set(self):
        data, held_out = self.data(), same_twice(sentences(50))
        asked = []

        def groups(rows):
            asked.append(len(rows))
            return np.arange(len(rows)) // 4 if len(rows) == 640 else None

        for given in (np.arange(640) // 4, groups):
            batches = batch_sampler(embeddings=self.embed, groups=given, neighbors=20, coverage="cover")
            met = self.meetings(batches, data, evaluation=held_out, eval_strategy="epoch", num_train_epochs=1)
            self.assertEqual(met, 0)
        self.assertEqual(sorted(asked), [50, 640])

    def test_a_text_that_ties_more_rows_than_an_epoch_has_batches_is_warned_of_and_spread(self):
        texts = sentences(200)
        data = Dataset.from_dict({"anchor": texts, "positive": ["so"] * 50 + texts[50:]})
        batches = batch_sampler(embeddings=self.embed, neighbors=20, coverage="cover")
        with self.assertWarnsRegex(UserWarning, "more rows together than the 10 batches of an epoch"):
            self.trainer(batches, data, num_train_epochs=1).train()
        frequent = [sum(row < 50 for row in batch) for batch in batches.sampler]
        self.assertEqual(frequent, [5] * 10)


class Recording(WithModel):
    def recorded(self, loss, data=None, options=None, **arguments):
        """Of a training without embeddings: the sampler, and what the model made of its rows at the end."""
        data = data or same_twice(sentences(200))
        batches = batch_sampler(coverage="cover", candidates=150, neighbors=20, refresh_every=5, **(options or {}))
        trainer = self.trainer(batches, data, loss, learning_rate=1e-9, **arguments)
        trainer.train()
        return batches.sampler

    def agrees(self, found, expected):
        """Whether rows are the same but for dropout: much more similar to their own than to others."""
        found = found - found.mean(axis=0)
        expected = expected - expected.mean(axis=0)
        similar = lookalike.top_k(found.astype(np.float32), expected.astype(np.float32), 1)[0][:, 0]
        return float((similar == np.arange(len(found))).mean())

    def test_what_losses_compute_is_recorded_for_the_rows_that_it_is_of(self):
        texts = sentences(200)
        expected = self.model.encode(texts, show_progress_bar=False, normalize_embeddings=True)
        losses = {
            "plain": MultipleNegativesRankingLoss(self.model),
            "cached": CachedMultipleNegativesRankingLoss(self.model, mini_batch_size=6),
            "matryoshka": MatryoshkaLoss(self.model, MultipleNegativesRankingLoss(self.model), [64, 32]),
        }
        for name, loss in losses.items():
            with self.subTest(name):
                sampler = self.recorded(loss, num_train_epochs=1)
                self.assertEqual(sampler.report().current.epoch, 1)
                self.assertTrue((np.linalg.norm(sampler.embeddings, axis=1) > 0.99).all())
                self.assertGreater(self.agrees(sampler.embeddings, expected), 0.9)
        for more in ({"dataloader_num_workers": 2}, {"gradient_accumulation_steps": 3}):
            with self.subTest(str(more)):
                sampler = self.recorded(losses["plain"], num_train_epochs=1, **more)
                self.assertGreater(self.agrees(sampler.embeddings, expected), 0.9)

    def test_pairs_are_recorded_side_by_side_also_beside_negatives(self):
        texts = sentences(600)
        columns = {"query": texts[:200], "document": texts[200:400], "negative": texts[400:]}
        expected = {
            name: self.model.encode(column, show_progress_bar=False, normalize_embeddings=True)
            for name, column in columns.items()
        }
        for loss in (
            MultipleNegativesRankingLoss(self.model),
            CachedMultipleNegativesRankingLoss(self.model, mini_batch_size=6),
        ):
            sampler = self.recorded(loss, Dataset.from_dict(columns), {"pairs": "mean"}, num_train_epochs=1)
            for half, name in enumerate(["query", "document"]):
                self.assertGreater(self.agrees(sampler.embeddings[:, 64 * half :][:, :64], expected[name]), 0.9)

    def test_later_epochs_are_look_alikes_of_what_was_recorded_unless_that_is_off(self):
        sampler = self.recorded(MultipleNegativesRankingLoss(self.model))
        self.assertGreater(sampler.report().builds, 0)
        self.assertEqual(sampler.report().staleness.without_embedding, 0)
        sampler = self.recorded(MultipleNegativesRankingLoss(self.model), options={"record": False})
        self.assertIsNone(sampler.embeddings)
        self.assertFalse(self.model._forward_hooks)

    def test_evaluation_and_other_uses_of_the_model_are_not_recorded(self):
        texts = sentences(260)

        class Uses(TrainerCallback):
            def on_step_begin(inner, args, state, control, **_):
                self.model.encode(texts[:7], show_progress_bar=False)

        batches = batch_sampler(coverage="cover", candidates=150, neighbors=20)
        self.trainer(
            batches,
            same_twice(texts[:200]),
            evaluation=same_twice(texts[200:]),
            eval_strategy="steps",
            eval_steps=3,
            num_train_epochs=1,
            learning_rate=1e-9,
            callbacks=[Uses()],
        ).train()
        expected = self.model.encode(texts[:200], show_progress_bar=False, normalize_embeddings=True)
        self.assertGreater(self.agrees(batches.sampler.embeddings, expected), 0.9)

    def test_several_data_sets_record_each_its_own(self):
        texts = sentences(300)
        data = DatasetDict({"one": same_twice(texts[:200]), "two": same_twice(texts[200:])})
        batches = batch_sampler(coverage="cover", candidates=90, neighbors=20)
        self.trainer(batches, data, num_train_epochs=1, learning_rate=1e-9).train()
        for name, part in (("one", texts[:200]), ("two", texts[200:])):
            expected = self.model.encode(part, show_progress_bar=False, normalize_embeddings=True)
            self.assertGreater(self.agrees(batches.samplers[name].embeddings, expected), 0.9)

    def test_embeddings_of_another_width_are_warned_of_and_left_out(self):
        known = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
        batches = batch_sampler(embeddings=known, neighbors=20, coverage="cover")
        with self.assertWarnsRegex(UserWarning, "not recorded: .*8"):
            self.trainer(batches, same_twice(sentences(200)), num_train_epochs=1).train()
        self.assertEqual(batches.sampler.embeddings.shape, (200, 8))


class Plans(WithModel):
    def test_a_plan_is_trained_on_in_its_order_epoch_by_epoch(self):
        texts = sentences(200)
        tokens = [tuple(ids) for ids in self.model.tokenizer(texts)["input_ids"]]
        plan = np.random.default_rng(0).permuted(np.tile(np.arange(200), (2, 1)), axis=1).reshape(20, 20)
        np.save(f"{self.folder}/plan.npy", plan)
        for given in (plan, f"{self.folder}/plan.npy", Path(self.folder, "plan.npy"), plan.reshape(10, 2, 20)):
            trainer = self.trainer(batch_sampler(plan=given), same_twice(texts), num_train_epochs=3)
            trainer.train()
            expected = [[tokens[row] for row in batch] for batch in chain(plan, plan[:10])]
            self.assertEqual(trainer.seen, expected)

    def test_a_plan_of_this_package_and_embeddings_of_a_file_are_taken(self):
        rows = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
        dataset = Dataset.from_dict({"anchor": sentences(40), "positive": sentences(40)})
        plan = lookalike.plan(rows, 8)
        batches = batch_sampler(plan=plan)
        self.assertIn("plan=plan(5,8)", repr(batches))
        self.assertEqual(list(batches(dataset, 8, True)), plan.batches.tolist())
        with tempfile.TemporaryDirectory() as folder:
            np.save(f"{folder}/rows.npy", rows)
            of_file = batch_sampler(embeddings=f"{folder}/rows.npy", groups=None)(dataset, 8, True)
            of_array = batch_sampler(embeddings=rows, groups=None)(dataset, 8, True)
            self.assertEqual(list(of_file), list(of_array))

    def test_a_plan_of_something_else_is_refused_by_name(self):
        data = same_twice(sentences(200))
        cases = {
            "batches of 25; the training has batches of 20": np.arange(200).reshape(8, 25),
            "has 9 batches of 20, which is no number of epochs of a data set of 200": np.arange(180).reshape(9, 20),
            "names instance 200; the data set has 200": np.arange(1, 201).reshape(10, 20),
            r"shape \(200,\) and type int64 is none": np.arange(200),
            "cannot be read": "nowhere.npy",
        }
        for message, plan in cases.items():
            with self.assertRaisesRegex(ValueError, message):
                self.trainer(batch_sampler(plan=plan), data).train()
        with self.assertRaisesRegex(ValueError, r"plan goes with none of \['neighbors'\]"):
            batch_sampler(plan=np.arange(200).reshape(10, 20), neighbors=5)


class Guide(WithModel):
    def test_the_code_of_the_guide_runs_as_it_stands(self):
        guide = Path(__file__).parents[4] / "docs/guides/python.md"
        blocks = guide.read_text(encoding="utf-8").split("```python\n")[1:]
        [code] = [block.split("```")[0] for block in blocks if "SentenceTransformerTrainer(" in block]
        # The model of its name is not at hand, nor a place to leave checkpoints.
        code = code.replace("sentence-transformers/all-MiniLM-L6-v2", f"{self.place.name}/model")
        code = code.replace('output_dir="out"', f'output_dir={self.folder + "/out"!r}, use_cpu=True, report_to="none"')
        known = {"dataset": same_twice(sentences(500))}
        exec(code, known)  # noqa: S102
        self.assertEqual(known["batches"].sampler.steps, 3 * 8)
        self.assertGreater(known["batches"].sampler.report().graph.edges, 0)


class Example(WithModel):
    def test_the_example_runs_to_its_end_and_goes_on_from_there(self):
        Path(self.folder, "sentences.txt").write_text("\n".join(sentences(1000)), encoding="utf-8")
        reports = []
        for steps in ("40", "60"):
            said = example_scripts.run(
                "with_sentence_transformers.py",
                f"{self.place.name}/model",
                "sentences.txt",
                "out",
                steps,
                folder=self.folder,
            )
            reports.append(ast.literal_eval(said.splitlines()[-1]))
        # A graph every 20 steps; the trainer asks for one batch more than it trains on.
        self.assertEqual([(report["steps"], report["builds"]) for report in reports], [(41, 3), (61, 4)])
        self.assertGreaterEqual(reports[1]["edges"], 1000 * 50)


if __name__ == "__main__":
    unittest.main()
