"""Training steps on texts beside PyTorch: the same texts, the same work, in alternating rounds.

    pip install torch==2.13.0 sentence-transformers==6.2.0
    python step.py LOOKALIKE FOLDER TEXTS [--encoder static] [--batch 64] [--max-length 32] [--precision f32|bf16] [--rounds 5] [--steps 10]
                   [--isa AVX512_CORE_BF16] [--compile] [--out FILE]

A step of `bert`: TEXTS, one a line, in an order that is drawn once; each text of a batch twice through the encoder with dropout, InfoNCE at 0.05
of the first against the second, backward, gradients clipped at length 1, AdamW without decay on biases and norms. Tokens are made before the
clock runs on both sides; PyTorch pads to the batch's longest text, as sentence-transformers does.

PyTorch gets its best setting: SDPA (of MPNet there is none), AdamW as one loop over tensors (`foreach`) and as one kernel (`fused`), and with --compile `torch.compile`
too; all are run in each round and the best median counts. --isa sets ONEDNN_MAX_CPU_ISA, so that a processor with AMX stands in for one without.

A step of `static`: FOLDER names a tokenizer; a table of --width values a token is drawn, and pairs (a text and itself) are trained on by
sentence-transformers' StaticEmbedding and MultipleNegativesRankingLoss, with the tokenising of each batch, which its trainer does, and without.

Peak memory is that of the process, as Linux counts it. Every round runs each program anew.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("lookalike")
parser.add_argument("folder")
parser.add_argument("texts")
parser.add_argument("--encoder", default="bert", choices=["bert", "static"])
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--max-length", type=int, default=32)
parser.add_argument("--width", type=int, default=256)
parser.add_argument("--precision", default="f32", choices=["f32", "bf16"])
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--steps", type=int, default=10)
parser.add_argument("--isa")
parser.add_argument("--compile", action="store_true")
parser.add_argument("--out")
parser.add_argument("--worker")
asked = parser.parse_args()
THREADS = int(os.environ.get("THREADS", os.cpu_count()))
WARM_UP = 2


def peak_memory():
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM:"))


def batches(texts):
    """The batches of all steps, from the first text again when the last was reached."""
    return [[texts[(step * asked.batch + row) % len(texts)] for row in range(asked.batch)] for step in range(WARM_UP + asked.steps)]


def groups(model, **options):
    """AdamW with the decay that biases and norms do not have."""
    import torch

    plain = [parameter for name, parameter in model.named_parameters() if parameter.ndim > 1]
    others = [parameter for name, parameter in model.named_parameters() if parameter.ndim <= 1]
    named = [{"params": plain, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in named if group["params"]], lr=3e-5, **options)


def contrast(first, second):
    import torch

    first, second = torch.nn.functional.normalize(first), torch.nn.functional.normalize(second)
    return torch.nn.functional.cross_entropy(first @ second.T / 0.05, torch.arange(len(first)))


def transformer(texts, update, compiled):
    """What makes a step of a transformer."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(asked.folder)
    config = AutoConfig.from_pretrained(asked.folder)
    # Of MPNet transformers has no other attention.
    attention = "eager" if config.model_type == "mpnet" else "sdpa"
    model = AutoModel.from_pretrained(asked.folder, attn_implementation=attention, dtype=torch.float32, add_pooling_layer=False)
    model.train()
    forward = torch.compile(model, dynamic=True) if compiled else model
    optimizer = groups(model, **{update: True})
    tokens = [tokenizer(batch * 2, padding=True, truncation=True, max_length=asked.max_length, return_tensors="pt") for batch in batches(texts)]

    def step(index):
        own = tokens[index]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=asked.precision == "bf16"):
            hidden = forward(input_ids=own["input_ids"], attention_mask=own["attention_mask"]).last_hidden_state
        mask = own["attention_mask"].unsqueeze(-1)
        vectors = (hidden.float() * mask).sum(1) / mask.sum(1)
        loss = contrast(*vectors.split(asked.batch))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step, sum(int(own["attention_mask"].sum()) for own in tokens[WARM_UP:])


