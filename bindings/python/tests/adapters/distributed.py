"""Two processes of one machine that talk by gloo, started as a user starts them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def torchrun(script: Path | str, *arguments: str, folder: str, fails: bool = False) -> str:
    """What two processes of a script say, in a folder for what they leave behind."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0"]
    command += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0", str(script), *arguments]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=300)
    if bool(done.returncode) != fails:
        raise AssertionError(f"{script} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr
