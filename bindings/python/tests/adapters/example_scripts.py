"""The folder of the examples, of which the tests import parts and run the whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(FOLDER))


def run(script: str, *arguments: str, folder: str) -> str:
    """What an example prints, run as a user runs it, in a folder for what it leaves behind."""
    command = [sys.executable, "-W", "ignore", str(FOLDER / script), *arguments]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise AssertionError(f"{script} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout
