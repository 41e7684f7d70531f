"""Writes the texts that `encode.py` is run on, 10,000 lines each, from the data folder: `tldr.txt`, descriptions of tldr's pairs, and
`wiki.txt`, the sentences of SimCSE's Wikipedia file.

    python texts.py DATA OUT
"""

import gzip
import json
import os
import sys

data, out = sys.argv[1:]
os.makedirs(out, exist_ok=True)
with gzip.open(os.path.join(data, "tldr/pairs.jsonl.gz"), "rt", encoding="utf-8") as file:
    tldr = [json.loads(line)["description"] for line in file]
with open(os.path.join(data, "sentences/wiki1m_for_simcse.head-1280000-bytes.txt"), encoding="utf-8") as file:
    wiki = [line.strip() for line in file if line.strip()]
for name, texts in [("tldr", tldr), ("wiki", wiki)]:
    with open(os.path.join(out, f"{name}.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(texts[:10_000]) + "\n")
