"""Other processes, other threads, and Ctrl-C. Every wait has a limit, so that what hangs fails."""

from __future__ import annotations

import copy
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import unittest

import lookalike
import numpy as np
from common import Loader, clustered

#: Seconds after which something is said to hang.
LIMIT = 120


def work(sampler, sender) -> None:
    """What a worker may do: everything that starts threads, and the sampler of its parent."""
    rows = clustered(500)
    graph = lookalike.knn_graph(rows, 5)
    accuracy = lookalike.metrics.knn_accuracy(rows, np.arange(500) % 5, rows, np.arange(500) % 5, k=5).accuracy
    sender.send((graph.fingerprint, accuracy, Loader(sampler, 2).train(30)))


def use(sampler, sender) -> None:
    """Uses a sampler whose lock another thread of the parent held."""
    try:
        sender.send(f"used after {sampler.steps}")
    except RuntimeError as error:
        sender.send(str(error))


def in_process(method: str, target, sampler):
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(sampler, sender), daemon=True)
    process.start()
    try:
        if not receiver.poll(LIMIT):
            raise AssertionError(f"a process made by {method} hangs")
        return receiver.recv()
    finally:
        process.join(10)
        process.kill()


def sampler(**options) -> lookalike.LookalikeBatchSampler:
    options = {"batch_size": 10, "candidates": 50, "neighbors": 5, "refresh_every": 4, "seed": 3, **options}
    return lookalike.LookalikeBatchSampler(100, **options)


class Processes(unittest.TestCase):
    def test_forked_and_spawned_processes_do_the_same_as_their_parent(self):
        for method in ("fork", "spawn"):
            if method not in multiprocessing.get_all_start_methods():
                self.skipTest(f"{method} is not to be had here")
            original = sampler()
            # The parent has used threads before, and its sampler is in the middle of an epoch.
            Loader(original, 0).train(13)
            rows = clustered(500)
            fingerprint = lookalike.knn_graph(rows, 5).fingerprint
            found = in_process(method, work, original)
            self.assertEqual(found[0], fingerprint)
            # A pickled copy goes on in the middle of its epoch.
            expected = original if method == "fork" else copy.deepcopy(original)
            self.assertEqual(found[2], Loader(expected, 2).train(30), method)

    @unittest.skipUnless(hasattr(os, "fork"), "processes are not forked here")
    def test_a_process_forked_amid_long_work_does_not_wait_for_its_parent(self):
        known = np.random.default_rng(0).standard_normal((20_000, 128)).astype(np.float32)
        busy = lookalike.LookalikeBatchSampler(20_000, kind="nearest", embeddings=known)
        thread = threading.Thread(target=lambda: next(iter(busy)))
        thread.start()
        deadline = time.monotonic() + LIMIT
        while not threading.active_count() > 1 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.05)
        locked = thread.is_alive()
        self.assertEqual(in_process("fork", work, sampler())[0], lookalike.knn_graph(clustered(500), 5).fingerprint)
        if locked and thread.is_alive():
            self.assertRegex(in_process("fork", use, busy), "forked while another thread|used after")
        thread.join(LIMIT)
        self.assertFalse(thread.is_alive())


def tiled() -> int:
    """Of a graph whose candidates are compared in bfloat16: on AMX by registers that the system keeps for each thread."""
    return lookalike.knn_graph(clustered(500), 5, scoring="bf16").fingerprint


def send_tiled(sender) -> None:
    sender.send(tiled())


