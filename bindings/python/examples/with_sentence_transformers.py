"""SimCSE-like training with sentence-transformers: ``python with_sentence_transformers.py MODEL SENTENCES.txt OUT [STEPS]``.

Run again with more steps it goes on from its last checkpoint; ``torchrun --nproc_per_node 2`` shares the batches out.
"""

import sys
from pathlib import Path

from datasets import Dataset
from lookalike.sentence_transformers import batch_sampler
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss


def main(name: str, sentences: str, out: str, steps: str = "60") -> dict:
    texts = [line for line in Path(sentences).read_text(encoding="utf-8").splitlines() if line][:5000]
    model = SentenceTransformer(name)
    # The same sentence twice: dropout makes the two views.
    dataset = Dataset.from_dict({"anchor": texts, "positive": texts})

    def embed(rows):
        return model.encode(rows["anchor"], show_progress_bar=False)

    # The first graph is of these embeddings, later ones of what the loss computes of each batch.
    batches = batch_sampler(embeddings=embed, candidates=1000, neighbors=50, restart=0.1, refresh_every=20)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=out,
            max_steps=int(steps),
            per_device_train_batch_size=64,
            batch_sampler=batches,
            use_cpu=True,
            save_steps=20,
            report_to="none",
        ),
        train_dataset=dataset,
        loss=MultipleNegativesRankingLoss(model),
    )
    trainer.train(resume_from_checkpoint=any(Path(out).glob("checkpoint-*")))
    sampler = batches.sampler
    return {"steps": sampler.steps, "builds": sampler.report().builds, "edges": sampler.graph.edges}


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
