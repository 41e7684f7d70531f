"""One dial for hardness, ceilings on members, near duplicates, and kinds of batches side by side."""

from __future__ import annotations

import unittest
from itertools import chain

import lookalike
import numpy as np
from lookalike import LookalikeBatchSampler

N, B, CLASSES = 2400, 60, 24


def rows(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((CLASSES, 12))
    return (centers[np.arange(N) % CLASSES] + rng.standard_normal((N, 12))).astype(np.float32)


LABELS = np.arange(N) % CLASSES


def share(plan, known: np.ndarray) -> float:
    hardest = lookalike.metrics.hardness(lookalike.plan(known, B, kind="nearest"), known).difference
    return lookalike.metrics.hardness(plan, known).difference / hardest


class Dial(unittest.TestCase):
    def test_a_plan_comes_to_the_share_and_says_by_what(self):
        known = rows()
        for asked in (0.25, 0.5, 0.75):
            plan = lookalike.plan(known, B, hardness_share=asked)
            self.assertAlmostEqual(share(plan, known), asked, delta=0.1)
            self.assertAlmostEqual(plan.calibration.share, asked, delta=0.06)
            self.assertEqual(plan.calibration.asked, asked)
            self.assertEqual(len(set(chain(*plan.batches.tolist()))), N)

    def test_the_sampler_follows_a_schedule_and_tells_the_log(self):
        known = rows()
        batches = LookalikeBatchSampler(
            N, batch_size=B, embeddings=known, hardness_share=(0.2, 0.6, 1), refresh_every=N // B
        )
        self.assertIsNone(batches.report().calibration)
        with self.assertLogs("lookalike", "INFO") as log:
            epochs = [list(batches), list(batches)]
        self.assertEqual(len(log.output), 2)
        self.assertRegex(
            log.output[0], r"batches are 0\.\d+ more similar than uniform ones, a share of 0\.\d+ .* hardness_share"
        )
        for epoch, asked in zip(epochs, (0.2, 0.6)):
            self.assertAlmostEqual(share(epoch, known), asked, delta=0.1)
        self.assertEqual(batches.report().calibration.asked, 0.6)
        self.assertIn("hardness_share", repr(batches.report()))

    def test_a_state_and_a_pickle_keep_what_was_found(self):
        known = rows()
        options = {"batch_size": B, "embeddings": known, "hardness_share": 0.5, "refresh_every": 10}
        whole, stopped = (LookalikeBatchSampler(N, **options) for _ in range(2))
        expected = list(whole)
        before = [batch for _, batch in zip(range(15), stopped)]
        resumed = LookalikeBatchSampler(N, **options)
        resumed.load_state_dict(stopped.state_dict(consumed=15))
        self.assertEqual(before + list(resumed), expected)
        self.assertEqual(resumed.report().calibration, whole.report().calibration)

    def test_what_cannot_be_reached_and_what_is_all_alike_are_said(self):
        known = rows()
        with self.assertWarnsRegex(UserWarning, "hardness_share = 0.9 is not met: .* the budget allows"):
            next(iter(LookalikeBatchSampler(N, batch_size=B, embeddings=known, hardness_share=0.9, epoch_seconds=1e-6)))
        with self.assertWarnsRegex(UserWarning, "all embeddings are alike"):
            lookalike.plan(np.ones((N, 4), np.float32), B, hardness_share=0.5)

    def test_options_that_do_not_go_together_are_refused(self):
        known = rows()
        graph = lookalike.knn_graph(known, 5)
        for message, work in [
            (
                "candidates does not go with hardness_share",
                lambda: lookalike.plan(known, B, hardness_share=0.5, candidates=9),
            ),
            ("hardness_share goes with embeddings", lambda: lookalike.plan(graph, B, hardness_share=0.5)),
            (
                "similarity_ceiling goes with embeddings",
                lambda: lookalike.plan(N, B, kind="uniform", similarity_ceiling=0.5),
            ),
            ("of embeddings, not over a graph", lambda: lookalike.plan(graph, B, kind="clusters")),
            ("hardness_share = -1", lambda: lookalike.plan(known, B, hardness_share=-1)),
            (
                "pair_percentile does not go with edge_percentile",
                lambda: lookalike.plan(known, B, pair_percentile=9, edge_percentile=9),
            ),
        ]:
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                work()

    def test_defaults_fit_themselves_to_few_instances(self):
        few = rows()[:50]
        batches = LookalikeBatchSampler(50, batch_size=10, embeddings=few)
        self.assertEqual(len(set(chain(*batches))), 50)
        self.assertEqual(batches.graph.edges, 50 * 49)
        self.assertEqual(len(lookalike.plan(few, 10).batches), 5)


class Ceilings(unittest.TestCase):
    def test_twins_never_meet_and_batches_stay_hard(self):
        known = rows()
        known[-200:] = known[:200] + 0.02 * np.random.default_rng(1).standard_normal((200, 12)).astype(np.float32)
        unit = known / np.linalg.norm(known, axis=1, keepdims=True)
        for kind in ("walk", "nearest", "gcbs", "clusters"):
            free = lookalike.plan(known, B, kind=kind)
            plan = lookalike.plan(known, B, kind=kind, similarity_ceiling=0.98)
            for batch in plan.batches:
                products = unit[batch] @ unit[batch].T
                self.assertLessEqual((products - 2 * np.eye(B)).max(), 0.98 + 1e-6, kind)
            kept = lookalike.metrics.hardness(plan, known).difference
            self.assertGreater(kept, 0.7 * lookalike.metrics.hardness(free, known).difference, kind)
            self.assertEqual(plan.origins[:, :5].sum(), plan.batches.size)
            self.assertEqual(plan.origins[:, 6].sum(), 0, "nobody is above the ceiling")

    def test_near_duplicates_are_groups(self):
        known = rows()
        known[-100:] = known[:100] + 0.01 * np.random.default_rng(2).standard_normal((100, 12)).astype(np.float32)
        found = lookalike.near_duplicates(known)
        np.testing.assert_array_equal(found[-100:], np.arange(100))
        self.assertEqual(len(np.unique(found)), N - 100)
        batches = LookalikeBatchSampler(N, batch_size=B, embeddings=known, groups="near-duplicates", kind="nearest")
        for batch in batches:
            self.assertEqual(len(set(found[batch])), B)
        plan = lookalike.plan(known, B, groups="near-duplicates")
        self.assertTrue(all(len(set(found[batch])) == B for batch in plan.batches))


class Builders(unittest.TestCase):
    def test_kinds_are_compared_on_the_same_embeddings(self):
        found = lookalike.compare_plans(rows(), B, labels=LABELS)
        by_name = found.to_dict()
        self.assertEqual(by_name["nearest"]["share"], 1)
        self.assertAlmostEqual(by_name["uniform"]["hardness"], 0, delta=0.01)
        for name in ("gcbs", "clusters"):
            self.assertGreater(by_name[name]["share"], 0.3)
            self.assertGreater(by_name[name]["false_negatives"], 1.5 / CLASSES)
        self.assertEqual(str(found).count("\n"), len(found))

    def test_an_order_over_a_graph_is_that_of_its_edges(self):
        # Two chains, whose members are mixed up: each stretch is of one chain.
        order = np.random.default_rng(3).permutation(200)
        following = np.concatenate([order[1:100], order[101:]])
        degrees = np.ones(200, int)
        degrees[[order[99], order[199]]] = 0
        by_instance = dict(zip(np.concatenate([order[:99], order[100:199]]).tolist(), following.tolist()))
        neighbors = [by_instance[at] for at in range(200) if at in by_instance]
        graph = lookalike.Graph.from_arrays(degrees, neighbors, np.ones(198, np.float32))
        place = np.empty(200, int)
        place[order] = np.arange(200)
        for batch in lookalike.plan(graph, 20, kind="gcbs").batches:
            self.assertEqual(np.ptp(place[batch]), 19)


if __name__ == "__main__":
    unittest.main()
