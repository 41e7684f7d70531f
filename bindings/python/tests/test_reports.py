"""Reports: numbers by name, means instead of sums, and what long work shows meanwhile."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
import unittest
from unittest import mock

import lookalike
import numpy as np
from common import clustered
from lookalike import _progress, metrics


def planned():
    rows = clustered(300, clusters=6)
    graph = lookalike.knn_graph(rows, 20)
    return rows, graph, lookalike.plan(graph, 16, seed=2)


def walked(**options) -> lookalike.LookalikeBatchSampler:
    return lookalike.LookalikeBatchSampler(
        300, batch_size=10, candidates=100, neighbors=10, coverage="cover", **options
    )


class Reports(unittest.TestCase):
    def test_a_plan_s_report_is_numbers_by_name_that_do_not_change(self):
        rows, graph, plan = planned()
        report = lookalike.plan_report(plan, rows, labels=np.arange(300) % 6, graph=graph)
        self.assertEqual((report.instances, report.batches, len(report.anchors.plan)), (300, 18, 40))
        self.assertEqual(sum(report.anchors.plan), 18 * 16)
        self.assertEqual(report.graph.statistics, graph.statistics())
        self.assertEqual(sum(report.graph.out_degrees), 300)
        with self.assertRaises(dataclasses.FrozenInstanceError):
            report.hardness.difference = 0.0
        with self.assertRaises((AttributeError, TypeError)):
            report.another = 1
        plain = json.loads(json.dumps(report.to_dict()))
        self.assertEqual(plain["hardness"]["difference"], report.hardness.difference)
        self.assertEqual(plain["graph"]["statistics"]["edges"], 6000)
        bare = lookalike.plan_report([[0, 1]], rows)
        self.assertEqual((bare.false_negatives, bare.graph, bare.restarts), (None, None, None))

    def test_hardness_of_a_tenth_is_the_mean_over_its_batches(self):
        rows = clustered(300)
        sampler = walked(embeddings=rows)
        batches = list(sampler)
        finished = sampler.report().finished
        unit = rows.astype(float) / np.linalg.norm(rows.astype(float), axis=1, keepdims=True)

        def mean(members):
            part = unit[members] @ unit[members].T
            return (part.sum() - len(members)) / (len(members) * (len(members) - 1))

        own = np.array([mean(batch) for batch in batches]) - mean(np.arange(300))
        expected = [own[[at * 10 // 30 == tenth for at in range(30)]].mean() for tenth in range(10)]
        np.testing.assert_allclose(finished.hardness_by_tenth, expected, atol=1e-6)
        self.assertAlmostEqual(finished.hardness, own.mean(), places=6)
        self.assertEqual((finished.epoch, finished.batches, finished.reach), (0, 30, 1.0))
        self.assertEqual(sum(tenth.starts + tenth.collected for tenth in finished.origins) > 0, True)

    def test_what_was_not_measured_is_none(self):
        report = walked().report()
        self.assertEqual((report.current.hardness, report.current.hardness_by_tenth), (None, (None,) * 10))
        self.assertEqual((report.finished, report.staleness, report.graph, report.hardness), (None,) * 4)
        self.assertEqual((report.builds, report.build_seconds), (0, 0.0))
        json.dumps(report.to_dict())

    def test_every_score_has_names(self):
        rows, _, plan = planned()
        labels = np.arange(300) % 6
        for score in [
            metrics.hardness(plan, rows),
            metrics.false_negative_rate(plan, labels),
            metrics.knn_accuracy(rows, labels, rows, labels),
            metrics.linear_probe(rows, labels, rows, labels, epochs=1),
            metrics.uniformity(rows),
            metrics.collapse(rows),
            metrics.paired([1.0, 2.0], [2.0, 2.5]),
        ]:
            self.assertEqual(list(score.to_dict()), [field.name for field in dataclasses.fields(score)])
            json.dumps(score.to_dict())

    def test_what_one_wants_to_know_is_printed(self):
        rows, graph, plan = planned()
        similarity, popular = graph.statistics().mean_similarity, graph.statistics().in_degree[-1]
        self.assertEqual(
            repr(graph),
            f"Graph(instances=300, edges=6000: 20.0 neighbors each, of mean similarity {similarity:.3f}, the most popular with {popular})",
        )
        empty = lookalike.Graph.from_arrays([0, 0], [], np.empty(0, np.float32))
        self.assertEqual(repr(empty), "Graph(instances=2, edges=0)")
        report = lookalike.plan_report(plan, rows, labels=np.where(np.arange(300) < 100, -1, np.arange(300) % 6))
        self.assertEqual(
            repr(report).splitlines(),
            [
                "PlanReport(18 batches of 300 instances, 96.0% of which came,",
                f"  hardness {report.hardness.difference:.3f} above uniform ({report.hardness.similarity:.3f} against {report.hardness.uniform:.3f}),",
                f"  false negatives {report.false_negatives.rate:.3f} (uniform {report.false_negatives.uniform:.3f}), 100 instances without a label left out)",
            ],
        )
        sampler = walked(embeddings=rows)
        start = "LookalikeBatchSampler(n=300, batch_size=10, kind='walk', "
        self.assertEqual(repr(sampler), start + "batch 0 of 30 in epoch 0, 0 graphs built)")
        batches = iter(sampler)
        next(batches), next(batches)
        hardness = sampler.report().hardness
        self.assertGreater(hardness, 0.1)
        self.assertEqual(
            repr(sampler), f"{start}batch 2 of 30 in epoch 0, 1 graph built, hardness {hardness:.3f} above uniform)"
        )
        self.assertIn("1 graph built in", repr(sampler.report()))

    def test_without_matplotlib_a_plot_says_what_to_install(self):
        rows, _, plan = planned()
        with mock.patch.dict(sys.modules, {"matplotlib": None}):
            for report in (lookalike.plan_report(plan, rows), walked().report()):
                with self.assertRaisesRegex(ImportError, "pip install matplotlib"):
                    report.plot()


class Shown(unittest.TestCase):
    def test_without_tqdm_the_log_says_how_far_work_has_come(self):
        with (
            mock.patch.dict(sys.modules, {"tqdm": None, "tqdm.auto": None}),
            mock.patch.object(_progress, "LOG_EVERY", 0.0),
            self.assertLogs("lookalike", logging.INFO) as log,
        ):
            shown = _progress.begin("graph", 200)
            shown.update(50)
            shown.update(300)
            shown.close()
        self.assertEqual(
            log.output,
            [f"INFO:lookalike:graph: {text}" for text in ("50 of 200, 25 %", "200 of 200, 100 %", "ended")],
        )

    def test_nothing_is_shown_where_that_is_asked_for_and_of_short_work(self):
        with mock.patch.dict(os.environ, {"LOOKALIKE_PROGRESS": "0"}):
            self.assertIsInstance(_progress.begin("graph", 200), _progress.Nothing)
        with mock.patch.object(_progress, "begin", side_effect=AssertionError("short work was shown")):
            lookalike.knn_graph(clustered(3000), 5)

    def test_long_work_is_shown_from_its_second_second_on(self):
        shown = mock.Mock()
        rows = np.random.default_rng(0).standard_normal((40_000, 256)).astype(np.float32)
        threads = mock.patch.dict(os.environ, {"LOOKALIKE_NUM_THREADS": "1"})
        with threads, mock.patch.object(_progress, "begin", return_value=shown) as begin:
            lookalike.knn_graph(rows, 5)
        begin.assert_called_once_with("graph of the nearest", 40_000)
        done = [call.args[0] for call in shown.update.call_args_list]
        self.assertTrue(done and done == sorted(done) and 0 < done[-1] <= 40_000, done)
        shown.close.assert_called_once_with()

    def test_an_interrupt_from_what_is_shown_ends_the_work(self):
        shown = mock.Mock()
        shown.update.side_effect = KeyboardInterrupt
        rows = np.random.default_rng(0).standard_normal((200_000, 256)).astype(np.float32)
        with mock.patch.object(_progress, "begin", return_value=shown), self.assertRaises(KeyboardInterrupt):
            lookalike.knn_graph(rows, 5)
        shown.close.assert_called_once_with()


if __name__ == "__main__":
    unittest.main()
