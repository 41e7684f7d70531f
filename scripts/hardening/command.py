"""Runs the command under limits, and says what of its end is no good end."""

import os
import pathlib
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

MEGABYTE = 1 << 20

# Of physical memory. One image may decode to 512 MiB, and a copy of it as RGB stands beside.
MOST_MEMORY = 1536 * MEGABYTE
# Of addresses: threads and maps reserve more than they use. What asks for more than this fails to get it, and aborts.
MOST_ADDRESSES = 6144 * MEGABYTE
MOST_SECONDS = 60


@dataclass
class End:
    """How a process ended."""

    arguments: list
    code: int
    output: str
    errors: str
    peak: int
    seconds: float
    stopped: bool
    pid: int

    def problem(self, codes=(0, 1, 2)):
        """What is wrong with this end, in words; None where it is a good one."""
        if self.stopped:
            return f"it had not ended after {self.seconds:.0f} seconds"
        if "panicked" in self.errors:
            return "it panicked"
        if self.code < 0:
            return f"it ended by signal {-self.code}"
        if self.code not in codes:
            return f"it ended with exit code {self.code}"
        if self.code in (1, 2) and "error: " not in self.errors:
            return f"it ended with exit code {self.code} and no message"
        if self.peak > MOST_MEMORY:
            return f"it held {self.peak / MEGABYTE:.0f} MiB"
        return None

    def said(self):
        """The last line that it said, shortened."""
        lines = (self.errors.strip() or self.output.strip()).splitlines()
        return lines[-1][:300] if lines else "nothing"


class Running:
    """A process that may be killed by another thread while this one waits for its end."""

    def __init__(self, process):
        self.process, self.pid = process, process.pid
        self.ended, self.lock = threading.Event(), threading.Lock()

    def signal(self, number):
        with self.lock:
            # Its number is not another's before it was waited for.
            if not self.ended.is_set():
                os.kill(self.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)

    def wait(self):
        """Its exit code, negative for a signal, and its greatest memory in bytes."""
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self.lock:
            self.ended.set()
            _, status, usage = os.wait4(self.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.process.returncode, usage.ru_maxrss * 1024


class Command:
    """The command `lookalike` at a path."""

    def __init__(self, path):
        self.path = str(pathlib.Path(path).absolute())

    def start(self, arguments, folder, out, errors, file_bytes=None):
        """Starts it in `folder`; files of more than `file_bytes` cannot be written."""
        limits = f"ulimit -v {MOST_ADDRESSES // 1024}"
        if file_bytes is not None:
            # An error of the write, as a full disk gives, instead of a signal.
            limits += f"; trap '' XFSZ; ulimit -f {file_bytes // 1024}"
        line = ["bash", "-c", f'{limits}; exec "$@"', "bash", self.path, *map(str, arguments)]
        # The compiler's checks of a debug build tell where it panicked; nothing else of the environment matters.
        environment = {**os.environ, "RUST_BACKTRACE": "0", "RAYON_NUM_THREADS": "2"}
        return subprocess.Popen(
            line,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            env=environment,
            start_new_session=True,
        )

    def run(self, arguments, folder, kill=None, file_bytes=None, seconds=MOST_SECONDS):
        """Runs it to its end. `kill` is called with it, in a thread of its own, and may kill or interrupt it."""
        began = time.monotonic()
        # Through pipes: a limit of the length of files would hold for files of messages too.
        running = Running(self.start(arguments, folder, subprocess.PIPE, subprocess.PIPE, file_bytes))
        texts = [b"", b""]

        def read(place, pipe):
            texts[place] = pipe.read()
            pipe.close()

        pipes = [running.process.stdout, running.process.stderr]
        threads = [threading.Thread(target=read, args=call) for call in enumerate(pipes)]
        threads.append(threading.Thread(target=kill or (lambda _: None), args=[running]))
        late = threading.Event()

        def stop():
            late.set()
            running.kill()

        timer = threading.Timer(seconds, stop)
        for thread in [timer, *threads]:
            thread.start()
        try:
            code, peak = running.wait()
        except BaseException:
            running.kill()
            running.wait()
            raise
        finally:
            timer.cancel()
        took = time.monotonic() - began
        for thread in threads:
            thread.join()
        said = [text.decode(errors="replace") for text in texts]
        return End(list(map(str, arguments)), code, *said, peak, took, late.is_set(), running.pid)