def table(texts, update, tokenising):
    """What makes a step of a table of one vector a token."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.losses import MultipleNegativesRankingLoss

    model = SentenceTransformer(asked.folder, device="cpu")
    model.train()
    loss_of = MultipleNegativesRankingLoss(model)
    optimizer = groups(model, **{update: True})
    preprocess = model.preprocess if hasattr(model, "preprocess") else model.tokenize
    ready = [preprocess(batch) for batch in batches(texts)]

    def step(index):
        columns = [preprocess(batches_of_texts[index]) for _ in range(2)] if tokenising else [dict(ready[index]) for _ in range(2)]
        loss_of(columns, None).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    batches_of_texts = batches(texts)
    return step, sum(2 * len(own["input_ids"]) for own in ready[WARM_UP:])


def work(kind):
    """A rival in this process: `kind` names its setting."""
    import torch

    torch.set_num_threads(THREADS)
    texts = [line.rstrip("\n") for line in open(asked.texts, encoding="utf-8") if line.strip()]
    update, *how = kind.split(",")
    make = transformer if asked.encoder == "bert" else table
    step, tokens = make(texts, update, bool(how))
    seconds = []
    for index in range(WARM_UP + asked.steps):
        begun = time.perf_counter()
        step(index)
        seconds.append(time.perf_counter() - begun)
    seconds = seconds[WARM_UP:]
    rate = 2 * asked.batch / statistics.median(seconds)
    print(json.dumps({"texts_per_second": rate, "tokens_per_second": tokens / sum(seconds), "peak_memory": peak_memory()}))


def theirs(kind, folder, texts):
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS), "TOKENIZERS_PARALLELISM": "true", "CUDA_VISIBLE_DEVICES": ""}
    if asked.isa:
        environment["ONEDNN_MAX_CPU_ISA"] = asked.isa
    command = [sys.executable, __file__, asked.lookalike, folder, texts, "--worker", kind, "--encoder", asked.encoder, "--batch", str(asked.batch),
               "--max-length", str(asked.max_length), "--precision", asked.precision, "--steps", str(asked.steps)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.splitlines()[-1])


def ours(folder, texts):
    command = [asked.lookalike, "bench", "step", "--encoder", asked.encoder, "--weights", folder, "--texts", texts, "--batch", str(asked.batch),
               "--precision", asked.precision, "--steps", str(asked.steps), "--json"]
    if asked.encoder == "bert":
        command += ["--max-length", str(asked.max_length)]
    environment = os.environ | {"RAYON_NUM_THREADS": str(THREADS)}
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def drawn_table(out):
    """The folder of a static encoder whose table is drawn, with the tokenizer of the folder that was given."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(os.path.join(asked.folder, "tokenizer.json"))
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=asked.width)], device="cpu").save(out)
    return out


def main():
    scratch = tempfile.TemporaryDirectory()
    lines = [line.rstrip("\n") for line in open(asked.texts, encoding="utf-8") if line.strip()]
    random.Random(0).shuffle(lines)
    texts = os.path.join(scratch.name, "texts.txt")
    with open(texts, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    folder = asked.folder if asked.encoder == "bert" else drawn_table(os.path.join(scratch.name, "table"))
    kinds = ["foreach", "fused"]
    if asked.encoder == "static":
        kinds = ["fused", "foreach,tokenising", "fused,tokenising"]
    elif asked.compile:
        kinds += ["fused,compiled"]
    found = {name: [] for name in ["lookalike", *kinds]}
    for _ in range(asked.rounds):
        found["lookalike"].append(ours(folder, texts))
        for kind in kinds:
            found[kind].append(theirs(kind, folder, texts))
        print({name: round(rounds[-1]["texts_per_second"], 1) for name, rounds in found.items()}, flush=True)
    median = {name: {key: statistics.median(one[key] for one in rounds) for key in ["texts_per_second", "tokens_per_second", "peak_memory"]} for name, rounds in found.items()}
    own = median["lookalike"]
    lines = [f"| program | texts a second, median of {asked.rounds} rounds (slowest to fastest) | ours / this | tokens a second | peak memory, MB | ours / this |",
             "|---|---|---|---|---|---|"]
    for name, values in median.items():
        rates = [one["texts_per_second"] for one in found[name]]
        label = name if name == "lookalike" else f"PyTorch, {name}"
        lines.append(f"| {label} | {values['texts_per_second']:.1f} ({min(rates):.1f} to {max(rates):.1f}) | {own['texts_per_second'] / values['texts_per_second']:.2f} "
                     f"| {values['tokens_per_second']:.0f} | {values['peak_memory'] / 1e6:.0f} | {own['peak_memory'] / values['peak_memory']:.2f} |")
    shares = found["lookalike"][-1]["shares"]
    lines += ["", "Shares of our last round: " + ", ".join(f"{name} {100 * share:.1f} %" for name, share in shares.items())]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    name = os.path.basename(os.path.normpath(asked.folder))
    title = (f"{name}, {asked.encoder}, batches of {asked.batch} × 2, {os.path.basename(asked.texts)}, {asked.precision}, {THREADS} threads"
             + (f", ONEDNN_MAX_CPU_ISA={asked.isa}" if asked.isa else "") + f"; load of the machine at the end {load}")
    summary = "\n".join(lines)
    print(title, summary, sep="\n\n")
    if asked.out:
        with open(asked.out, "a") as file:
            file.write(f"\n{title}\n\n{summary}\n")


work(asked.worker) if asked.worker else main()
