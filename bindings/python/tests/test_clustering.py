"""Scores of clusters beside figures of scikit-learn 1.9.1, and k-means on blobs and on what cannot be clustered."""

from __future__ import annotations

import os
import unittest
from unittest import mock

import lookalike
import numpy as np
from common import clustered
from lookalike import metrics

LABELS = [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
CLUSTERS = [5, 5, 7, 7, 7, 7, 9, 9, 1, 5]


class Scores(unittest.TestCase):
    def test_they_are_those_of_scikit_learn(self):
        found = metrics.clustering_scores(LABELS, CLUSTERS)
        # normalized_mutual_info_score, with average_method="geometric" too, adjusted_rand_score, fowlkes_mallows_score.
        expected = (0.5682410329229681, 0.5700964618148684, 0.28, 0.45643546458763845)
        scores = (found.nmi, found.nmi_geometric, found.ari, found.fowlkes_mallows)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)
        self.assertEqual((found.accuracy, found.classes, found.clusters, found.instances), (0.7, 3, 4, 10))
        self.assertEqual(found.to_dict()["accuracy"], 0.7)

    def test_arrays_of_any_kind_and_ids_of_any_size_score_the_same(self):
        expected = metrics.clustering_scores(LABELS, CLUSTERS)
        self.assertEqual(metrics.clustering_scores(np.array(LABELS, float), np.array(CLUSTERS, np.uint8)), expected)
        self.assertEqual(metrics.clustering_scores(np.array(LABELS) + 2**40, np.array(CLUSTERS) * 10**12), expected)

    def test_instances_without_a_label_are_left_out(self):
        labels = np.array([*LABELS, -1, np.nan])
        found = metrics.clustering_scores(labels, [*CLUSTERS, 0, 5])
        self.assertEqual(found, metrics.clustering_scores(LABELS, CLUSTERS))

    def test_all_in_one_cluster_scores_nothing_but_the_largest_class(self):
        found = metrics.clustering_scores(LABELS, [3] * 10)
        self.assertEqual((found.nmi, found.ari, found.accuracy), (0.0, 0.0, 0.4))

    def test_what_cannot_be_scored_is_named(self):
        for labels, clusters, message in [
            (LABELS, CLUSTERS[1:], "clusters of shape .9,. has 9 entries; expected 10"),
            ([-1, -1], [0, 1], "no instance has a label"),
            ([0, 1], [0, -1], r"clusters\[1\] is missing or -1"),
            ([0.5, 1], [0, 1], r"labels\[0\] is 0.5, no integer"),
            (np.zeros((2, 2), int), [0, 1], "labels of shape"),
        ]:
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                metrics.clustering_scores(labels, clusters)


class Kmeans(unittest.TestCase):
    def test_it_finds_blobs_and_its_inertia_is_the_sum_of_squares(self):
        rows = clustered(400, clusters=5)
        found = lookalike.kmeans(rows, 5, restarts=4, seed=1)
        self.assertEqual((found.labels.dtype, found.centers.shape, found.centers.dtype), (np.int64, (5, 6), np.float32))
        distances = ((rows[:, None].astype(float) - found.centers[None]) ** 2).sum(-1)
        np.testing.assert_array_equal(found.labels, distances.argmin(1))
        self.assertAlmostEqual(found.inertia, distances.min(1).sum(), places=4)
        self.assertGreater(metrics.clustering_scores(np.arange(400) % 5, found.labels).ari, 0.9)

    def test_it_depends_on_the_seed_alone(self):
        rows = clustered(300, clusters=9, d=4)
        found = lookalike.kmeans(rows, 20, restarts=2)
        with mock.patch.dict(os.environ, {"LOOKALIKE_NUM_THREADS": "1"}):
            again = lookalike.kmeans(rows.astype(np.float16).astype(np.float32), 20, restarts=2)
            alone = lookalike.kmeans(rows, 20, restarts=2)
        self.assertEqual((found.inertia, found.labels.tolist()), (alone.inertia, alone.labels.tolist()))
        self.assertNotEqual(found.inertia, again.inertia)
        self.assertNotEqual(found.labels.tolist(), lookalike.kmeans(rows, 20, restarts=2, seed=1).labels.tolist())

    def test_one_cluster_has_the_mean_as_its_centre(self):
        rows = clustered(50)
        found = lookalike.kmeans(rows, 1)
        np.testing.assert_allclose(found.centers[0], rows.mean(0), atol=1e-6)
        self.assertEqual(set(found.labels.tolist()), {0})

    def test_what_cannot_be_clustered_is_named(self):
        rows = clustered(10)
        broken = rows.copy()
        broken[3, 2] = np.nan
        for points, clusters, options, message in [
            (rows, 11, {}, "11 clusters need as many instances, but there are 10"),
            (rows, 0, {}, "clusters = 0 is out of range"),
            (rows, 2.5, {}, "clusters = 2.5 is no integer"),
            (rows, 2, {"restarts": 0}, "restarts = 0 is out of range"),
            (rows, 2, {"iterations": 0}, "iterations = 0 is out of range"),
            (rows, 2, {"tolerance": -1.0}, "the tolerance is -1; it must be 0 or a number above it"),
            (rows, 2, {"tolerance": float("nan")}, "tolerance = nan is out of range"),
            (broken, 2, {}, "row 3"),
            (rows[0], 2, {}, "points of shape"),
        ]:
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                lookalike.kmeans(points, clusters, **options)
        with self.assertRaises(TypeError):
            lookalike.kmeans(rows)


if __name__ == "__main__":
    unittest.main()
