"""SimCSE-like training with sentence-transformers: ``python with_sentence_transformers.py MODEL SENTENCES.txt OUT``."""

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
from transformers import TrainerCallback


def main(name: str, sentences: str, out: str, steps: int = 60) -> dict:
    texts = [line for line in Path(sentences).read_text(encoding="utf-8").splitlines() if line][:5000]
    model = SentenceTransformer(name)
    # The same sentence twice: dropout makes the two views.
    dataset = Dataset.from_dict({"anchor": texts, "positive": texts})

    def embed(rows):
        return model.encode(rows["anchor"], show_progress_bar=False)

    batches = batch_sampler(embeddings=embed, candidates=1000, neighbors=50, restart=0.1, refresh_every=20)

    class Refresh(TrainerCallback):
        """Embeds everything anew every 20 steps; the sampler's next graph is of these."""

        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step % 20 == 0:
                batches.samplers[0].update(range(len(texts)), embed(dataset))

    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=out,
            max_steps=steps,
            per_device_train_batch_size=64,
            batch_sampler=batches,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=dataset,
        loss=MultipleNegativesRankingLoss(model),
        callbacks=[Refresh()],
    )
    trainer.train()
    sampler = batches.samplers[0]
    return {"steps": sampler.steps, "builds": sampler.report().builds, "edges": sampler.graph.edges}


if __name__ == "__main__":
    print(main(*sys.argv[1:4]))
