"""Functions on arrays, each beside what NumPy makes of its definition."""

from __future__ import annotations

import pickle
import unittest

import lookalike
import numpy as np
from common import clustered
from lookalike import metrics


def unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Graphs(unittest.TestCase):
    def test_the_nearest_neighbors_are_those_of_a_full_sort(self):
        rows = np.random.default_rng(0).standard_normal((300, 7)).astype(np.float32)
        similarities = unit(rows) @ unit(rows).T
        np.fill_diagonal(similarities, -2)
        expected = np.argsort(-similarities, axis=1, kind="stable")[:, :9]
        graph = lookalike.knn_graph(rows, 9)
        degrees, neighbors, found = graph.arrays()
        np.testing.assert_array_equal(degrees, np.full(300, 9))
        np.testing.assert_array_equal(neighbors.reshape(300, 9), expected)
        np.testing.assert_allclose(found.reshape(300, 9), np.take_along_axis(similarities, expected, 1), atol=1e-6)
        np.testing.assert_array_equal(graph.neighbors(7)[0], expected[7])
        self.assertEqual(
            (graph.instances, graph.edges, round(graph.statistics().mean_similarity, 6)),
            (300, 2700, round(float(found.mean()), 6)),
        )

    def test_a_proximity_graph_has_the_most_similar_of_its_candidates(self):
        rows = clustered(400)
        graph = lookalike.proximity_graph(rows, candidates=60, neighbors=60, seed=3)
        _, drawn, similarities = graph.arrays()
        drawn, similarities = drawn.reshape(400, 60), similarities.reshape(400, 60)
        for instance in range(400):
            self.assertEqual(len(set(drawn[instance]) - {instance}), 60)
        np.testing.assert_allclose(similarities, np.einsum("id,ijd->ij", unit(rows), unit(rows)[drawn]), atol=1e-6)
        self.assertTrue((np.diff(similarities, axis=1) <= 0).all())
        rounded = lookalike.proximity_graph(rows, candidates=60, neighbors=5, seed=3, scoring="bf16").arrays()[1]
        self.assertGreater((rounded.reshape(400, 5) == drawn[:, :5]).mean(), 0.99)
        few = lookalike.proximity_graph(rows, candidates=60, neighbors=5, seed=3).arrays()[1].reshape(400, 5)
        np.testing.assert_array_equal(few, drawn[:, :5])
        self.assertNotEqual(graph, lookalike.proximity_graph(rows, candidates=60, neighbors=60, seed=3, build=1))

    def test_graphs_are_pickled_compared_and_filtered(self):
        graph = lookalike.knn_graph(clustered(50), 5)
        copied = pickle.loads(pickle.dumps(graph))
        self.assertEqual((copied, hash(copied)), (graph, hash(graph)))
        ceiling = graph.similarity_percentile(40)
        kept = graph.below(ceiling)
        self.assertEqual(kept.edges, int((graph.arrays()[2] <= ceiling).sum()))
        self.assertEqual(graph.statistics().edges, 250)
        empty = lookalike.Graph.from_arrays([0, 0], [], np.empty(0, np.float32))
        self.assertIsNone(empty.similarity_percentile(40))

    def test_top_k_is_a_full_sort_with_ties_to_the_lower_row(self):
        rng = np.random.default_rng(1)
        queries, database = (rng.integers(-2, 3, (n, 4)).astype(np.float32) for n in (30, 200))
        products = queries @ database.T
        expected = np.argsort(-products, axis=1, kind="stable")[:, :8]
        found, similarities = lookalike.top_k(queries, database, 8, normalize=False)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(similarities, np.take_along_axis(products, expected, 1))
        cosines = lookalike.top_k(queries + 0.5, database + 0.25, 1)[1][:, 0]
        np.testing.assert_allclose(cosines, (unit(queries + 0.5) @ unit(database + 0.25).T).max(1), atol=1e-6)

    def test_walks_follow_edges_and_restarts(self):
        graph = lookalike.knn_graph(clustered(100), 4)
        neighbors = graph.arrays()[1].reshape(100, 4)
        walks = lookalike.random_walks(graph, [3, 3, 60], 50, restart=0.0, seed=1)
        self.assertEqual(walks.shape, (3, 50))
        for start, walk in zip([3, 3, 60], walks):
            for here, there in zip([start, *walk], walk):
                self.assertIn(there, neighbors[here])
        self.assertFalse((walks[0] == walks[1]).all())
        near = lookalike.random_walks(graph, np.full(200, 3), 50, restart=0.9, seed=1)
        self.assertGreater(np.isin(near, neighbors[3]).mean(), 0.85)
        cold = lookalike.random_walks(graph, [5], 20, restart=0.0, temperature=1e-6)
        self.assertEqual(cold[0][0], neighbors[5][0])

    def test_a_plan_covers_and_its_report_counts_what_it_did(self):
        rows, labels = clustered(300, clusters=6), np.arange(300) % 6 + 40
        graph = lookalike.knn_graph(rows, 20)
        plan = lookalike.plan(graph, 16, seed=2, groups=np.arange(300) // 2)
        self.assertEqual(plan.batches.shape, (18, 16))
        self.assertEqual(len(np.unique(plan.batches)), 18 * 16)
        self.assertTrue(all(len(set(batch // 2)) == 16 for batch in plan.batches))
        np.testing.assert_array_equal(plan.origins.sum(axis=1), np.full(18, 16))
        report = lookalike.plan_report(plan, rows, labels=labels, graph=graph)
        self.assertEqual(report.hardness, metrics.hardness(plan, rows))
        self.assertEqual(report.false_negatives, metrics.false_negative_rate(plan, labels))
        self.assertEqual(report.draws, (12, 288))
        self.assertEqual(sum(report.restarts), plan.origins[:, 2].sum())
        self.assertEqual(report.graph.statistics, graph.statistics())
        lists = [list(batch) for batch in plan.batches]
        self.assertEqual(lookalike.plan_report(lists, rows).hardness, report.hardness)
        again = lookalike.plan(graph, 16, seed=2, groups=np.arange(300) // 2)
        np.testing.assert_array_equal(again.batches, plan.batches)

    def test_plans_end_on_islands_and_cover_those_without_neighbors(self):
        # Pairs that know only each other, and a third of all alone.
        pairs = np.arange(200).reshape(-1, 2)[:, ::-1].reshape(-1)
        islands = lookalike.Graph.from_arrays([1] * 200 + [0] * 100, pairs, np.full(200, 0.5, np.float32))
        for kind in ("walk", "nearest"):
            for coverage in ("cover", "repeat"):
                batches = lookalike.plan(islands, 30, kind=kind, coverage=coverage).batches
                self.assertEqual(len(np.unique(batches[0])), 30)
                if coverage == "cover":
                    self.assertEqual(len(np.unique(batches)), 300)
        walks = lookalike.random_walks(islands, [0, 299], 9, restart=0.0)
        self.assertEqual(walks.tolist(), [[1, 0] * 4 + [1], [299] * 9])

    def test_plans_of_other_kinds(self):
        graph = lookalike.knn_graph(clustered(300), 20)
        nearest = lookalike.plan(graph, 10, kind="nearest", coverage="repeat").batches
        neighbors = graph.arrays()[1].reshape(300, 20)
        self.assertTrue(all(set(batch[1:]) == set(neighbors[batch[0]][:9]) for batch in nearest))
        uniform = lookalike.plan(300, 10, kind="uniform").batches
        self.assertEqual(len(np.unique(uniform)), 300)
        oracle = lookalike.plan(graph, 10, labels=np.arange(300) % 5).batches
        plain = lookalike.plan(graph, 10).batches
        rate = metrics.false_negative_rate
        self.assertLess(rate(oracle, np.arange(300) % 5).rate, rate(plain, np.arange(300) % 5).rate)


class Metrics(unittest.TestCase):
    def setUp(self):
        self.rows, self.labels = clustered(200, d=8), np.arange(200) % 5 * 10 + 20

    def test_nearest_neighbors_vote(self):
        train, test = self.rows[:150], self.rows[150:]
        known, expected = self.labels[:150], self.labels[150:]
        similarities = unit(test) @ unit(train).T
        votes = []
        for row in similarities:
            best = np.argsort(-row, kind="stable")[:9]
            totals = {label: np.exp(row[best][known[best] == label] / 0.2).sum() for label in np.unique(known)}
            votes.append(max(totals, key=totals.get))
        found = metrics.knn_classify(train, known, test, k=9, temperature=0.2)
        np.testing.assert_array_equal(found, votes)
        accuracy = metrics.knn_accuracy(train, known, test, expected, k=9, temperature=0.2)
        self.assertEqual(accuracy.accuracy, np.mean(np.array(votes) == expected))
        lowered = metrics.knn_accuracy(train, known, test, expected)
        self.assertEqual((lowered.k, lowered.k_lowered), (150, True))

    def test_a_linear_probe_learns_what_is_linear(self):
        probe = metrics.linear_probe(self.rows[:150], self.labels[:150], self.rows[150:], self.labels[150:], epochs=20)
        self.assertGreater(probe.accuracy, 0.7)
        self.assertEqual((len(probe.rates), probe.labelled_rows, probe.epochs), (7, 150, 20))
        # Ten rows of one class, and one that is wrongly said to be of another: both classes count as much.
        own = 150 + np.flatnonzero(self.labels[150:] == 20)
        tested = np.append(own, 151)
        said = np.append(self.labels[own], 40)
        uneven = metrics.linear_probe(self.rows[:150], self.labels[:150], self.rows[tested], said, epochs=20)
        self.assertAlmostEqual(uneven.balanced_accuracy, uneven.accuracy * 11 / 10 / 2)

    def test_geometry_is_that_of_its_definitions(self):
        first, second = self.rows, self.rows[::-1].copy()
        distances = ((unit(first) - unit(second)) ** 2).sum(1)
        self.assertAlmostEqual(metrics.alignment(first, second), distances.mean(), places=6)
        squared = ((unit(first)[:, None] - unit(first)[None]) ** 2).sum(-1)[np.triu_indices(200, 1)]
        found = metrics.uniformity(first, t=3.0)
        self.assertAlmostEqual(found.value, np.log(np.exp(-3 * squared).mean()), places=5)
        self.assertEqual(metrics.uniformity(first, most_rows=50).rows, 50)
        np.testing.assert_allclose(metrics.collapse(first).deviations, unit(first).std(0), atol=1e-6)

    def test_spectrum_and_ranks_are_those_of_numpy(self):
        rows = self.rows.astype(np.float64)
        for centered in (True, False):
            values = np.linalg.svd(rows - centered * rows.mean(0), compute_uv=False)
            np.testing.assert_allclose(metrics.spectrum(self.rows, centered=centered), values, rtol=1e-9)
            shares = values / values.sum()
            expected = np.exp(-(shares * np.log(shares)).sum())
            self.assertAlmostEqual(metrics.effective_rank(self.rows, centered=centered), expected, places=9)
        values = np.linalg.svd(rows, compute_uv=False)
        shares = values / values.sum() + 1e-7
        self.assertAlmostEqual(metrics.rank_me(self.rows), np.exp(-(shares * np.log(shares)).sum()), places=6)

    def test_hardness_and_false_negatives_are_means_over_pairs(self):
        plan = [[0, 5, 9], [1, 2], [7, 8, 11, 12]]
        pairs = [(a, b) for batch in plan for a in batch for b in batch if a != b]
        found = metrics.hardness(plan, self.rows)
        self.assertEqual(found.pairs, len(pairs))
        self.assertAlmostEqual(
            found.similarity, np.mean([unit(self.rows)[a] @ unit(self.rows)[b] for a, b in pairs]), places=6
        )
        rate = metrics.false_negative_rate(plan, self.labels)
        self.assertAlmostEqual(rate.rate, np.mean([self.labels[a] == self.labels[b] for a, b in pairs]))
        self.assertAlmostEqual(rate.uniform, 39 / 199)

    def test_paired_differences_have_the_interval_of_student(self):
        found = metrics.paired([1.0, 2.0, 3.0], [2.0, 3.5, 3.9])
        differences = np.array([1.0, 1.5, 0.9])
        half = 4.302652729911275 * differences.std(ddof=1) / np.sqrt(3)  # t(0.975, 2)
        self.assertAlmostEqual(found.low, differences.mean() - half, places=9)
        self.assertEqual(found.gain, bool(found.low > 0))


class BadInput(unittest.TestCase):
    def test_everything_that_does_not_fit_is_refused_and_named(self):
        rows, labels = clustered(50), np.arange(50) % 5
        graph = lookalike.knn_graph(rows, 5)
        nan = rows.copy()
        nan[17, 3] = np.nan
        one_class = np.zeros(50, int)
        for message, call in [
            (r"embeddings of shape \(6,\) is no matrix", lambda: lookalike.knn_graph(rows[0], 5)),
            ("is int64; expected numbers of floating point", lambda: lookalike.knn_graph(rows.astype(int), 5)),
            ("instance 17 is not finite", lambda: lookalike.knn_graph(nan, 5)),
            ("instance 17 is not finite", lambda: lookalike.proximity_graph(nan, candidates=20, neighbors=5)),
            ("neighbors = 50", lambda: lookalike.knn_graph(rows, 50)),
            ("neighbors = 30", lambda: lookalike.proximity_graph(rows, candidates=20, neighbors=30)),
            ('scoring = "int8"', lambda: lookalike.knn_graph(rows, 5, scoring="int8")),
            ("neighbors = 0", lambda: lookalike.knn_graph(rows, 0)),
            ("1 instances", lambda: lookalike.knn_graph(rows[:1], 1)),
            ("0 instances", lambda: lookalike.knn_graph(rows[:0], 1)),
            ("k = 51", lambda: lookalike.top_k(rows, rows, 51)),
            ("k = 0", lambda: lookalike.top_k(rows, rows, 0)),
            (r"\(50, 5\) and database of shape \(50, 6\)", lambda: lookalike.top_k(rows[:, :5], rows, 2)),
            ("queries: row 17", lambda: lookalike.top_k(nan, rows, 2)),
            (r"starts\[1\] is 50", lambda: lookalike.random_walks(graph, [0, 50], 5)),
            ("steps = -1", lambda: lookalike.random_walks(graph, [0], -1)),
            ("restart = 1", lambda: lookalike.random_walks(graph, [0], 5, restart=1)),
            ("do not fit into memory", lambda: lookalike.random_walks(graph, [0, 1], 2**62)),
            ("do not fit into memory", lambda: lookalike.random_walks(graph, [0, 1], 2**63)),
            ("a degree is below 0", lambda: lookalike.Graph.from_arrays([-1, 1], [0], np.ones(1, np.float32))),
            (r"neighbors\[0\] is 5", lambda: lookalike.Graph.from_arrays([1, 0], [5], np.ones(1, np.float32))),
            (r"neighbors\[0\] is 0", lambda: lookalike.Graph.from_arrays([], [0], np.ones(1, np.float32))),
            (r"the plan\[0\] is 0", lambda: metrics.false_negative_rate([[0, 1]], [])),
            ("temperature = 0", lambda: lookalike.random_walks(graph, [0], 5, temperature=0)),
            ("instance 50 is none", lambda: graph.neighbors(50)),
            ("batch_size = 51", lambda: lookalike.plan(graph, 51)),
            ("batch_size = 0", lambda: lookalike.plan(graph, 0)),
            ("needs embeddings or a graph", lambda: lookalike.plan(50, 5)),
            ("kind = 'random'", lambda: lookalike.plan(graph, 5, kind="random")),
            ('coverage = "all"', lambda: lookalike.plan(graph, 5, coverage="all")),
            ("temperature does not go", lambda: lookalike.plan(graph, 5, kind="nearest", temperature=0.1)),
            ("restart does not go", lambda: lookalike.plan(graph, 5, kind="nearest", restart=0.1)),
            ("graph does not go", lambda: lookalike.plan(graph, 5, kind="uniform")),
            ("coverage does not go", lambda: lookalike.plan(50, 5, kind="uniform", coverage="repeat")),
            (
                "temperature does not go",
                lambda: lookalike.LookalikeBatchSampler(50, batch_size=5, kind="uniform", temperature=0.1),
            ),
            (
                "oracle does not go",
                lambda: lookalike.LookalikeBatchSampler(50, batch_size=5, kind="uniform", oracle=labels),
            ),
            ("only 1 groups", lambda: lookalike.plan(graph, 5, groups=one_class)),
            (r"labels of shape \(49,\)", lambda: lookalike.plan(graph, 5, labels=labels[1:])),
            (r"labels of shape \(49,\)", lambda: lookalike.plan_report([[0, 1]], rows, labels=labels[1:])),
            (r"the plan\[1\] is 50", lambda: lookalike.plan_report([[0, 50]], rows)),
            ("no batch has two members", lambda: lookalike.plan_report([[0], [1]], rows)),
            ("no batch has two members", lambda: metrics.hardness([], rows)),
            (r"the plan of shape \(3,\)", lambda: metrics.hardness(np.arange(3), rows)),
            ("all instances are of one class", lambda: metrics.false_negative_rate([[0, 1]], one_class)),
            ("nodes of the graph", lambda: lookalike.plan_report([[0, 1]], rows[:40], graph=graph)),
            ("add up to 3 edges", lambda: lookalike.Graph.from_arrays([3, 0], [1], np.ones(1, np.float32))),
            ("cannot be a neighbor", lambda: lookalike.Graph.from_arrays([1, 0], [0], np.ones(1, np.float32))),
            ("all rows are of one class", lambda: metrics.knn_accuracy(rows, one_class, rows, labels)),
            ("no test rows", lambda: metrics.knn_accuracy(rows, labels, rows[:0], [])),
            (r"test_labels of shape \(49,\)", lambda: metrics.knn_accuracy(rows, labels, rows, labels[1:])),
            (r"train_labels\[0\] is 0.5, no integer", lambda: metrics.knn_accuracy(rows, labels + 0.5, rows, labels)),
            ("k is 0", lambda: metrics.knn_accuracy(rows, labels, rows, labels, k=0)),
            ("a learning rate", lambda: metrics.linear_probe(rows, labels, rows, labels, rates=[-1.0])),
            (r"\(49, 6\) has 49 rows", lambda: metrics.alignment(rows, rows[1:])),
            ("row 17, column 3", lambda: metrics.uniformity(nan)),
            ("t is -1", lambda: metrics.uniformity(rows, t=-1)),
            ("at least two rows", lambda: metrics.uniformity(rows[:1])),
            ("there are no rows", lambda: metrics.spectrum(rows[:0])),
            ("all singular values are zero", lambda: metrics.effective_rank(np.zeros_like(rows))),
            ("at least two seeds", lambda: metrics.paired([1.0], [2.0])),
        ]:
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                call()

    def test_the_number_of_threads_must_be_one(self):
        import os

        before = os.environ.get("LOOKALIKE_NUM_THREADS")
        try:
            for text in ("0", "many", "-1"):
                os.environ["LOOKALIKE_NUM_THREADS"] = text
                with self.assertRaisesRegex(ValueError, "LOOKALIKE_NUM_THREADS"):
                    lookalike.knn_graph(clustered(50), 5)
            graphs = []
            for text in ("1", "3"):
                os.environ["LOOKALIKE_NUM_THREADS"] = text
                graphs.append(lookalike.knn_graph(clustered(500), 5))
            self.assertEqual(*graphs)
        finally:
            os.environ.pop("LOOKALIKE_NUM_THREADS")
            if before is not None:
                os.environ["LOOKALIKE_NUM_THREADS"] = before


if __name__ == "__main__":
    unittest.main()
