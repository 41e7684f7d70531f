"""States without embeddings, which are saved apart: a run goes on from them as if nothing had happened."""

from __future__ import annotations

import pickle
import tempfile
import unittest
import warnings
from pathlib import Path

import numpy as np
from common import Loader, clustered, embeddings_of
from lookalike import LookalikeBatchSampler

N, B = 120, 10


def sampler(**options):
    options = {"candidates": 60, "neighbors": 6, "refresh_every": 7, "coverage": "cover", "seed": 3, **options}
    return LookalikeBatchSampler(N, batch_size=B, **options)


class LightStates(unittest.TestCase):
    def setUp(self):
        warnings.filterwarnings("ignore")
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.file = Path(place.name, "embeddings.npz")

    def resumes(self, after, prefetch=0, first=False, **options):
        """Whether a run of 60 batches goes on alike from the light state after some of them."""
        whole = Loader(sampler(**options), prefetch)
        before, state = whole.train(after), None
        state = pickle.loads(pickle.dumps(whole.sampler.state_dict(consumed=after % (N // B), light=True)))
        self.assertFalse({"embeddings", "graph.neighbors", "stamps"} & set(state["arrays"]))
        whole.sampler.save_embeddings(self.file)
        expected = whole.train(60 - after)
        again = Loader(sampler(**options), prefetch)
        again.step = after
        if first:
            again.sampler.load_embeddings(self.file)
        again.sampler.load_state_dict(state)
        if not first:
            again.sampler.load_embeddings(self.file)
        self.assertEqual(again.train(60 - after), expected)
        self.assertEqual(again.sampler.report().builds, whole.sampler.report().builds)
        self.assertEqual(again.sampler.report().finished, whole.sampler.report().finished)
        self.assertEqual(len(before), after)

    def test_a_run_goes_on_at_any_batch(self):
        for after in (5, 13, 14, 20, 23, 25, 31, 47):
            for prefetch in (0, 2):
                for options in ({}, {"refresh_every": 30}, {"kind": "nearest"}, {"embeddings": clustered(N)}):
                    with self.subTest(after=after, prefetch=prefetch, **options):
                        self.resumes(after, prefetch, **options)

    def test_embeddings_can_be_loaded_before_the_state(self):
        for after in (13, 25):
            self.resumes(after, 2, first=True, refresh_every=30)

    def test_uniform_batches_need_no_embeddings(self):
        whole = sampler(kind="uniform")
        list(whole)
        state = whole.state_dict(light=True)
        again = sampler(kind="uniform")
        again.load_state_dict(state)
        self.assertEqual(list(again), list(whole))
        with self.assertRaisesRegex(ValueError, "no embedding was recorded"):
            again.save_embeddings(self.file)

    def test_planned_batches_come_without_embeddings_and_the_next_graph_is_refused(self):
        whole = Loader(sampler(), 0)
        whole.train(16)
        again = sampler()
        again.load_state_dict(whole.sampler.state_dict(light=True))
        expected = whole.train(10)
        iterator = iter(again)
        # The graph of step 12 is walked up to step 19.
        self.assertEqual([next(iterator) for _ in range(3)], expected[:3])
        with self.assertRaisesRegex(ValueError, "names embeddings of 120 instances, and there are those of 0: load"):
            next(iterator)
        with self.assertRaisesRegex(ValueError, "names embeddings of 120 instances"):
            # Nothing is lost: a state of this one waits for them too.
            copied = pickle.loads(pickle.dumps(again))
            list(copied)

    def test_embeddings_can_be_given_again(self):
        whole = Loader(sampler(), 0)
        whole.train(16)
        again = Loader(sampler(), 0)
        again.step = 16
        again.sampler.load_state_dict(whole.sampler.state_dict(light=True))
        again.sampler.update(np.arange(N), whole.sampler.embeddings)
        self.assertEqual(again.train(20), whole.train(20))

    def test_embeddings_of_another_time_or_run_are_refused_and_newer_ones_are_taken(self):
        first, other = Loader(sampler(), 0), Loader(sampler(seed=4), 0)
        first.train(14)
        first.sampler.save_embeddings(self.file)
        first.train(1)
        state = first.sampler.state_dict(light=True)
        again = sampler()
        again.load_state_dict(state)
        with self.assertRaisesRegex(ValueError, r"embeddings.npz: .*after 15 records, and these, after 14"):
            again.load_embeddings(self.file)
        other.train(15)
        other.sampler.save_embeddings(self.file)
        with self.assertRaisesRegex(ValueError, "not the same run's"):
            again.load_embeddings(self.file)
        first.train(2)
        first.sampler.save_embeddings(self.file)
        again.load_embeddings(self.file)
        np.testing.assert_array_equal(again.embeddings, first.sampler.embeddings)

    def test_files_that_are_damaged_or_of_something_else_are_refused_and_nothing_changes(self):
        known = sampler(embeddings=clustered(N))
        known.save_embeddings(self.file)
        with np.load(self.file) as file:
            saved = dict(file)
        again = sampler(embeddings=clustered(N, seed=5))
        before = again.embeddings
        cases = {
            "array builds is missing": {name: saved[name] for name in saved if name != "builds"},
            "array stamps is missing": {name: saved[name] for name in saved if name != "stamps"},
            "trail is damaged": {**saved, "trail": saved["trail"][:1]},
            "embeddings of shape": {**saved, "embeddings": saved["embeddings"][:7]},
        }
        for message, arrays in cases.items():
            np.savez(self.file, **arrays)
            with self.assertRaisesRegex(ValueError, message):
                again.load_embeddings(self.file)
        for content in (b"", b"PK\x03\x04 and no more", b"nothing"):
            self.file.write_bytes(content)
            with self.assertRaisesRegex(ValueError, "cannot be read"):
                again.load_embeddings(self.file)
        with self.assertRaisesRegex(ValueError, "cannot be read"):
            again.load_embeddings(self.file.with_name("nowhere.npz"))
        with self.assertRaisesRegex(ValueError, "otherwise than .npz"):
            again.save_embeddings(self.file.with_suffix(".pt"))
        np.testing.assert_array_equal(again.embeddings, before)
        self.assertEqual([path.name for path in self.file.parent.iterdir()], ["embeddings.npz"])

    def test_damaged_batches_are_refused(self):
        whole = Loader(sampler(), 0)
        whole.train(15)
        state = whole.sampler.state_dict(light=True)
        arrays = state["arrays"]
        self.assertEqual(len(arrays["segment.sizes"]), 4)
        cases = {
            "not all members are instances": {"segment.members": np.full_like(arrays["segment.members"], N)},
            "array segment.members of shape": {"segment.members": arrays["segment.members"][1:]},
            "origins do not add up": {"segment.origins": np.zeros_like(arrays["segment.origins"])},
            "should be a vector of 4": {"segment.sizes": arrays["segment.sizes"][1:]},
            "array used is missing": {"used": None},
        }
        for message, changed in cases.items():
            damaged = {name: value for name, value in {**arrays, **changed}.items() if value is not None}
            with self.assertRaisesRegex(ValueError, message):
                sampler().load_state_dict({**state, "arrays": damaged})

    def test_the_attribute_makes_states_light(self):
        batches = sampler(embeddings=clustered(N))
        batches.update([0], embeddings_of([0], 0))
        self.assertIn("embeddings", batches.state_dict()["arrays"])
        batches.light_states = True
        self.assertNotIn("embeddings", batches.state_dict()["arrays"])
        self.assertIn("embeddings", batches.state_dict(light=False)["arrays"])


if __name__ == "__main__":
    unittest.main()
