"""The readers of files, with good files of each, and the cheapest command that reads them."""

import gzip
import json
import pathlib
import shutil
import struct
import tarfile
from dataclasses import dataclass, field
from io import BytesIO
from typing import Callable

from .inputs import png
from .mutate import mutated, recipe, with_small_numbers

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SEEDS = REPOSITORY / "fuzz/seeds"
FIXTURES = REPOSITORY / "crates/lookalike-data/tests/fixtures"
OTHER = "not as published"
END_OF_FILE = b"\0\0end\0\0"


@dataclass
class Reader:
    """Sets of files of one format, of which one file is changed, and how the command reads them."""

    name: str
    # Each a good input: contents by name below the folder.
    inputs: list
    # The command's arguments; `{}` stands for the folder.
    arguments: list
    # A folder that is copied before the files are put into it, such as a run.
    base: pathlib.Path | None = None
    # Inputs that are read at once, in files of different names.
    together: int = 1
    # How a file is changed.
    change: Callable = staticmethod(mutated)
    # What is done to a changed file before it is written.
    after: Callable = staticmethod(lambda content: content)
    # The folder in which the command runs; that of the files if none is given.
    place: pathlib.Path | None = None
    # Seconds after which it is interrupted, where an input may ask for long work; that ends with the exit code 130.
    patience: float | None = None
    # What the command says of good files where it does not end with 0, as of sets that are not the published ones.
    says: str = ""
    others: list = field(default_factory=list)

    def __post_init__(self):
        self.others = [content for files in self.inputs for content in files.values()]


def seeds(target):
    """The files of `fuzz/seeds/<target>`, in a fixed order."""
    return [path.read_bytes() for path in sorted((SEEDS / target).iterdir())]


def contents(folder, *patterns):
    """Files below a folder by their names there."""
    found = sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def images():
    ends = {b"\x89PN": "png", b"\xff\xd8\xff": "jpg", b"RIF": "webp", b"GIF": "gif", b"BM": "bmp", b"P": "ppm"}

    def name(content):
        return next((end for start, end in ends.items() if content.startswith(start)), "tiff")

    inputs = [{f"image.{name(content)}": content} for content in seeds("image")]
    return Reader("images", inputs, ["data", "check", "folder", "--data-root", "{}"], together=20)


def lists():
    """Lists of two images, which lie beside them."""
    inputs = [
        {"list.csv": content[1:], "a.png": png(2, 2, bytes(12)), "b.png": png(2, 2, bytes(range(12)))}
        for content in seeds("image_list")
    ]
    return Reader("lists of images", inputs, ["data", "check", "folder", "--data-root", "{}/list.csv"])


def tables():
    parts = [input.split(END_OF_FILE) for input in seeds("idx")]
    kinds = ["images-idx3-ubyte", "labels-idx1-ubyte"]
    idx = [
        {f"{split}-{kind}": part for split in ["train", "t10k"] for kind, part in zip(kinds, files)} for files in parts
    ]
    record = bytes([3]) + bytes(range(256)) * 12
    names = "".join(f"class {number}\n" for number in range(10)).encode()
    batches = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    cifar = {**{batch: record for batch in batches}, "batches.meta.txt": names}
    archive = BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for file, content in cifar.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{file}")
            member.size = len(content)
            tar.addfile(member, BytesIO(content))

    packed_cifar = {"cifar-10-binary.tar.gz": archive.getvalue()}

    def packed(content):
        # Not compressed, so that changes stay changes of the archive.
        return gzip.compress(content, compresslevel=0, mtime=0)

    check = ["data", "check"]
    root = ["--data-root", "{}"]
    return [
        Reader("idx", idx, [*check, "mnist", *root], says=OTHER),
        Reader("CIFAR", [cifar], [*check, "cifar10", *root], says=OTHER),
        Reader("CIFAR, archive", [packed_cifar], [*check, "cifar10", *root], after=packed, says=OTHER),
    ]


def graphs():
    ends = ["A", "graph_indicator", "graph_labels", "node_labels", "node_attributes", "edge_labels", "edge_attributes"]
    tu = [{f"S_{end}.txt": part for end, part in zip(ends, input.split(END_OF_FILE)) if part} for input in seeds("tu")]
    planetoid = {path.name: path.read_bytes() for path in sorted((FIXTURES / "planetoid").glob("ind.tiny.*"))}
    parts = ["edges", "features.npy", "labels.npy", "train.npy"]
    nodes = []
    for content in seeds("node_folder"):
        edges = "edges.csv" if content[0] & 1 else "edges.npy"
        nodes.append({f"g/{name}": part for name, part in zip([edges, *parts[1:]], content[1:].split(END_OF_FILE))})
    root = ["--data-root", "{}"]
    return [
        Reader("TU", tu, ["data", "check", "S", *root]),
        Reader("GIN", [{"S.txt": input} for input in seeds("gin")], ["data", "check", "S", *root]),
        Reader("graphs, zip", [{"S.zip": input} for input in seeds("graph_zip")], ["data", "check", "S", *root]),
        Reader("Planetoid", [planetoid], ["data", "check", "tiny", *root]),
        Reader("nodes in a folder", nodes, ["data", "check", "{}/g"]),
    ]


def npy(kind, shape, data):
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + data


