"""Is a run of sentence-transformers that was killed and goes on the one that was not: ``resume.py MODEL PAIRS.jsonl.gz OUT [ROWS]``.

One epoch over rows of ``page``, ``description``, ``command``, a checkpoint every 15 steps and a graph every 12. The losses of each step are compared, and the last
weights; the process of the second run is killed (SIGKILL) after its second checkpoint, when it has trained on some more batches.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def data(path: str, rows: int):
    from datasets import Dataset

    with gzip.open(path, "rt", encoding="utf-8") as file:
        pairs = [json.loads(line) for _, line in zip(range(rows), file)]
    return Dataset.from_dict(
        {"anchor": [row["description"] for row in pairs], "positive": [row["command"] for row in pairs]}
    )


def train(model: str, pairs: str, out: str, rows: int) -> None:
    import torch
    from lookalike.sentence_transformers import batch_sampler
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import (
        MultipleNegativesRankingLoss,
    )

    encoder = SentenceTransformer(model, device="cpu")
    encoder.max_seq_length = 32

    def embed(rows):
        print("embeds", len(rows), flush=True)
        return encoder.encode(rows["anchor"]), encoder.encode(rows["positive"])

    batches = batch_sampler(
        embeddings=embed, pairs="mean", candidates=1000, neighbors=20, coverage="cover", refresh_every=12
    )
    trainer = SentenceTransformerTrainer(
        model=encoder,
        args=SentenceTransformerTrainingArguments(
            output_dir=out,
            num_train_epochs=1,
            per_device_train_batch_size=32,
            learning_rate=2e-5,
            save_steps=15,
            logging_steps=1,
            batch_sampler=batches,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=data(pairs, rows),
        loss=MultipleNegativesRankingLoss(encoder),
    )
    begun = time.perf_counter()
    trainer.train(resume_from_checkpoint=any(Path(out).glob("checkpoint-*")))
    seconds = time.perf_counter() - begun
    losses = {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}
    weights = float(torch.cat([value.double().flatten() for value in encoder.state_dict().values()]).abs().sum())
    report = {"losses": losses, "weights": weights, "seconds": seconds, "builds": batches.sampler.report().builds}
    Path(out, "report.json").write_text(json.dumps(report), encoding="utf-8")


def main(model: str, pairs: str, out: str, rows: str = "1600") -> None:
    def run(name: str, kill: bool = False) -> None:
        command = [sys.executable, __file__, model, pairs, f"{out}/{name}", rows, "train"]
        process = subprocess.Popen(command)
        second = Path(out, name, "checkpoint-30", "lookalike_sampler.pt")
        while kill and process.poll() is None and not second.exists():
            time.sleep(0.05)
        if kill:
            time.sleep(3)
            os.kill(process.pid, signal.SIGKILL)
        process.wait()

    run("whole")
    run("killed", kill=True)
    run("killed")
    whole, killed = (json.loads(Path(out, name, "report.json").read_text("utf-8")) for name in ("whole", "killed"))
    differing = [step for step, loss in whole["losses"].items() if killed["losses"].get(step) != loss]
    print(
        f"{len(whole['losses'])} steps, {whole['builds']} graphs, {whole['seconds']:.0f} s; losses differ at {differing or 'none'}"
    )
    print(f"sum of the weights {whole['weights']!r} and {killed['weights']!r}")
    checkpoint = Path(out, "whole", "checkpoint-30")
    for file in ("lookalike_sampler.pt", "training_args.bin", "model.safetensors"):
        print(f"{file}: {(checkpoint / file).stat().st_size} bytes")


if __name__ == "__main__":
    if sys.argv[-1] == "train":
        train(*sys.argv[1:4], int(sys.argv[4]))
    else:
        main(*sys.argv[1:])
