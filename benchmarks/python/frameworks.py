"""Runs the sampler inside PyTorch's DataLoader, torchdata, Lightning and sentence-transformers, and says what came of it.

``python frameworks.py TOKENIZER SENTENCES.txt``: a folder with a BERT tokenizer, from which a tiny model with random weights is
made, and sentences, one a line. One JSON object a line; a check that fails ends it with an error.
"""

import json
import platform
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from lookalike.torch import LookalikeBatchSampler
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).parents[2] / "bindings/python/examples"))
N, B = 2000, 32


class Indices(Dataset):
    """Instances that are their own numbers."""

    def __len__(self):
        return N

    def __getitem__(self, index):
        return index


def say(what, **outcome):
    print(json.dumps({"what": what, **outcome}), flush=True)


def embed(indices, step):
    generator = torch.Generator().manual_seed(step)
    return torch.eye(16)[indices % 16] + 0.3 * torch.randn(len(indices), 16, generator=generator)


def sampler(**options):
    return LookalikeBatchSampler(
        N, batch_size=B, candidates=300, neighbors=20, refresh_every=20, coverage="cover", **options
    )


def train(batches, loader, epochs, stop=None, step=0):
    """Trains up to batch `stop` = (epoch, batch), where it saves; gives all batches and the saved state."""
    seen = []
    for epoch in range(batches.epoch, epochs):
        batches.set_epoch(epoch)
        for at, indices in enumerate(loader, start=batches.first_batch):
            seen.append(indices.tolist())
            batches.update(indices, embed(indices, step))
            step += 1
            if (epoch, at) == stop:
                return seen, batches.state_dict(consumed=at + 1), step
    return seen, None, step


def data_loader():
    for workers, method in [(0, None), (2, "fork"), (2, "spawn"), (2, "forkserver")]:
        for persistent in {False, workers > 0}:

            def loader(batches):
                return DataLoader(
                    Indices(),
                    batch_sampler=batches,
                    num_workers=workers,
                    multiprocessing_context=method,
                    persistent_workers=persistent,
                )

            whole = sampler()
            expected, _, _ = train(whole, loader(whole), 4)
            assert len(expected) == 4 * (N // B) and all(len(set(batch)) == B for batch in expected)
            assert len(set(sum(expected[-(N // B) :], []))) == N // B * B
            stopped = sampler()
            before, state, step = train(stopped, loader(stopped), 4, stop=(2, 17))
            with tempfile.NamedTemporaryFile() as file:
                torch.save(state, file.name)
                state = torch.load(file.name, weights_only=True)
            resumed = sampler()
            resumed.load_state_dict(state)
            after, _, _ = train(resumed, loader(resumed), 4, step=step)
            assert before + after == expected, "a resumed run gets other batches"
            say(
                "DataLoader",
                workers=workers,
                method=method,
                persistent=persistent,
                builds=whole.report()["builds"],
                resumed="the same batches",
            )


def stateful_data_loader():
    from torchdata.stateful_dataloader import StatefulDataLoader

    for workers in (0, 2):
        batches = sampler()
        loader = StatefulDataLoader(Indices(), batch_sampler=batches, num_workers=workers)
        seen = [indices.tolist() for indices in loader]
        assert len(seen) == N // B
        say("torchdata StatefulDataLoader, iterated", workers=workers, batches=len(seen))


def lightning():
    import lightning
    from with_lightning import Contrast
    from with_pytorch import Vectors

    warnings.filterwarnings("ignore")
    dataset = Vectors(4000)

    class Kept(Contrast):
        def __init__(self, batches):
            super().__init__(batches)
            self.seen = []

        def training_step(self, batch, index):
            self.seen.append((self.current_epoch, index, batch[2].tolist()))
            return super().training_step(batch, index)

    def fit(folder, checkpoint=None, steps=-1):
        lightning.seed_everything(0, verbose=False)
        batches = LookalikeBatchSampler(
            len(dataset), batch_size=100, candidates=300, neighbors=20, coverage="cover", refresh_every=10
        )
        module = Kept(batches)
        trainer = lightning.Trainer(
            max_epochs=3, max_steps=steps, accelerator="cpu", use_distributed_sampler=False, logger=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
            callbacks=[lightning.pytorch.callbacks.ModelCheckpoint(every_n_train_steps=50, dirpath=folder, filename="at", save_top_k=-1)],
        )  # fmt: skip
        trainer.fit(module, DataLoader(dataset, batch_sampler=batches, num_workers=2), ckpt_path=checkpoint)
        return module.seen

    with tempfile.TemporaryDirectory() as folder:
        whole = fit(folder)
        epochs = [sorted(sum((batch for e, _, batch in whole if e == epoch), [])) for epoch in range(3)]
        assert epochs == [list(range(4000))] * 3, "an epoch does not cover"
    with tempfile.TemporaryDirectory() as folder:
        before = fit(folder, steps=50)
        after = fit(folder, checkpoint=f"{folder}/at.ckpt")
    same = [batch for *_, batch in before + after][:60] == [batch for *_, batch in whole][:60]
    cover = sorted(sum((batch for epoch, _, batch in before + after if epoch == 1), [])) == list(range(4000))
    say("Lightning", batches=len(whole), resumed_after=len(before), then=len(after), indices_go_on=after[0][:2],
        resumed_epoch_covers=cover, same_until_next_graph=same)  # fmt: skip
    assert same and cover


def sentence_transformers(tokenizer, sentences):
    from transformers import AutoTokenizer, BertConfig, BertModel
    from with_sentence_transformers import main

    with tempfile.TemporaryDirectory() as folder:
        words = AutoTokenizer.from_pretrained(tokenizer)
        config = BertConfig(
            vocab_size=len(words),
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=128,
            max_position_embeddings=64,
        )
        torch.manual_seed(0)
        BertModel(config).save_pretrained(f"{folder}/model")
        words.save_pretrained(f"{folder}/model")
        lines = Path(sentences).read_text(encoding="utf-8").splitlines()[:1000]
        Path(f"{folder}/sentences.txt").write_text("\n".join(lines), encoding="utf-8")
        report = main(f"{folder}/model", f"{folder}/sentences.txt", f"{folder}/out", 45)
    say("sentence-transformers", **report)
    assert report["builds"] == 3 and report["edges"] > 0


if __name__ == "__main__":
    names = [
        "torch",
        "numpy",
        "torchdata",
        "lightning",
        "sentence-transformers",
        "transformers",
        "accelerate",
        "datasets",
        "lookalike",
    ]
    say("versions", python=platform.python_version(), **{name: version(name) for name in names})
    np.random.seed(0)
    data_loader()
    stateful_data_loader()
    lightning()
    sentence_transformers(*sys.argv[1:3])
    say("all done")
