"""Data and recipes of tiny runs: a folder of images, a set of graphs, lines, pairs."""

import random
import struct
import zlib

IMAGES = """
[data]
name = "folder"
root = "images"
[augment]
preset = "simclr"
size = 8
blur = 0.0
[encoder]
kind = "{encoder}"
{network}
[loss]
temperature = 0.2
[sampler]
kind = "walk"
batch_size = 8
refresh_every = 3
candidates = 20
neighbors = 5
[optimizer]
kind = "adam"
learning_rate = 0.001
[train]
epochs = 4
warmup_epochs = 0.0
checkpoint_every = 1
log_every = 1
[evaluate]
knn_k = 3
probe_epochs = 2
"""

GRAPHS = """
[data]
name = "S"
root = "graphs"
[encoder]
kind = "{encoder}"
layers = 2
width = 8
[method]
kind = "{method}"
{loss}
[sampler]
kind = "walk"
batch_size = 8
refresh_every = 3
candidates = 12
neighbors = 3
[optimizer]
kind = "adam"
learning_rate = 0.01
[train]
epochs = 6
warmup_epochs = 0.0
checkpoint_every = 1
log_every = 1
[evaluate]
fold_seeds = 1
"""

LINES = """
[data]
name = "lines.txt"
[text]
max_length = 8
vocabulary = 300
[encoder]
kind = "bert"
layers = 1
width = 8
heads = 1
positions = 16
[method]
kind = "simcse"
[sampler]
kind = "walk"
batch_size = 16
refresh_every = 3
candidates = 12
neighbors = 3
[optimizer]
kind = "adamw"
learning_rate = 0.001
[train]
epochs = 4
warmup_epochs = 0.0
checkpoint_every = 1
log_every = 1
"""

PAIRS = """
[data]
name = "pairs.csv"
[text]
vocabulary = 300
[encoder]
kind = "static"
width = 8
[method]
kind = "pairs"
[sampler]
kind = "walk"
batch_size = 16
refresh_every = 3
candidates = 12
neighbors = 3
[optimizer]
kind = "adamw"
learning_rate = 0.001
[train]
epochs = 4
warmup_epochs = 0.0
checkpoint_every = 1
log_every = 1
"""

RECIPES = {
    "images": IMAGES.format(encoder="vit-tiny", network="patch = 4\nlayers = 1\nwidth = 8\nheads = 1"),
    # Statistics of BatchNorm, and checkpoints of a few hundred kilobytes, which take longer to write.
    "convolutions": IMAGES.format(encoder="small", network='stem = "cifar"'),
    "graphs": GRAPHS.format(encoder="gin", method="graphcl", loss="[loss]\ntemperature = 0.2"),
    # Two encoders, of graphs and of their diffusions.
    "diffusions": GRAPHS.format(encoder="gcn", method="mvgrl", loss=""),
    "lines": LINES,
    "pairs": PAIRS,
}

WORDS = "red green blue small large cat dog house tree river runs sleeps falls shines and the a on under near".split()


def png(width, height, pixels):
    """A PNG file of 8-bit RGB rows."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + pixels[3 * width * row :][: 3 * width] for row in range(height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def make_images(root, draw):
    for split, count in [("train", 16), ("test", 4)]:
        for kind in ["cat", "dog"]:
            folder = root / "images" / split / kind
            folder.mkdir(parents=True)
            for number in range(count):
                color = [draw.randrange(256) for _ in range(3)]
                step = (7, 0) if kind == "cat" else (0, 9)
                rows = [
                    (color[channel] + x * step[0] + y * step[1]) % 256
                    for y in range(10)
                    for x in range(10)
                    for channel in range(3)
                ]
                (folder / f"{number:02}.png").write_bytes(png(10, 10, bytes(rows)))


def make_graphs(root, draw):
    """Rings, of which every second has a chord."""
    folder = root / "graphs"
    folder.mkdir(parents=True)
    edges, graph_of, classes, labels = [], [], [], []
    for graph in range(24):
        first, nodes = len(graph_of) + 1, draw.randrange(4, 9)
        graph_of += [graph + 1] * nodes
        labels += [draw.randrange(3) for _ in range(nodes)]
        pairs = [(node, (node + 1) % nodes) for node in range(nodes)]
        if graph % 2:
            pairs.append((0, 2))
        edges += [(first + a, first + b) for pair in pairs for a, b in [pair, pair[::-1]]]
        classes.append(graph % 2)
    for name, rows in [
        ("A", [f"{a}, {b}" for a, b in edges]),
        ("graph_indicator", graph_of),
        ("graph_labels", classes),
        ("node_labels", labels),
    ]:
        (folder / f"S_{name}.txt").write_text("".join(f"{row}\n" for row in rows))


def make_texts(root, draw):
    def some(count):
        return " ".join(draw.choice(WORDS) for _ in range(count))

    (root / "lines.txt").write_text("".join(f"{some(draw.randrange(3, 9))}\n" for _ in range(64)))
    (root / "pairs.csv").write_text("q,d\n" + "".join(f"{some(4)} {row},{some(6)} {row}\n" for row in range(64)))


def make_many_pairs(path, rows):
    """Pairs of texts, all different."""
    draw = random.Random("many pairs")

    def some(count):
        return " ".join(draw.choice(WORDS) for _ in range(count))

    path.write_text("q,d\n" + "".join(f"{some(4)} {row},{some(6)} {row}\n" for row in range(rows)))


def make(root):
    """Writes all data and recipes below `root`, the same every time."""
    draw = random.Random("inputs")
    for part in [make_images, make_graphs, make_texts]:
        part(root, draw)
    for name, text in RECIPES.items():
        (root / f"{name}.toml").write_text(text)
