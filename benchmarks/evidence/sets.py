#!/usr/bin/env python3
"""Writes the sets of part A below DEST from the folder of the data: a file of pairs each, with a mined negative a row.

    sets.py DATA DEST LOOKALIKE ENCODER

Held out for the test are the rows of a tenth of the pages or focuses, for development those of another tenth, as `text.hold_out` says. Of the
others so many are drawn. SciFact's training claims are divided by their number; its development part searches 1,000 documents more than it judges.
"""

import csv
import gzip
import json
import pathlib
import random
import subprocess
import sys
import zlib

data, dest = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
lookalike, encoder = sys.argv[3:5]
PARTS = 10


def lines(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def part(value):
    """0: the test, 1: development, otherwise training."""
    return zlib.crc32(value.lower().encode()) % PARTS


def with_negatives(rows):
    """The rows to learn from with a mined negative each; those for which there is none get a random document."""
    plain = dest / "plain.jsonl"
    plain.write_text("".join(json.dumps({"query": row["query"], "document": row["document"]}) + "\n" for row in rows))
    found = dest / "mined.jsonl"
    found.unlink(missing_ok=True)
    subprocess.run(
        [lookalike, "mine", plain, "--weights", encoder, "--columns", "query", "document"]
        + ["--negatives", "1", "--relative-margin", "0.05", "--out", found],
        check=True,
    )
    negatives = {}
    for line in found.read_text().splitlines():
        row = json.loads(line)
        negatives[row["query"], row["document"]] = row["negative"]
    plain.unlink()
    found.unlink()
    without = sum((row["query"], row["document"]) not in negatives for row in rows)
    print(f"{without} of {len(rows)} rows have no negative that is 5 % less similar, and get a random document")
    draw = random.Random(1)
    other = lambda: draw.choice(rows)["document"]
    return [row | {"negative": negatives.get((row["query"], row["document"])) or [other()]} for row in rows]


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(f"{path.name}: {len(rows)} rows")


def pairs(name, columns, group, size):
    query, document = columns
    rows = [
        {"query": row[query], "document": row[document], group: row[group]}
        for row in lines(data / name / "pairs.jsonl.gz")
        if row.get(query) and row.get(document) and row.get(group)
    ]
    learned = [row for row in rows if part(row[group]) > 1]
    learned = random.Random(0).sample(learned, size)
    # Those that are held out need one for their line to be read; nobody reads it.
    kept = [row | {"negative": [learned[0]["document"]]} for row in rows if part(row[group]) < 2]
    write(dest / f"{name}.jsonl", with_negatives(learned) + kept)


def scifact():
    folder = data / "scifact"
    queries = {row["_id"]: row["text"] for row in lines(folder / "queries.jsonl.gz")}
    documents = {row["_id"]: row for row in lines(folder / "corpus.jsonl.gz")}
    with open(folder / "qrels/train.tsv", encoding="utf-8") as file:
        judged = [(row[0], row[1], row[2]) for row in csv.reader(file, delimiter="\t")]
    judged = [row for row in judged if row[0] in queries and row[2] != "0"]
    text = {id: f"{row['title']} {row['text']}".strip() for id, row in documents.items()}
    learned = [{"query": queries[query], "document": text[document]} for query, document, _ in judged if part(query) != 1]
    write(dest / "scifact.jsonl", with_negatives(learned))
    held = [row for row in judged if part(row[0]) == 1]
    corpus = {document for _, document, _ in held}
    corpus |= set(random.Random(0).sample(sorted(documents.keys() - corpus), 1000))
    own = dest / "scifact-dev"
    (own / "qrels").mkdir(parents=True, exist_ok=True)
    write(own / "corpus.jsonl", [documents[id] for id in sorted(corpus)])
    write(own / "queries.jsonl", [{"_id": id, "text": queries[id]} for id in sorted({row[0] for row in held})])
    head = "query-id\tcorpus-id\tscore\n"
    (own / "qrels/test.tsv").write_text(head + "".join("\t".join(row) + "\n" for row in held))
    link = dest / "scifact"
    if not link.exists():
        link.symlink_to(folder.resolve(), target_is_directory=True)


dest.mkdir(parents=True, exist_ok=True)
pairs("tldr", ("description", "command"), "page", 12_000)
pairs("medquad", ("question", "answer"), "focus", 6_000)
scifact()
