"""What the group `exports` compares with: timm, torchvision, NumPy, and the table of names of MoCo's and detectron2's converters.

    python export_gates.py images FOLDER SIDE
    python export_gates.py timm FOLDER IMAGES ROWS.npy ROWS.csv
    python export_gates.py torchvision MODEL.safetensors IMAGES ROWS.npy ROWS.csv
    python export_gates.py detectron2 MODEL.pkl MODEL.safetensors
    python export_gates.py numpy MODEL.pkl
"""

import csv
import json
import pickle
import struct
import sys
from pathlib import Path

# How far a feature may be off, against the greatest.
BOUND = 1e-4


def images(folder, side):
    """Two classes of images of noise that need no resizing."""
    import numpy
    from PIL import Image

    draw = numpy.random.default_rng(0)
    for number in range(24):
        place = Path(folder) / ("dark" if number % 2 else "light")
        place.mkdir(parents=True, exist_ok=True)
        noise = draw.integers(0, 256, (8, 8, 3)).astype("uint8")
        Image.fromarray(noise).resize((int(side), int(side)), Image.BICUBIC).save(place / f"{number:02}.png")


def pixels(folder, names, mean, std):
    """The images as an encoder sees them."""
    import numpy
    import torch
    from PIL import Image

    read = [numpy.asarray(Image.open(Path(folder) / name).convert("RGB"), "float32") / 255 for name in names]
    values = (numpy.stack(read) - numpy.float32(mean)) / numpy.float32(std)
    return torch.from_numpy(values.transpose(0, 3, 1, 2).copy())


def compare(features, rows):
    import numpy

    off = numpy.abs(features - rows).max() / numpy.abs(rows).max()
    print(f"{rows.shape[0]} × {rows.shape[1]} features, the greatest difference is {off:.1e} of the greatest of them")
    if features.shape != rows.shape or not off <= BOUND:
        sys.exit("error: the features differ")


def embedded(rows, table):
    import numpy

    return numpy.load(rows), [row["name"] for row in csv.DictReader(open(table, encoding="utf-8"))]


def by_timm(folder, place, rows, table):
    import timm
    import torch

    rows, names = embedded(rows, table)
    encoder = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    config = timm.data.resolve_model_data_config(encoder)
    print(f"timm: {encoder.pretrained_cfg['architecture'] or folder}, {config}")
    with torch.no_grad():
        features = encoder(pixels(place, names, config["mean"], config["std"])).numpy()
    compare(features, rows)
    given = pixels(place, names[:1], config["mean"], config["std"])[0]
    from PIL import Image

    transform = timm.data.create_transform(**config, is_training=False)
    theirs = transform(Image.open(Path(place) / names[0]).convert("RGB"))
    if theirs.shape != given.shape or not (theirs - given).abs().max() <= 1e-5:
        sys.exit("error: timm's transform makes other pixels")
    # Every tensor of the encoder comes from the file when a classifier is asked for too.
    other = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=10).state_dict()
    own = encoder.state_dict()
    if any(not torch.equal(own[name], other[name]) for name in own) or len(other) != len(own) + 2:
        sys.exit("error: with a classifier timm has other weights")


def by_torchvision(path, place, rows, table):
    import torch
    import torchvision
    from safetensors import safe_open
    from safetensors.torch import load_file

    rows, names = embedded(rows, table)
    said = safe_open(path, "pt").metadata()
    model = getattr(torchvision.models, said["architecture"])()
    model.load_state_dict(load_file(path), strict=True)
    model.fc = torch.nn.Identity()
    mean, std = ([float(value) for value in said[name].split(",")] for name in ["mean", "std"])
    with torch.no_grad():
        compare(model.eval()(pixels(place, names, mean, std)).numpy(), rows)


def tensors(path):
    """The tensors of a safetensors file, read by hand."""
    import numpy

    content = Path(path).read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    header.pop("__metadata__")
    types = {"F32": "<f4", "I64": "<i8"}
    read = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        values = numpy.frombuffer(content[8 + size + first : 8 + size + last], types[entry["dtype"]])
        read[name] = values.reshape(entry["shape"])
    return read


def renamed(name):
    """The table: no head; `stem.` before what is in no layer; layerK → res(K+1), bnJ → convJ.norm, downsample → shortcut."""
    parts = name.split(".")
    if not parts[0].startswith("layer"):
        parts.insert(0, "stem")
    else:
        parts[0] = f"res{int(parts[0][5:]) + 1}"
    text = ".".join(f"conv{part[2:]}.norm" if part[:2] == "bn" and part[2:].isdigit() else part for part in parts)
    return text.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")


def numpy_pickle(path):
    """Both as anybody opens it and as detectron2 does."""
    import numpy

    with open(path, "rb") as file:
        plain = pickle.load(file)
    with open(path, "rb") as file:
        loaded = pickle.load(file, encoding="latin1")
    if list(plain) != ["model", "__author__", "matching_heuristics"] or plain["matching_heuristics"] is not True:
        sys.exit(f"error: the pickle holds {list(plain)}")
    for name, array in plain["model"].items():
        same = type(array) is numpy.ndarray and numpy.array_equal(array, loaded["model"][name])
        if not same or not array.flags.writeable or not array.flags.c_contiguous:
            sys.exit(f"error: {name} is no array of its own")
    print(f"NumPy {numpy.__version__}: {len(plain['model'])} arrays by {plain['__author__']}")
    return plain["model"]


def by_detectron2(path, weights):
    import numpy
    import pickletools
    import yaml

    content = Path(path).read_bytes()
    most = max(instruction.proto for instruction, _, _ in pickletools.genops(content))
    if content[:2] != b"\x80\x02" or most > 2:
        sys.exit(f"error: a pickle of protocol {most}")
    model, own = numpy_pickle(path), tensors(weights)
    expected = {renamed(name): array for name, array in own.items() if not name.startswith("fc.")}
    if set(model) != set(expected):
        sys.exit(f"error: other names: {sorted(set(model) ^ set(expected))[:8]}")
    for name, array in expected.items():
        if model[name].dtype != array.dtype or not numpy.array_equal(model[name], array):
            sys.exit(f"error: {name} has other values")
    for ending, classes, steps in [(".yaml", 20, 24000), (".coco.yaml", 80, 180000)]:
        config = yaml.safe_load(Path(path).with_suffix(ending).read_text())
        own = config["MODEL"]
        found = (own["ROI_HEADS"]["NUM_CLASSES"], config["SOLVER"]["MAX_ITER"], own["RESNETS"]["STRIDE_IN_1X1"],
                 own["BACKBONE"]["FREEZE_AT"], config["INPUT"]["FORMAT"], own["WEIGHTS"], len(own["PIXEL_MEAN"]))
        if found != (classes, steps, False, 0, "RGB", Path(path).name, 3):
            sys.exit(f"error: {ending} says {found}")
    print(f"{len(model)} tensors under the names of the table, with the same values; both configurations are YAML")


COMMANDS = {"images": images, "timm": by_timm, "torchvision": by_torchvision, "detectron2": by_detectron2, "numpy": numpy_pickle}
COMMANDS[sys.argv[1]](*sys.argv[2:])
