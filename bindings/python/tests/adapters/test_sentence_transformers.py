"""The batches inside the trainer of sentence-transformers. A BERT of two layers with random weights stands in for a pretrained
one, and words of their own stand in for its vocabulary: nothing is fetched."""

from __future__ import annotations

import ast
import os
import random
import tempfile
import unittest
import warnings
from itertools import chain, product
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import example_scripts
import torch
from datasets import Dataset
from lookalike.sentence_transformers import batch_sampler
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PARTS = [
    ["a", "the", "one", "my", "some"],
    ["red", "small", "old", "quiet", "new", "wet"],
    ["dog", "bird", "boat", "child", "tree", "train", "cat"],
    ["sees", "follows", "likes", "leaves", "finds"],
    ["rain", "bread", "music", "snow", "light", "home"],
]


def sentences(count: int) -> list[str]:
    """Different sentences of five words."""
    return [" ".join(words) for words in random.Random(0).sample(list(product(*PARTS)), count)]


def save_model(folder: str) -> None:
    """A tokenizer of words and a model of random weights, as `SentenceTransformer` loads them."""
    words = {word: at for at, word in enumerate(SPECIAL + sorted(chain(*PARTS)))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(token, words[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=16,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=16,
    )
    BertModel(config).save_pretrained(folder)


class Trainer(unittest.TestCase):
    def setUp(self):
        warnings.filterwarnings("ignore")
        self.place = tempfile.TemporaryDirectory()
        self.addCleanup(self.place.cleanup)
        self.folder = self.place.name
        save_model(f"{self.folder}/model")

    def test_the_example_runs_to_its_end(self):
        Path(self.folder, "sentences.txt").write_text("\n".join(sentences(1000)), encoding="utf-8")
        said = example_scripts.run("with_sentence_transformers.py", "model", "sentences.txt", "out", folder=self.folder)
        report = ast.literal_eval(said.splitlines()[-1])
        # 60 steps with a graph every 20; the trainer may ask for one batch more than it trains on.
        self.assertIn((report["steps"], report["builds"]), [(60, 3), (61, 4)])
        self.assertGreaterEqual(report["edges"], 1000 * 50)

    def test_training_has_look_alikes_and_an_evaluation_set_without_embeddings_uniform_batches(self):
        model = SentenceTransformer(f"{self.folder}/model")
        texts = sentences(260)
        train, evaluation = ({"anchor": part, "positive": part} for part in (texts[:200], texts[200:]))
        asked = []

        def embed(rows):
            asked.append(len(rows))
            return model.encode(rows["anchor"], show_progress_bar=False) if len(rows) == 200 else None

        batches = batch_sampler(embeddings=embed, kind="nearest", neighbors=10, coverage="cover")
        trainer = SentenceTransformerTrainer(
            model=model,
            args=SentenceTransformerTrainingArguments(
                output_dir=f"{self.folder}/out",
                num_train_epochs=2,
                per_device_train_batch_size=20,
                per_device_eval_batch_size=20,
                eval_strategy="epoch",
                batch_sampler=batches,
                use_cpu=True,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_dict(train),
            eval_dataset=Dataset.from_dict(evaluation),
            loss=MultipleNegativesRankingLoss(model),
        )
        trainer.train()
        of_training, *others = batches.samplers
        self.assertEqual((trainer.state.global_step, of_training.steps), (20, 20))
        self.assertEqual(of_training.graph.instances, 200)
        self.assertEqual(set(asked), {200, 60})
        self.assertTrue(others)
        self.assertTrue(all(sampler.steps > 0 and sampler.embeddings is None for sampler in others))


if __name__ == "__main__":
    unittest.main()
