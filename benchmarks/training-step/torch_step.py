"""The training step of `lookalike bench step` in PyTorch on a CPU: ENCODER STEM IMAGE_SIZE BATCH MODE STEPS THREADS.

MODE is f32 (contiguous), f32-channels-last or bf16 (autocast, channels last). Forward pass, cross-entropy of 128 outputs,
backward pass, SGD with momentum 0.9 and weight decay 5e-4. Prints one line of JSON.
"""

import json
import resource
import statistics
import sys
import time

import torch
import torchvision


class Small(torch.nn.Module):
    """Three basic blocks of 16, 32 and 64 channels behind the CIFAR stem, as lookalike's `small`."""

    def __init__(self, classes):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(16)
        blocks, inputs = [], 16
        for stage in range(3):
            outputs, stride = 16 << stage, 1 if stage == 0 else 2
            downsample = None
            if stride != 1:
                shortcut = torch.nn.Conv2d(inputs, outputs, 1, stride, bias=False)
                downsample = torch.nn.Sequential(shortcut, torch.nn.BatchNorm2d(outputs))
            blocks.append(torchvision.models.resnet.BasicBlock(inputs, outputs, stride, downsample))
            inputs = outputs
        self.blocks = torch.nn.Sequential(*blocks)
        self.fc = torch.nn.Linear(inputs, classes)

    def forward(self, images):
        maps = self.blocks(torch.relu(self.bn1(self.conv1(images))))
        return self.fc(maps.mean(dim=(2, 3)))


def build(encoder, stem, classes, size=224):
    if encoder == "small":
        return Small(classes)
    if encoder == "vit_small":
        # Its attention is PyTorch's fused one.
        return torchvision.models.VisionTransformer(size, 16, 12, 12, 384, 1536, num_classes=classes)
    model = getattr(torchvision.models, encoder)(num_classes=classes)
    if stem == "cifar":
        model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        model.maxpool = torch.nn.Identity()
    return model


def main():
    encoder, stem, size, batch, mode, steps, threads = sys.argv[1:8]
    size, batch, steps = int(size), int(batch), int(steps)
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    model = build(encoder.replace("-", "_"), stem, 128, size)
    images, classes = torch.randn(batch, 3, size, size), torch.randint(0, 128, (batch,))
    if mode != "f32":
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=mode == "bf16"):
            loss = torch.nn.functional.cross_entropy(model(images), classes)
        loss.backward()
        optimizer.step()

    for _ in range(2):
        step()
    seconds = []
    for _ in range(steps):
        begun = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begun)
    rate = batch / statistics.median(seconds)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"images_per_second": rate, "seconds": seconds, "peak_memory": peak}), flush=True)


if __name__ == "__main__":
    main()
