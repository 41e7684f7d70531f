"""Writes the seeds that a fuzzer begins with, small files of each format that are good: python make.py [CHECKPOINT…]

The seeds of `sampler_state` are cut from checkpoints of tiny runs, where such are given (scripts/torture makes some).
Needs Pillow (13.0), pyarrow (26.0), NumPy and SciPy; nothing in them is published data. The seeds of `texts` and
`tokenizer` were written by hand, those of `npy` and `safetensors` are crates/lookalike-base/tests/corpus.
"""

import gzip
import io
import json
import pathlib
import pickle
import struct
import sys
import tarfile
import zipfile

import numpy as np
import pyarrow
import pyarrow.parquet
import scipy.sparse
from PIL import Image

here = pathlib.Path(__file__).parent
END_OF_FILE = b"\0\0end\0\0"


def seed(target, name, *files):
    folder = here / target
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(END_OF_FILE.join(files))


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def images():
    y, x = np.mgrid[0:9, 0:11]
    picture = Image.fromarray(np.stack([x * 23, y * 28, (x * y) * 2], -1).astype(np.uint8))
    gray = picture.convert("L")
    exif = Image.Exif()
    exif[0x112] = 6
    other = Image.fromarray(255 - np.asarray(picture))
    for name, image, kind, options in [
        ("plain.png", picture, "PNG", {}),
        ("gray.png", gray, "PNG", {}),
        ("alpha.png", picture.convert("RGBA"), "PNG", {}),
        ("palette.png", picture.quantize(8), "PNG", {}),
        ("bits.png", picture.convert("1"), "PNG", {}),
        ("gray16.png", Image.fromarray(np.asarray(gray).astype(np.uint16) * 257), "PNG", {}),
        ("turned.png", picture, "PNG", {"exif": exif.tobytes()}),
        ("animated.png", picture, "PNG", {"save_all": True, "append_images": [other]}),
        ("plain.jpg", picture, "JPEG", {}),
        ("gray.jpg", gray, "JPEG", {}),
        ("progressive.jpg", picture, "JPEG", {"progressive": True}),
        ("cmyk.jpg", picture.convert("CMYK"), "JPEG", {}),
        ("turned.jpg", picture, "JPEG", {"exif": exif.tobytes(), "subsampling": 0}),
        ("restart.jpg", picture, "JPEG", {"restart_marker_blocks": 1}),
        ("lossy.webp", picture, "WEBP", {"quality": 50}),
        ("lossless.webp", picture, "WEBP", {"lossless": True}),
        ("alpha.webp", picture.convert("RGBA"), "WEBP", {"quality": 50}),
        ("animated.webp", picture, "WEBP", {"save_all": True, "append_images": [other]}),
        ("turned.webp", picture, "WEBP", {"exif": exif.tobytes()}),
        ("plain.gif", picture.quantize(8), "GIF", {}),
        ("animated.gif", picture.quantize(8), "GIF", {"save_all": True, "append_images": [other.quantize(8)]}),
        ("plain.bmp", picture, "BMP", {}),
        ("palette.bmp", picture.quantize(8), "BMP", {}),
        ("plain.tiff", picture, "TIFF", {}),
        ("lzw.tiff", picture, "TIFF", {"compression": "tiff_lzw"}),
        ("deflated.tiff", picture, "TIFF", {"compression": "tiff_adobe_deflate"}),
        ("plain.ppm", picture, "PPM", {}),
        ("gray.pgm", gray, "PPM", {}),
        ("bits.pbm", picture.convert("1"), "PPM", {}),
        ("gray.tiff", gray, "TIFF", {"compression": "packbits"}),
    ]:
        seed("image", name, encoded(image, kind, **options))


def image_list():
    seed("image_list", "header", b"\0path,label,split\na.png,cat,train\nb.png,dog,test\n")
    seed("image_list", "tabs", b"\1a.png\tcat\nb.png\t\n")
    seed("image_list", "semicolons", b'\0"a.png";cat\nb.png;dog\n')
    seed("image_list", "paths", b"\2./a.png\nb.png\n")