def safetensors(tensors, metadata=None):
    """A file of tensors: type, shape and bytes by name."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, (kind, shape, content) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def without_checksum(content):
    """A file of tensors without the checksum that the command wrote, which would refuse most changes."""
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    metadata = header.get("__metadata__", {})
    for key in [key for key in metadata if "sum" in key or "sha" in key]:
        del metadata[key]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def arrays():
    values = struct.pack("<48f", *(((number * 7) % 11) - 5 for number in range(48)))
    rows = {
        "npy": npy("<f4", "(12, 4)", values),
        "double": npy("<f8", "(12, 4)", struct.pack("<48d", *range(1, 49))),
    }
    labels, groups = (
        npy("<i8", "(12,)", struct.pack("<12q", *(number // share for number in range(12)))) for share in [4, 2]
    )
    tensors = safetensors({"a": ("F32", [12, 4], values)})
    several = safetensors({"b": ("F16", [12, 4], bytes(96)), "a": ("F32", [12, 4], values)})
    plan = ["--out", "{}/plan.npy", "--batch-size", "4", "--candidates", "6", "--neighbors", "3"]
    return [
        Reader("npy", [{"e.npy": content} for content in rows.values()], ["sample", "{}/e.npy", *plan]),
        Reader(
            "npy of labels and groups",
            [{"e.npy": rows["npy"], "labels.npy": labels, "groups.npy": groups}],
            ["sample", "{}/e.npy", "--labels", "{}/labels.npy", "--groups", "{}/groups.npy", *plan],
        ),
        Reader(
            "safetensors",
            [{"e.safetensors": tensors}, {"e.safetensors": several}],
            ["sample", "{}/e.safetensors:a", *plan],
        ),
    ]


def of_runs(command, root):
    """Readers of what the command wrote itself: runs, weights, sentence encoders."""
    for name in ["images", "lines"]:
        for steps, run in [(12, f"begun-{name}"), (13, f"ended-{name}")]:
            end = command.run(["train", f"{name}.toml", "--out", run, "--set", f"train.max_steps={steps}"], root)
            if end.code != 0:
                raise SystemExit(f"error: a run to change files of failed: {end.said()}")
    end = command.run(["export", "ended-lines", "sentence"], root)
    if end.code != 0:
        raise SystemExit(f"error: a run could not be exported: {end.said()}")
    begun, ended, sentence = root / "begun-images", root / "ended-images", root / "sentence"
    checkpoints = contents(begun, "checkpoints/*")
    newest = {max(checkpoints): without_checksum(checkpoints[max(checkpoints)])}
    alone, model_alone = root / "begun-without-checkpoints", root / "ended-without-checkpoints"
    for run, copy in [(begun, alone), (ended, model_alone)]:
        shutil.copytree(run, copy)
        shutil.rmtree(copy / "checkpoints")
    resume = ["train", "--resume", "{}", "--set", "train.max_steps=13"]
    model = without_checksum((ended / "model.safetensors").read_bytes())
    weights = ["train", "--check", "images.toml", "--set", "encoder.weights={}/w.safetensors"]
    return [
        Reader("checkpoints", [checkpoints, newest], resume, base=alone, place=root),
        Reader("events", [contents(begun, "events.jsonl")], resume, base=begun, place=root),
        Reader(
            "recipe of a run",
            [contents(begun, "recipe.toml")],
            resume,
            base=begun,
            place=root,
            change=recipe,
            patience=15,
            after=with_small_numbers,
        ),
        Reader(
            "model of a run",
            [{"model.safetensors": model}],
            ["embed", "{}", "--out", "{}/e.npy"],
            # Where there is a checkpoint, it stands in for a model that is damaged.
            base=model_alone,
            place=root,
        ),
        Reader("weights to start from", [{"w.safetensors": model}], weights, place=root),
        Reader(
            "sentence encoders",
            [
                contents(sentence, "*.json", "*/*.json"),
                {"model.safetensors": without_checksum((sentence / "model.safetensors").read_bytes())},
            ],
            ["embed", "{}", "--texts", "lines.txt", "--out", "{}.npy"],
            base=sentence,
            place=root,
        ),
        *texts_of(sentence),
    ]


def recipes(root):
    inputs = [{"recipe.toml": path.read_bytes()} for path in sorted(root.glob("*.toml"))]
    return Reader(
        "recipes",
        inputs,
        ["train", "--check", "{}/recipe.toml"],
        place=root,
        change=recipe,
        patience=15,
        after=with_small_numbers,
    )


def texts_of(sentence):
    files = {
        "texts.txt": b"a line\nand another\n\nlast\n",
        "texts.csv": b'text,label\n"one, ""two""",3\nthree,4\n',
        "texts.tsv": b"text\tlabel\none\t3\ntwo\t4\n",
        "texts.jsonl": b'{"text": "one", "label": 3}\n{"text": "two", "label": 4}\n',
        "texts.csv.gz": gzip.compress(b"text\none\n", mtime=0),
        "texts.parquet": (FIXTURES / "text/rows.none.parquet").read_bytes(),
    }
    readers = [
        Reader(
            f"texts, {name[6:]}", [{name: content}], ["embed", sentence, "--texts", f"{{}}/{name}", "--out", "{}/e.npy"]
        )
        for name, content in files.items()
    ]
    beir = {
        "corpus.jsonl": b'{"_id": "d", "title": "t", "text": "so it is"}\n{"_id": "e", "text": "not so"}\n',
        "queries.jsonl": b'{"_id": "q", "text": "why is it"}\n',
        "qrels/test.tsv": b"query-id\tcorpus-id\tscore\nq\td\t1\n",
    }
    sts = {"sts-test.csv": b"g\tf\t2012\t1\t2.5\tone text\tanother\ng\tf\t2012\t2\t1.5\tthis\tthat one\n"}
    return [
        *readers,
        Reader("sets of texts, BEIR", [beir], ["evaluate", sentence, "--data", "{}"]),
        Reader("sets of texts, STS", [sts], ["evaluate", sentence, "--data", "{}/sts-test.csv"]),
    ]


def every(command, root):
    """All readers. Runs that they need are made below `root`."""
    return [images(), lists(), *tables(), *graphs(), *arrays(), recipes(root), *of_runs(command, root)]
