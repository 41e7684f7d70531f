"""SimCLR on CIFAR-10 by lookalike, end to end: BINARY DATA_ROOT ENCODER BATCH STEPS PRECISION.

Trains by the recipe beside this file until STEPS steps have been logged, and interrupts. Prints one line of JSON; an instance is a
pair of views, the rate is that of the `step` events after the third.
"""

import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time


def main():
    binary, root, encoder, batch, steps, precision = sys.argv[1:7]
    recipe = pathlib.Path(__file__).with_name("simclr.toml")
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        settings = [f"encoder.kind={encoder}", f"sampler.batch_size={batch}", f"train.precision={precision}"]
        settings = [word for setting in settings for word in ("--set", setting)]
        command = [binary, "train", recipe, "--data-root", root, "--out", run, *settings]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        rates = []
        while process.poll() is None and len(rates) < int(steps) + 3:
            time.sleep(0.2)
            events = run / "events.jsonl"
            lines = events.read_text().splitlines() if events.exists() else []
            kinds = [json.loads(line) for line in lines if line.endswith("}")]
            rates = [event["instances_per_second"] for event in kinds if event["kind"] == "step"]
        process.send_signal(signal.SIGINT)
        process.wait()
    rates = rates[3 : int(steps) + 3]
    print(json.dumps({"instances_per_second": len(rates) / sum(1 / rate for rate in rates)}), flush=True)


main()
