"""Embeddings and labels from PyTorch, Arrow, pandas, polars, datasets and ml_dtypes; bars of tqdm and plots of matplotlib."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
import tempfile
import unittest
import warnings
from contextlib import redirect_stderr
from pathlib import Path
from unittest import mock

import datasets
import lookalike
import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import safetensors.torch
import torch
from lookalike import _progress, metrics


def there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


class Columns(unittest.TestCase):
    def setUp(self):
        rng = np.random.default_rng(0)
        # Of few bits, so that every type holds them exactly.
        self.rows = (rng.integers(-64, 65, (120, 6)) / 64).astype(np.float32)
        self.graph = lookalike.knn_graph(self.rows, 5)

    def same(self, value, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            self.assertEqual(lookalike.knn_graph(value, 5, **options), self.graph)

    def test_tensors_of_every_type(self):
        tensor = torch.from_numpy(self.rows)
        for same in [
            tensor,
            tensor.double(),
            tensor.half(),
            tensor.bfloat16(),
            tensor.clone().requires_grad_(),
            tensor.t().contiguous().t().bfloat16(),
            list(tensor),
            [tensor[:50], tensor[50:]],
        ]:
            self.same(same)
        pair = (tensor.bfloat16(), self.rows)
        sides = np.concatenate([self.rows, self.rows], axis=1)
        self.assertEqual(lookalike.knn_graph(pair, 5, pairs="mean"), lookalike.knn_graph(sides, 5, pairs="mean"))
        sampler = lookalike.LookalikeBatchSampler(120, batch_size=10, candidates=50, neighbors=5)
        sampler.update(range(120), tensor.bfloat16())
        expected = self.rows / np.linalg.norm(self.rows, axis=1, keepdims=True)
        np.testing.assert_allclose(sampler.embeddings, expected, atol=1e-6)
        with self.assertRaisesRegex(ValueError, "is on meta; bring it to the CPU"):
            lookalike.knn_graph(tensor.bfloat16().to("meta"), 5)

    def test_columns_of_arrow(self):
        fixed = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(self.rows.reshape(-1)), 6)
        lists = pyarrow.array(self.rows.tolist())
        halves = pyarrow.array(list(self.rows.astype(np.float16)))
        tensors = pyarrow.FixedShapeTensorArray.from_numpy_ndarray(self.rows)
        for same in [
            fixed,
            lists,
            halves,
            tensors,
            pyarrow.array(self.rows.tolist(), pyarrow.large_list(pyarrow.float32())),
        ]:
            self.same(same)
            self.same(pyarrow.chunked_array([same[:7], same[7:7], same[7:]]))
        table = pyarrow.table({"text": ["a"] * 120, "embedding": fixed})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "e.parquet"
            pyarrow.parquet.write_table(table, path, row_group_size=50)
            self.same(pyarrow.parquet.read_table(path)["embedding"])
            with self.assertRaisesRegex(ValueError, "it is a Parquet file; read its column of vectors"):
                lookalike.knn_graph(path, 5)
        for value, said in [
            (table, r"is a table with the columns \['text', 'embedding'\]; give one of them"),
            (table["text"], "is a column of string; expected lists of numbers"),
            (pyarrow.array([[1.0], None, [2.0]]), r"embeddings\[1\] is null"),
            (
                pyarrow.chunked_array([[[1.0]], [[2.0], [3.0, 4.0]]]),
                r"embeddings\[2\] has 2 columns, and embeddings\[1\] has 1",
            ),
            (
                pyarrow.chunked_array([[[1.0]], [[3.0, 4.0]]]),
                r"embeddings\[1\] has 2 columns, and embeddings\[0\] has 1",
            ),
            (pyarrow.array([[[1.0]], [[2.0]]]), "not of lists"),
            (pyarrow.array([[1.0, None], [2.0, 3.0]]), r"instance 0 is not finite \(column 1\)"),
            (pyarrow.array([[1], [2]]), "int64; expected numbers of floating point"),
            (pyarrow.array([], pyarrow.list_(pyarrow.float32())), "without rows"),
        ]:
            with self.subTest(said), self.assertRaisesRegex(ValueError, said):
                lookalike.knn_graph(value, 1)

    def test_columns_of_datasets(self):
        features = datasets.Features(
            {"embedding": datasets.List(datasets.Value("float32")), "text": datasets.Value("string")}
        )
        data = datasets.Dataset.from_dict({"embedding": self.rows.tolist(), "text": ["a"] * 120}, features=features)
        self.same(data["embedding"])
        order = np.random.default_rng(1).permutation(120)
        shuffled = lookalike.knn_graph(data.select(order)["embedding"], 5)
        self.assertEqual(shuffled, lookalike.knn_graph(self.rows[order], 5))
        self.same(data.with_format("torch")["embedding"])
        self.same(data.with_format("numpy")["embedding"])

    def test_columns_of_pandas(self):
        frame = pandas.DataFrame({"embedding": list(self.rows), "list": self.rows.tolist()}, index=range(500, 620))
        self.same(frame["embedding"])
        self.same(frame["list"])
        self.same(pandas.DataFrame(self.rows))
        self.same(frame["embedding"].to_numpy())
        pair = (frame["embedding"], frame["list"])
        sides = np.concatenate([self.rows, self.rows], axis=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            self.assertEqual(lookalike.knn_graph(pair, 5, pairs="mean"), lookalike.knn_graph(sides, 5, pairs="mean"))
        frame.loc[507, "embedding"] = None
        with self.assertRaisesRegex(ValueError, r"embeddings\[7\] is None"):
            lookalike.knn_graph(frame["embedding"], 5)

    @unittest.skipUnless(there("polars"), "polars is not installed")
    def test_columns_of_polars(self):
        import polars

        self.same(polars.Series(self.rows))
        self.same(polars.Series(self.rows.tolist()))
        self.same(polars.DataFrame(self.rows))

    @unittest.skipUnless(there("ml_dtypes"), "ml_dtypes is not installed")
    def test_numbers_of_ml_dtypes(self):
        import ml_dtypes

        self.same(self.rows.astype(ml_dtypes.bfloat16))
        eighths = (np.round(self.rows * 8) / 8).astype(ml_dtypes.float8_e4m3fn)
        self.assertEqual(lookalike.knn_graph(eighths, 5), lookalike.knn_graph(eighths.astype(np.float32), 5))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "e.npy"
            np.save(path, self.rows.astype(ml_dtypes.bfloat16))
            with self.assertRaisesRegex(ValueError, "2 bytes and no type, as numpy.save leaves bfloat16"):
                lookalike.knn_graph(path, 5)

    def test_files_that_pytorch_wrote(self):
        tensor = torch.from_numpy(self.rows)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "e.safetensors"
            for kind in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
                safetensors.torch.save_file({"rows": tensor.to(kind), "other": tensor[:3].clone()}, path)
                self.same(f"{path}:rows")
            for legacy in (False, True):
                path = Path(folder) / "e.pt"
                torch.save(tensor, path, _use_new_zipfile_serialization=not legacy)
                with self.assertRaisesRegex(ValueError, "it is a file of PyTorch; load it with torch.load"):
                    lookalike.knn_graph(path, 5)

    def test_labels_with_gaps(self):
        plan = [list(range(20)), list(range(20, 40))]
        labels = [None if at % 4 == 0 else at % 3 for at in range(120)]
        codes = [-1 if label is None else label for label in labels]
        expected = metrics.false_negative_rate(plan, codes)
        self.assertEqual(expected.unlabelled, 30)
        floats = pandas.Series(labels, dtype=float)
        for same in [
            pandas.Series(labels, dtype="Int64"),
            floats,
            torch.tensor(codes),
            torch.tensor(floats.to_numpy()),
            pyarrow.array(labels),
            pyarrow.chunked_array([labels[:50], labels[50:]]),
            datasets.Dataset.from_dict({"label": labels})["label"],
            pandas.Categorical(labels).codes,
        ]:
            self.assertEqual(metrics.false_negative_rate(plan, same), expected, type(same))


class Shown(unittest.TestCase):
    def test_a_bar_of_tqdm_counts_to_the_end(self):
        text = io.StringIO()
        with redirect_stderr(text):
            bar = _progress.begin("graph", 200)
            bar.update(50)
            bar.update(250)
            bar.close()
        self.assertIsInstance(bar, _progress.Bar)
        self.assertIn("graph", text.getvalue())
        self.assertEqual(bar._bar.n, 200)

    def test_long_work_shows_a_bar_and_short_work_none(self):
        for rows, seen in [(40_000, True), (1_000, False)]:
            text, given = io.StringIO(), np.random.default_rng(0).standard_normal((rows, 256)).astype(np.float32)
            with redirect_stderr(text), mock.patch.dict(os.environ, {"LOOKALIKE_NUM_THREADS": "1"}):
                lookalike.knn_graph(given, 5)
            self.assertEqual("graph of the nearest" in text.getvalue(), seen, text.getvalue())


@unittest.skipUnless(there("matplotlib"), "matplotlib is not installed")
class Plots(unittest.TestCase):
    def setUp(self):
        import matplotlib

        matplotlib.use("Agg")
        self.rows = np.random.default_rng(0).standard_normal((300, 6)).astype(np.float32)

    def test_a_plan_s_plot_has_both_histograms_and_false_negatives_in_its_title(self):
        from matplotlib import pyplot

        plan = lookalike.plan(lookalike.knn_graph(self.rows, 20), 20)
        report = lookalike.plan_report(plan, self.rows, labels=np.arange(300) % 5)
        axes = report.plot()
        heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
        self.assertEqual(heights, [list(report.anchors.uniform), list(report.anchors.plan)])
        self.assertEqual(axes.get_title(), f"{report.hardness}\n{report.false_negatives}")
        own = pyplot.subplots()[1]
        self.assertIs(report.plot(own), own)
        pyplot.close("all")

    def test_a_sampler_s_plot_is_hardness_by_tenth(self):
        from matplotlib import pyplot

        sampler = lookalike.LookalikeBatchSampler(
            300, batch_size=10, candidates=100, neighbors=10, coverage="cover", embeddings=self.rows
        )
        for _ in range(2):
            list(sampler)
        iterator = iter(sampler)
        next(iterator)
        report = sampler.report()
        axes = report.plot()
        drawn = axes.lines[0].get_ydata()
        np.testing.assert_array_equal(drawn, report.finished.hardness_by_tenth)
        self.assertEqual([line.get_label() for line in axes.lines[:2]], ["epoch 1", "epoch 2"])
        empty = lookalike.LookalikeBatchSampler(300, batch_size=10, kind="uniform").report().plot()
        self.assertEqual(empty.get_title(), "nothing was measured yet")
        pyplot.close("all")


if __name__ == "__main__":
    sys.exit(unittest.main())
