"""Hard negatives beside what NumPy makes of their definition."""

from __future__ import annotations

import unittest

import lookalike
import numpy as np


def unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def vectors(seed: int, *counts: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((count, 8)).astype(np.float32) for count in counts]


class Mining(unittest.TestCase):
    def test_negatives_are_the_nearest_documents_that_do_not_answer(self):
        queries, documents = vectors(0, 40, 90)
        relevant = np.stack([np.arange(60) % 30, np.arange(60)], axis=1)
        mined = lookalike.mine(queries, documents, relevant, negatives=4, range_min=2)
        order = np.argsort(-(unit(queries) @ unit(documents).T), axis=1)
        self.assertEqual(mined.queries.tolist(), np.repeat(np.arange(30), 2).tolist())
        self.assertEqual(mined.positives.tolist(), [at + 30 * second for at in range(30) for second in (0, 1)])
        for query, negatives in zip(mined.queries, mined.negatives):
            expected = [document for document in order[query] if document not in (query, query + 30)]
            self.assertEqual(negatives.tolist(), expected[2:6])
        cosines = unit(queries)[mined.queries][:, None] * unit(documents)[mined.negatives]
        np.testing.assert_allclose(mined.similarities, cosines.sum(axis=2), atol=1e-6)
        own = (unit(queries)[mined.queries] * unit(documents)[mined.positives]).sum(axis=1)
        np.testing.assert_allclose(mined.positive_similarities, own, atol=1e-6)

    def test_a_margin_is_kept_and_what_is_missing_is_marked(self):
        queries, noise = vectors(1, 50, 50)
        documents = (queries + 0.8 * noise).astype(np.float16)
        mined = lookalike.mine(queries, documents, relative_margin=0.3, range_max=5)
        self.assertEqual(mined.queries.tolist(), list(range(50)))
        there = mined.negatives >= 0
        self.assertTrue(0 < there.mean() < 1)
        np.testing.assert_array_equal(there, ~np.isnan(mined.similarities))
        limit = np.repeat(0.7 * mined.positive_similarities[:, None], 3, axis=1)
        self.assertTrue((mined.similarities[there] <= limit[there]).all())
        self.assertGreater(mined.left_out["relative_margin"], 0)

    def test_equal_rows_are_one(self):
        queries, documents = vectors(3, 5, 20)
        queries[4], documents[7] = queries[1], documents[2]
        mined = lookalike.mine(queries, documents, [(1, 2), (4, 9)], negatives=17)
        self.assertEqual((mined.queries.tolist(), mined.positives.tolist()), ([1, 1], [2, 9]))
        self.assertEqual(sorted(mined.negatives[0]), sorted(set(range(20)) - {2, 7, 9}))

    def test_random_negatives_hang_on_the_seed(self):
        queries, documents = vectors(4, 30, 30)
        draw = [lookalike.mine(queries, documents, strategy="random", range_max=20, seed=seed) for seed in (0, 0, 1)]
        np.testing.assert_array_equal(draw[0].negatives, draw[1].negatives)
        self.assertTrue((draw[0].negatives != draw[2].negatives).any())

    def test_what_does_not_fit_is_refused_and_named(self):
        queries, documents = vectors(5, 6, 7)
        nan = documents.copy()
        nan[3, 2] = np.nan
        pairs = [(0, 0)]
        for message, call in [
            (r"\(6, 8\) and documents of shape \(7, 8\) differ in rows", lambda: lookalike.mine(queries, documents)),
            ("are no pairs", lambda: lookalike.mine(queries, documents, [0, 1])),
            ("are no pairs", lambda: lookalike.mine(queries, documents, [(0.5, 1)])),
            ("pair 0: document 7 is not below 7", lambda: lookalike.mine(queries, documents, [(0, 7)])),
            ("below 0", lambda: lookalike.mine(queries, documents, [(0, -1)])),
            ("queries have 7 dimensions", lambda: lookalike.mine(queries[:, :7], documents, pairs)),
            ("documents 3: column 2", lambda: lookalike.mine(queries, nan, pairs)),
            ("negatives = 0", lambda: lookalike.mine(queries, documents, pairs, negatives=0)),
            ("range_max is 3", lambda: lookalike.mine(queries, documents, pairs, range_min=1, range_max=3)),
            ("min_score is 0.5", lambda: lookalike.mine(queries, documents, pairs, min_score=0.5, max_score=0.1)),
            ("absolute_margin = nan", lambda: lookalike.mine(queries, documents, pairs, absolute_margin=np.nan)),
            ("strategy = 'hard'", lambda: lookalike.mine(queries, documents, pairs, strategy="hard")),
            ("no pair", lambda: lookalike.mine(queries, documents, np.empty((0, 2), int))),
        ]:
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                call()


if __name__ == "__main__":
    unittest.main()