def started(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


GRAPH = """
import numpy, lookalike
rows = numpy.random.default_rng(0).standard_normal((500, 24)).astype(numpy.float32)
print(lookalike.knn_graph(rows, 5, scoring="bf16").edges)
"""

#: What a process does that a system refuses tiles of bfloat16: its stack for signals is too small to save them.
REFUSED = """
import ctypes
class Stack(ctypes.Structure):
    _fields_ = [("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
room = ctypes.create_string_buffer(4096)
stack = Stack(ctypes.addressof(room), 0, 4096)
if ctypes.CDLL(None, use_errno=True).sigaltstack(ctypes.byref(stack), None) != 0:
    raise SystemExit("no stack for signals")
"""


class Instructions(unittest.TestCase):
    def test_processes_and_threads_have_tiles_of_their_own(self):
        expected = tiled()
        for method in multiprocessing.get_all_start_methods():
            context = multiprocessing.get_context(method)
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=send_tiled, args=(sender,), daemon=True)
            process.start()
            self.assertTrue(receiver.poll(LIMIT), f"a process made by {method} hangs")
            self.assertEqual(receiver.recv(), expected, method)
            process.join(LIMIT)
        found = []
        threads = [threading.Thread(target=lambda: found.append(tiled())) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        self.assertEqual(found, [expected] * 3)

    @unittest.skipUnless(hasattr(os, "sched_setaffinity"), "processes are not bound to processors here")
    def test_a_process_that_is_bound_to_one_processor_computes(self):
        one = min(os.sched_getaffinity(0))
        self.assertEqual(started(f"import os; os.sched_setaffinity(0, [{one}])\n{GRAPH}").stdout, "2500\n")

    def test_a_variable_names_the_instructions_and_other_names_are_refused(self):
        refused = started("import lookalike", LOOKALIKE_ISA="mmx")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn('ImportError: LOOKALIKE_ISA is "mmx": this processor can be held to portable', refused.stderr)
        for name in refused.stderr.strip().rsplit("held to ", 1)[1].split(", "):
            self.assertEqual(started(GRAPH, LOOKALIKE_ISA=name).stdout, "2500\n", name)

    @unittest.skipUnless(sys.platform == "linux", "asked of Linux")
    def test_a_process_that_is_refused_tiles_computes_without_them(self):
        found = started(REFUSED + GRAPH)
        if "no stack for signals" in found.stderr:
            self.skipTest("the system wants a larger stack for signals")
        self.assertEqual(found.stdout, "2500\n", found.stderr)
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            has_tiles = "amx_bf16" in file.read()
        if has_tiles and started(GRAPH, LOOKALIKE_ISA="amx").returncode == 0:
            refused = started(REFUSED + GRAPH, LOOKALIKE_ISA="amx")
            self.assertIn("held to portable, avx2, avx512, avx512-bf16\n", refused.stderr)


class Threads(unittest.TestCase):
    def test_other_threads_go_on_during_long_work(self):
        rows = np.random.default_rng(0).standard_normal((15_000, 128)).astype(np.float32)
        ticks, stop = [], threading.Event()

        def tick() -> None:
            while not stop.wait(0.001):
                ticks.append(time.monotonic())

        thread = threading.Thread(target=tick)
        thread.start()
        begun = time.monotonic()
        lookalike.knn_graph(rows, 10)
        ended = time.monotonic()
        stop.set()
        thread.join()
        # Of one that kept the interpreter's lock there would be none but at its very ends.
        within = [at for at in ticks if begun + 0.2 * (ended - begun) < at < ended - 0.2 * (ended - begun)]
        self.assertGreater(len(within), 0)

    def test_one_thread_may_update_while_another_iterates(self):
        shared = sampler(embeddings=clustered(100))
        failures, done = [], threading.Event()

        def update() -> None:
            rows, rng = clustered(100), np.random.default_rng(0)
            while not done.is_set():
                try:
                    which = rng.permutation(100)[:10]
                    shared.update(which, rows[which])
                except Exception as error:  # noqa: BLE001
                    failures.append(error)

        thread = threading.Thread(target=update)
        thread.start()
        for _ in range(30):
            self.assertEqual(len(list(shared)), 10)
        done.set()
        thread.join(LIMIT)
        self.assertEqual(failures, [])


#: Work of minutes on one thread, each piece of which is interrupted.
INTERRUPTED = """
import signal
import numpy as np, lookalike
from lookalike import metrics
# Whatever runs the tests may ignore Ctrl-C, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
rows = np.random.default_rng(0).standard_normal((600_000, 64), dtype=np.float32)
sampler = lookalike.LookalikeBatchSampler(len(rows), kind="nearest", embeddings=rows)
ring = lookalike.Graph.from_arrays(np.ones(100, int), np.roll(np.arange(100), 1), np.ones(100, np.float32))
few, labels = rows[:20_000], np.arange(20_000) % 10
for work in (
    lambda: lookalike.knn_graph(rows, 10),
    lambda: lookalike.mine(rows, rows),
    lambda: next(iter(sampler)),
    lambda: lookalike.random_walks(ring, [0], 500_000_000),
    lambda: metrics.linear_probe(few, labels, few, labels, epochs=100_000),
):
    try:
        print("begun", flush=True)
        work()
        print("finished", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
print(sampler.steps, sampler.graph, flush=True)
"""


class Interrupts(unittest.TestCase):
    @unittest.skipUnless(os.name == "posix", "signals are sent otherwise elsewhere")
    def test_ctrl_c_ends_long_work_and_leaves_the_sampler_as_it_was(self):
        environment = {**os.environ, "LOOKALIKE_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        limit = threading.Timer(LIMIT, process.kill)
        limit.start()
        try:
            lines = []
            for line in process.stdout:
                lines.append(line.strip())
                if line == "begun\n":
                    time.sleep(0.5)
                    process.send_signal(signal.SIGINT)
            self.assertEqual(lines, ["begun", "interrupted"] * 5 + ["0 None"], process.stderr.read())
        finally:
            limit.cancel()
            process.kill()
            process.communicate()

    @unittest.skipUnless(hasattr(signal, "setitimer"), "no timer raises signals here")
    def test_a_signal_handler_that_asks_the_sampler_in_the_middle_of_its_work_gets_an_error(self):
        rows = np.random.default_rng(0).standard_normal((200_000, 64), dtype=np.float32)
        sampler = lookalike.LookalikeBatchSampler(len(rows), kind="nearest", embeddings=rows)

        def ask(*_):
            with self.assertRaisesRegex(RuntimeError, "already"):
                sampler.state_dict()
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, ask)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with self.assertRaises(KeyboardInterrupt):
                next(iter(sampler))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        self.assertEqual(sampler.steps, 0)
        self.assertEqual(sampler.state_dict()["consumed"], 0)


if __name__ == "__main__":
    unittest.main()
