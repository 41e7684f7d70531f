"""Pages of anybody's batches and data sets, and maps."""

import csv
import tempfile
import unittest
from pathlib import Path

import lookalike
import numpy as np


def clusters(count=120, kinds=3, width=8, seed=0):
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(kinds, width))
    labels = np.arange(count) % kinds
    return (centres[labels] + 0.2 * draw.normal(size=(count, width))).astype(np.float32), labels


class Pages(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_a_page_of_a_plan_shows_its_batches_and_is_the_same_again(self):
        rows, labels = clusters()
        images = np.random.default_rng(1).integers(0, 256, (len(rows), 12, 10, 3), dtype=np.uint8)
        graph = lookalike.knn_graph(rows, 5)
        plan = lookalike.plan(graph, 10, seed=1)
        page = lookalike.report(
            plan,
            rows,
            out=self.folder / "a.html",
            images=images,
            labels=labels,
            classes=["a", "<b>", "c"],
            title="</title>",
        )
        text = page.read_text()
        for section in ["geometry", "contrast", "neighbors", "map"]:
            self.assertIn(f'<section id="{section}"', text)
        self.assertIn("data:image/jpeg", text)
        self.assertNotIn("<bdi><b>", text)
        self.assertNotIn("https://", text)
        again = lookalike.report(
            plan,
            rows,
            out=self.folder / "b.html",
            images=images,
            labels=labels,
            classes=["a", "<b>", "c"],
            title="</title>",
        )
        self.assertEqual(again.read_text(), text)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["a.html", "b.html"])

    def test_planted_findings_are_found_and_written(self):
        rows, labels = clusters(200)
        rows[7] = rows[11]
        wrong = labels.copy()
        wrong[30] = (labels[30] + 1) % 3
        found = lookalike.inspect(
            rows,
            out=self.folder / "found",
            labels=wrong,
            classes=["a", "b", "c"],
            texts=[f"text {row}" for row in range(7)]
            + ["same"]
            + [f"text {row}" for row in range(8, 11)]
            + ["same"]
            + [f"text {row}" for row in range(12, 200)],
        )
        of = {}
        for finding in found.findings:
            of.setdefault(finding.issue, []).append(finding)
        self.assertEqual({finding.row for finding in of["exact-duplicate"]}, {7, 11})
        self.assertEqual({finding.other for finding in of["exact-duplicate"]}, {7, 11})
        (error,) = [finding for finding in of["label-error"] if finding.row == 30]
        self.assertEqual(error.suggested_label, labels[30])
        self.assertEqual((found.groups[7], found.groups[11], found.groups[0]), (7, 7, -1))
        np.testing.assert_array_equal(np.load(self.folder / "found" / "groups.npy"), found.groups)
        with found.table.open() as table:
            self.assertEqual(len(list(csv.DictReader(table))), len(found.findings))
        self.assertIn("2 exact-duplicate", repr(found))
        self.assertIn("text 30", found.page.read_text())

    def test_a_map_keeps_clusters_and_is_the_same_for_a_seed(self):
        rows, labels = clusters(300)
        places = lookalike.layout(rows, seed=4)
        self.assertEqual((places.shape, places.dtype), ((300, 2), np.float32))
        np.testing.assert_array_equal(places, lookalike.layout(rows, seed=4))
        distance = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(300)
        self.assertGreater(np.mean(labels[distance.argmin(1)] == labels), 0.97)

    def test_what_does_not_fit_is_named(self):
        rows, labels = clusters(20)
        images = np.zeros((20, 4, 4, 3), np.uint8)
        out = self.folder / "page.html"
        plan = [[0, 1], [2, 3]]
        for wrong, problem in [
            ({"images": images[:3]}, "expected 20, one an instance"),
            ({"images": images.astype(np.float32)}, "expected uint8"),
            ({"images": images, "texts": ["a"] * 20}, "one or the other"),
            ({"texts": ["a"]}, "texts are 1; expected 20"),
            ({"texts": "a" * 20}, "texts are 1; expected 20"),
            ({"labels": labels[:4]}, "expected 20"),
        ]:
            with self.subTest(problem), self.assertRaisesRegex(ValueError, problem):
                lookalike.report(plan, rows, out=out, **wrong)
        with self.assertRaisesRegex(ValueError, "none of the 20 instances"):
            lookalike.report([[0, 99]], rows, out=out)
        with self.assertRaisesRegex(ValueError, "neighbors = 0"):
            lookalike.inspect(rows, out=self.folder / "x", neighbors=0)
        with self.assertRaisesRegex(ValueError, "neighbors"):
            lookalike.layout(rows, neighbors=20)
        with self.assertRaisesRegex(ValueError, "one embedding|two are needed|1 embeddings"):
            lookalike.inspect(rows[:1], out=self.folder / "x")
        self.assertFalse(out.exists())


if __name__ == "__main__":
    unittest.main()
