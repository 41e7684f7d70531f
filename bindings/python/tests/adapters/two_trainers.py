"""A process of two that train with sentence-transformers: ``two_trainers.py MODEL OUT.json SEED_BY_RANK [CHECKPOINT]``.

Writes what each rank was trained on, what its sampler recorded, and whether both agree.
"""

from __future__ import annotations

import json
import sys
import warnings

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from lookalike import check_agreement
from lookalike.sentence_transformers import batch_sampler
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from text_model import Keeping, arguments, sentences


def main(model: str, out: str, order: str, checkpoint: str | None = None) -> None:
    warnings.filterwarnings("ignore")
    texts = sentences(640)
    encoder = SentenceTransformer(model)
    options = {"candidates": 90, "neighbors": 20, "refresh_every": 7, "coverage": "cover"}
    batches = batch_sampler(
        # Each process would see another, for random numbers differ: all must take the first one's.
        embeddings=lambda rows: np.random.default_rng(torch.distributed.get_rank()).standard_normal(
            (len(rows), 64), dtype=np.float32
        ),
        **options,
    )
    parts = {"one": texts[:400], "two": texts[400:]}
    data = {name: Dataset.from_dict({"anchor": part, "positive": part}) for name, part in parts.items()}
    trainer = Keeping(
        model=encoder,
        args=arguments(
            ".",
            batch_sampler=batches,
            num_train_epochs=3,
            save_steps=27,
            per_device_train_batch_size=16,
            multi_dataset_batch_sampler="proportional",
            ddp_backend="gloo",
        ),
        train_dataset=data["one"] if order == "one" else DatasetDict(data),
        loss=MultipleNegativesRankingLoss(encoder),
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    rank = torch.distributed.get_rank()
    samplers = list(batches.samplers.values())
    for sampler in samplers:
        agreements = [None, None]
        torch.distributed.all_gather_object(agreements, sampler.agreement())
        check_agreement(agreements)
    kept = {
        "seen": trainer.seen,
        "builds": [sampler.report().builds for sampler in samplers],
        "known": [sampler.embeddings.astype(float).round(4).tolist() for sampler in samplers],
    }
    with open(f"{out}.{rank}", "w", encoding="utf-8") as file:
        json.dump(kept, file)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
