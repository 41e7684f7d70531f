"""Trains as `cargo run --example parity -- FOLDER [small | resnet18]` did, by PyTorch, and compares the losses.

    python simclr.py FOLDER        (torch 2.13.0, torchvision 0.28.0, safetensors)
"""

import json
import math
import sys
from pathlib import Path

import torch
import torchvision
from safetensors.torch import load_file

sys.path.append(str(Path(__file__).parents[2] / "crates/lookalike-learn/tests/fixtures"))
import make

TEMPERATURE, RATE, WARMUP, STEPS = 0.5, 0.001, 5, 20


def learning_rate(step):
    if step < WARMUP:
        return RATE * (step + 1) / WARMUP
    return RATE * 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))


def encoder(weights):
    if "encoder.layer4.0.conv1.weight" not in weights:
        return make.Small()
    network = torchvision.models.resnet18()
    network.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    network.maxpool = network.fc = torch.nn.Identity()
    return network


def train(folder, dtype):
    weights = load_file(folder / "initial.safetensors")
    batches = load_file(folder / "batches.safetensors")
    model = torch.nn.Module()
    model.encoder = encoder(weights)
    width = weights["projection.linear1.weight"].shape[1]
    model.projection = make.Projection(width, width, 128)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing), (missing, unexpected)
    model = model.to(dtype).train()
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 5e-4}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, RATE, momentum=0.9)
    losses = []
    for step in range(STEPS):
        first, second = model.projection(model.encoder(batches[f"{step:02}"].to(dtype))).chunk(2)
        loss = make.nt_xent(first, second, TEMPERATURE)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, model.state_dict()


def main(folder):
    events = [json.loads(line) for line in (folder / "run/events.jsonl").read_text().splitlines()]
    ours = [event["loss"] for event in events if event["kind"] == "step"]
    (single, _), (double, _) = train(folder, torch.float32), train(folder, torch.float64)
    difference = lambda a, b: abs(a - b) / abs(b)
    print("step  lookalike  torch f32  torch f64  ours/f32  ours/f64  f32/f64")
    for step, (a, b, c) in enumerate(zip(ours, single, double, strict=True)):
        print(f"{step:4} {a:10.6f} {b:10.6f} {c:10.6f}  {difference(a, b):.1e}   {difference(a, c):.1e}   {difference(b, c):.1e}")
    worst = lambda x, y: max(map(difference, x, y))
    print(f"largest relative difference to torch in float32: {worst(ours, single):.1e}")
    print(f"to torch in float64: ours {worst(ours, double):.1e}, torch's own float32 {worst(single, double):.1e}")
    assert worst(ours, single) < 1e-3


main(Path(sys.argv[1]))
