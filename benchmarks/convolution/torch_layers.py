"""Times every convolution of layers.tsv in PyTorch: torch_layers.py [network] [f32|channels_last|bf16] [threads].

The same columns as the Rust program prints. bf16 is channels_last, all tensors in bf16, as autocast multiplies them;
the casts from and to f32 that autocast adds are not in it.
"""

import pathlib
import sys
import time

import torch

aten = torch.ops.aten


def median_seconds(call):
    call()
    begin, seconds = time.perf_counter(), []
    while len(seconds) < 5 or time.perf_counter() - begin < 0.25:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[len(seconds) // 2]


def main():
    network, layout = (sys.argv[1:] + ["", ""])[:2]
    layout = layout or "f32"
    torch.set_num_threads(int(sys.argv[3]) if len(sys.argv) > 3 else 2)
    dtype = torch.bfloat16 if layout == "bf16" else torch.float32
    memory = torch.contiguous_format if layout == "f32" else torch.channels_last
    step = [0.0, 0.0, 0.0]
    print(f"PyTorch {torch.__version__}, {layout}, {torch.get_num_threads()} threads")
    print(f"{'layer':24} {'count':>5}" + f"  {'ms':>9} {'GFLOP/s':>7}" * 3 + "   (output, dx, dw)")
    for line in pathlib.Path(__file__).with_name("layers.tsv").read_text().splitlines()[1:]:
        name, *sizes = line.split("\t")
        if not name.startswith(network):
            continue
        images, inputs, outputs, side, kernel, stride, count = map(int, sizes)
        padding = kernel // 2
        make = lambda *shape: torch.randn(*shape).to(dtype).to(memory_format=memory)
        x, w = make(images, inputs, side, side), make(outputs, inputs, kernel, kernel)
        forward = lambda: torch.nn.functional.conv2d(x, w, None, stride, padding)
        with torch.no_grad():
            y = forward()
            dy = make(*y.shape)
            backward = lambda mask: aten.convolution_backward(
                dy, x, w, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, mask
            )
            calls = [forward, lambda: backward([True, False, False]), lambda: backward([False, True, False])]
            times = [median_seconds(call) for call in calls]
        work = 2 * y.numel() * inputs * kernel * kernel
        row = f"{f'{inputs}-{outputs} @{side} {kernel}x{kernel}/{stride}':24} {count:5}"
        for index, seconds in enumerate(times):
            if inputs != 3 or index != 1:
                step[index] += seconds * count
            row += f"  {seconds * 1e3:9.3f} {work / seconds / 1e9:7.1f}"
        print(row)
    names = zip(("output", "dx", "dw"), step)
    print("a step: " + ", ".join(f"{n} {s * 1e3:.1f} ms" for n, s in names) + f", together {sum(step) * 1e3:.1f} ms")


main()