def array(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def node_folder():
    features, labels = array(np.eye(4, 3, dtype=np.float32)), array(np.array([0, 1, -1, 1]))
    edges = np.array([[0, 1], [1, 2], [2, 3]])
    seed("node_folder", "array", b"\0" + array(edges), features, labels, array(np.array([0, 1])))
    seed(
        "node_folder",
        "across",
        b"\0" + array(np.ascontiguousarray(edges.T.astype(np.int32))),
        features,
        labels,
        array(np.array([True, False, True, False])),
    )
    seed("node_folder", "lines", b"\1" + b"0,1\n1,2\n2,3\n", features)


def tables():
    pixels = bytes(range(12))
    images, labels = struct.pack(">4I", 0x803, 2, 2, 3) + pixels, struct.pack(">2I", 0x801, 2) + b"\3\7"
    seed("idx", "plain", images, labels)
    seed("idx", "gzipped", gzip.compress(images, mtime=0), gzip.compress(labels, mtime=0))
    record = bytes(range(256)) * 12
    names = "\n".join(f"class {number}" for number in range(10)).encode()
    seed("cifar", "ten", b"\0" + b"\4" + record, names)
    seed("cifar", "hundred", b"\1" + b"\1\52" + record)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in [("batches.meta.txt", names), ("test_batch.bin", b"\4" + record)]:
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    seed("cifar", "archive", b"\2" + file.getvalue()[: 512 * 10])


TU = {
    "A": b"1, 2\n2, 1\n2, 3\n3, 2\n4, 5\n5, 4\n",
    "graph_indicator": b"1\n1\n1\n2\n2\n",
    "graph_labels": b"1\n-1\n",
    "node_labels": b"0\n1\n0\n2\n2\n",
    "node_attributes": b"0.5, 1\n0.25, 2e1\n-1, 0\n3, 4\n5, 6\n",
    "edge_labels": b"0\n0\n1\n1\n2\n2\n",
    "edge_attributes": b"0.5\n0.5\n1\n1\n2\n2\n",
}
GIN = b"2\n3 0\n0 1 1 0.5\n1 2 0 2 0.25\n0 1 1 1e-1\n2 1\n2 1 1 4\n2 1 0 -5\n"


def zipped(members, compression):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


def graphs():
    seed("tu", "whole", *TU.values())
    seed("tu", "columns", TU["A"], TU["graph_indicator"], TU["graph_labels"], b"0, 1\n1, 1\n0, 0\n2, 0\n2, 1\n")
    seed("tu", "floats", b"\xef\xbb\xbf" + TU["A"].replace(b"\n", b"\r\n"), TU["graph_indicator"], b"0.0\n1.0\n")
    seed("tu", "least", TU["A"], TU["graph_indicator"])
    seed("gin", "attributes", GIN)
    seed("gin", "tags", b"1\n2 5\n0 1 1\n1 1 0\n")
    members = {f"S/S_{name}.txt": TU[name] for name in ["A", "graph_indicator", "graph_labels"]}
    seed("graph_zip", "stored", zipped(members, zipfile.ZIP_STORED))
    seed("graph_zip", "deflated", zipped({"S.txt": GIN}, zipfile.ZIP_DEFLATED))


def planetoid():
    good = here / "../../crates/lookalike-data/tests/fixtures/planetoid"
    for chosen, end in enumerate(["allx", "ally", "tx", "ty", "y", "graph", "test.index"]):
        # The long ones are as telling when they are short, and in each of the protocols.
        content = (good / f"ind.tiny.{end}").read_bytes()
        if len(content) < 1000:
            seed("planetoid", f"good.{end}", bytes([chosen]) + content)
    matrix = scipy.sparse.csr_matrix(np.eye(3, 5, dtype=np.float32))
    for protocol in range(6):
        for chosen, name, value in [
            (0, "matrix", matrix),
            (3, "labels", np.eye(4, 3, dtype=np.int32)),
            (5, "graph", {0: [1, 300], 1: [0]}),
        ]:
            seed("planetoid", f"{name}.protocol{protocol}", bytes([chosen]) + pickle.dumps(value, protocol))


def texts():
    table = pyarrow.table({"query": ["a", "b"], "positives": [["x", "y"], ["z"]], "label": pyarrow.array([7, 8])})
    for codec in ["none", "snappy", "gzip", "zstd"]:
        file = io.BytesIO()
        pyarrow.parquet.write_table(table, file, compression=codec, store_schema=False)
        seed("parquet", codec, file.getvalue())
    sets = [
        ("stsb", b"g\tf\t2012\t1\t2.5\tone text\tanother\n"),
        ("sick", b"pair_ID\ta\tb\tscore\tjudgment\n1\tone text\tanother\t3.5\tNEUTRAL\n"),
        ("sts12", b"one text\tanother\nthis\tthat\n", b"2.5\n\n"),
        ("mr", b"bad \xe9\n", b"good\n"),
        ("trec", b"NUM:dist how far\n", b"DESC:def what is it\n"),
        ("mrpc", b"Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t5\t6\tone\ttwo\n", b"0\t5\t6\tone\ttwo\n"),
        ("sst2", b"a text\t1\n", b"b text\t0\n", b"c text\t1\n"),
        ("clinc", b'{"val":[["one","class"]],"train":[["two","class"]],"test":[["three","other"]]}'),
        (
            "beir",
            b'{"_id":"q","text":"why"}\n',
            b'{"_id":"d","title":"t","text":"so"}\n',
            b"query-id\tcorpus-id\tscore\nq\td\t1\n",
        ),
    ]
    for chosen, (name, *files) in enumerate(sets):
        seed("text_sets", name, bytes([chosen]) + files[0], *files[1:])


def sampler_state(path):
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    state = json.loads(header.pop("__metadata__")["lookalike.state"])["sampler"]
    kept, arrays = {}, b""
    for name, entry in header.items():
        if name.startswith("sampler."):
            start, end = entry["data_offsets"]
            kept[name.removeprefix("sampler.")] = {**entry, "data_offsets": [len(arrays), len(arrays) + end - start]}
            arrays += data[start:end]
    text = json.dumps(kept).encode()
    text += b" " * (-len(text) % 8)
    seed(
        "sampler_state", path.parents[1].name, json.dumps(state).encode(), struct.pack("<Q", len(text)) + text + arrays
    )


if __name__ == "__main__":
    for checkpoint in sys.argv[1:]:
        sampler_state(pathlib.Path(checkpoint))
    for make in [images, image_list, node_folder, tables, graphs, planetoid, texts]:
        make()
