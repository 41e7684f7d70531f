"""Encoding texts beside sentence-transformers and ONNX Runtime, f32, the same threads, in interleaved rounds.

    pip install torch==2.13.0 sentence-transformers onnxruntime onnx
    python encode.py LOOKALIKE FOLDER TEXTS [ROUNDS] [OUT]

LOOKALIKE is the built command, FOLDER that of the encoder, TEXTS a file of one text a line. Each rival gets its best setting: texts
sorted by length, batches of 16, 32, 64 and 128 tried on the first 2,000 texts. Before anything is timed, the vectors are compared. Prints every
round and the ratio of medians; with OUT a summary is written there.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

ours, folder, path = sys.argv[1:4]
rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 5
out = sys.argv[5] if len(sys.argv) > 5 else None
threads = int(os.environ.get("THREADS", os.cpu_count()))
os.environ |= {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true"}

# They read the numbers of threads when they are imported.
import onnxruntime  # noqa: E402
import torch  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402

torch.set_num_threads(threads)
texts = [line.rstrip("\n") for line in open(path, encoding="utf-8") if line.strip()]
model = SentenceTransformer(folder, device="cpu")
most = model.max_seq_length


def sentence_transformers(texts, size):
    return model.encode(texts, batch_size=size)


class Transformer(torch.nn.Module):
    """The transformer of the folder as ONNX Runtime gets it: ids and mask in, tokens' vectors out."""

    def __init__(self):
        super().__init__()
        self.model = model[0].model if hasattr(model[0], "model") else model[0].auto_model

    def forward(self, ids, mask):
        return self.model(input_ids=ids, attention_mask=mask).last_hidden_state


def session():
    file = os.path.join(tempfile.mkdtemp(), "model.onnx")
    tokens = torch.ones(2, 8, dtype=torch.long)
    axes = {name: {0: "batch", 1: "tokens"} for name in ["ids", "mask", "vectors"]}
    torch.onnx.export(Transformer().eval(), (tokens, tokens), file, input_names=["ids", "mask"], output_names=["vectors"], dynamic_axes=axes,
                      dynamo=False, opset_version=17)
    # What ONNX Runtime's own tool fuses of a transformer: attention, GELU, LayerNorm with the sum before it.
    from onnxruntime.transformers import optimizer

    config = Transformer().model.config
    fused = optimizer.optimize_model(file, model_type="bert", num_heads=config.num_attention_heads, hidden_size=config.hidden_size)
    fused.save_model_to_file(file + ".fused")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return [onnxruntime.InferenceSession(name, options, providers=["CPUExecutionProvider"]) for name in [file, file + ".fused"]]


tokenizer = model.tokenizer.backend_tokenizer if hasattr(model.tokenizer, "backend_tokenizer") else model.tokenizer._tokenizer
tokenizer.enable_truncation(most)
tokenizer.enable_padding(pad_id=tokenizer.padding["pad_id"] if tokenizer.padding else 0)


def onnx_runtime(texts, size, run):
    order = np.argsort([-len(text) for text in texts], kind="stable")
    vectors = np.empty((len(texts), model.get_sentence_embedding_dimension()), np.float32)
    for first in range(0, len(texts), size):
        part = order[first : first + size]
        encoded = tokenizer.encode_batch([texts[index] for index in part])
        ids = np.array([e.ids for e in encoded], np.int64)
        mask = np.array([e.attention_mask for e in encoded], np.int64)
        tokens = run.run(None, {"ids": ids, "mask": mask})[0]
        sums = np.einsum("btd,bt->bd", tokens, mask.astype(np.float32))
        vectors[part] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return vectors


def lookalike(texts_file):
    line = subprocess.run([ours, "bench", "encode", "--weights", folder, "--texts", texts_file, "--json"], check=True, capture_output=True, text=True)
    return json.loads(line.stdout)


def rate(encode):
    begun = time.perf_counter()
    encode()
    return len(texts) / (time.perf_counter() - begun)


def best(encode):
    """The batch size that is fastest on the first 2,000 texts."""
    rates = {}
    for size in [16, 32, 64, 128]:
        encode(texts[:500], size)
        begun = time.perf_counter()
        encode(texts[:2000], size)
        rates[size] = time.perf_counter() - begun
    return min(rates, key=rates.get)


plain, fused = session()
with tempfile.TemporaryDirectory() as scratch:
    sample = os.path.join(scratch, "sample.txt")
    open(sample, "w", encoding="utf-8").write("\n".join(texts[:1000]) + "\n")
    subprocess.run([ours, "embed", folder, "--texts", sample, "--out", os.path.join(scratch, "e.npy")], check=True)
    vectors = np.load(os.path.join(scratch, "e.npy"))
theirs = model.encode(texts[:1000], normalize_embeddings=True)
print("least cosine to sentence-transformers:", (vectors * theirs).sum(1).min(), "to ONNX Runtime:", (vectors * onnx_runtime(texts[:1000], 32, plain)).sum(1).min())

rivals = {
    "sentence-transformers": sentence_transformers,
    "onnxruntime": lambda texts, size: onnx_runtime(texts, size, plain),
    "onnxruntime, fused": lambda texts, size: onnx_runtime(texts, size, fused),
}
sizes = {name: best(encode) for name, encode in rivals.items()}
rates = {name: [] for name in ["lookalike", *rivals]}
for _ in range(rounds):
    rates["lookalike"].append(lookalike(path)["texts_per_second"])
    for name, encode in rivals.items():
        rates[name].append(rate(lambda: encode(texts, sizes[name])))
    print({name: round(values[-1]) for name, values in rates.items()}, flush=True)

lines = [f"| encoder, batch | texts a second, median of {rounds} (slowest to fastest) | ours / this |", "|---|---|---|"]
median = {name: statistics.median(values) for name, values in rates.items()}
for name, values in rates.items():
    label = name if name not in sizes else f"{name}, {sizes[name]}"
    lines.append(f"| {label} | {median[name]:.0f} ({min(values):.0f} to {max(values):.0f}) | {median['lookalike'] / median[name]:.2f} |")
summary = "\n".join(lines)
print(summary)
if out:
    name = os.path.basename(os.path.normpath(folder))
    with open(out, "a") as file:
        file.write(f"\n{name}, {len(texts)} texts of {os.path.basename(path)}, f32, {threads} threads\n\n{summary}\n")
