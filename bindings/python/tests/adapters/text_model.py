"""A sentence encoder of two layers with random weights stands in for a pretrained one, and words of their own for its vocabulary:
nothing is fetched."""

from __future__ import annotations

import os
import random
from itertools import chain, product

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
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


class Keeping(SentenceTransformerTrainer):
    """Keeps the tokens of the first column of each batch that it trains on, a tuple a row."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.seen = []

    def compute_loss(self, model, inputs, *args, **options):
        if model.training:
            [ids] = [value for name, value in inputs.items() if name.endswith("_input_ids")][:1]
            self.seen.append([tuple(token for token in row if token) for row in ids.tolist()])
        return super().compute_loss(model, inputs, *args, **options)


def arguments(folder: str, **options) -> SentenceTransformerTrainingArguments:
    """Those of a trainer that says nothing and trains on the processor in float32."""
    options = {"report_to": "none", "disable_tqdm": True, "use_cpu": True, "logging_strategy": "no", **options}
    return SentenceTransformerTrainingArguments(output_dir=f"{folder}/out", **options)
