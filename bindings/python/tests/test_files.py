"""Embeddings from files and as other numbers than float32: the same results as from an array of float32."""

from __future__ import annotations

import json
import os
import struct
import tempfile
import unittest
import warnings
from pathlib import Path

import lookalike
import numpy as np
from common import clustered, query_document_pairs
from lookalike import _numpy, metrics


def write_tensors(path: Path, tensors: dict[str, tuple[str, np.ndarray]]) -> None:
    """A safetensors file: an object with types, shapes and offsets, its length before it, the data behind it."""
    header, data = {}, b""
    for name, (kind, array) in tensors.items():
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def bfloat16(rows: np.ndarray) -> np.ndarray:
    """The upper halves of float32."""
    return (rows.view(np.uint32) >> 16).astype(np.uint16)


class Place(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        # Of few bits, so that halves and doubles hold them exactly.
        self.rows = clustered(200).astype(np.float16).astype(np.float32)
        self.rows = (np.round(self.rows * 64) / 64).astype(np.float32)
        self.graph = lookalike.knn_graph(self.rows, 5)
        np.save(self.folder / "rows.npy", self.rows)

    def path(self, name: str) -> str:
        return str(self.folder / name)


class Files(Place):
    def test_everything_that_takes_an_array_takes_its_file(self):
        rows, file = self.rows, self.folder / "rows.npy"
        labels, plan = np.arange(200) % 5, lookalike.plan(self.graph, 20)
        for call in [
            lambda e: lookalike.knn_graph(e, 5),
            lambda e: lookalike.proximity_graph(e, candidates=50, neighbors=5),
            lambda e: lookalike.plan_report(plan, e, labels=labels),
            lambda e: [part.tolist() for part in lookalike.top_k(e, e, 3)],
            lambda e: [np.asarray(part).tolist() for part in lookalike.mine(e, e)[:5]],
            lambda e: lookalike.LookalikeBatchSampler(
                200, batch_size=20, candidates=50, neighbors=5, embeddings=e
            ).embeddings.tolist(),
            lambda e: metrics.hardness(plan, e),
            lambda e: metrics.knn_accuracy(e, labels, e, labels),
            lambda e: metrics.linear_probe(e, labels, e, labels, epochs=2),
            lambda e: metrics.alignment(e, rows[::-1]),
            lambda e: metrics.uniformity(e),
            lambda e: metrics.collapse(e),
            lambda e: metrics.rank_me(e),
            lambda e: metrics.spectrum(e).tolist(),
        ]:
            self.assertEqual(call(str(file)), call(rows))
            self.assertEqual(call(file), call(rows))

    def test_the_shards_of_a_folder_are_one_matrix_by_their_numbers(self):
        shards = self.folder / "shards"
        shards.mkdir()
        for number, part in [(9, self.rows[:70]), (10, self.rows[70:190]), (100, self.rows[190:])]:
            np.save(shards / f"part-{number}.npy", part)
        (shards / "README.md").write_text("three shards")
        self.assertEqual(lookalike.knn_graph(shards, 5), self.graph)
        names = [shards / f"part-{number}.npy" for number in (9, 10, 100)]
        self.assertEqual(lookalike.knn_graph(names, 5), self.graph)
        self.assertEqual(lookalike.knn_graph([self.rows[:70], self.rows[70:]], 5), self.graph)

    def test_a_tensor_and_an_array_of_an_archive_are_named_behind_a_colon(self):
        other = np.zeros((3, 2), np.float32)
        write_tensors(self.folder / "two.safetensors", {"rows": ("F32", self.rows), "other": ("F32", other)})
        write_tensors(self.folder / "one.safetensors", {"rows": ("F32", self.rows), "count": ("I64", np.arange(3))})
        np.savez(self.folder / "two.npz", rows=self.rows, other=other)
        np.savez_compressed(self.folder / "one.npz", self.rows)
        for name in ["two.safetensors:rows", "one.safetensors", "two.npz:rows", "one.npz", "one.npz:arr_0"]:
            self.assertEqual(lookalike.knn_graph(self.path(name), 5), self.graph, name)

    def test_numbers_of_every_size_are_taken_from_files_and_arrays(self):
        halves, doubles = self.rows.astype(np.float16), self.rows.astype(np.float64)
        np.save(self.folder / "halves.npy", halves)
        np.save(self.folder / "doubles.npy", doubles)
        write_tensors(self.folder / "halves.safetensors", {"rows": ("F16", halves)})
        write_tensors(self.folder / "doubles.safetensors", {"rows": ("F64", doubles)})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for same in [
                halves,
                doubles,
                doubles[:, ::-1][:, ::-1],
                self.rows.astype(np.longdouble),
                self.rows.tolist(),
            ]:
                self.assertEqual(lookalike.knn_graph(same, 5), self.graph)
            for name in ["halves.npy", "doubles.npy", "halves.safetensors", "doubles.safetensors"]:
                self.assertEqual(lookalike.knn_graph(self.path(name), 5), self.graph, name)
                self.assertEqual(
                    lookalike.top_k(self.path(name), self.rows, 1)[0].tolist(),
                    lookalike.top_k(self.rows, self.rows, 1)[0].tolist(),
                )
        rounded = bfloat16(self.rows)
        write_tensors(self.folder / "brain.safetensors", {"rows": ("BF16", rounded)})
        expected = lookalike.knn_graph((rounded.astype(np.uint32) << 16).view(np.float32), 5)
        self.assertEqual(lookalike.knn_graph(self.path("brain.safetensors"), 5), expected)

    def test_float64_is_told_once(self):
        _numpy._told.clear()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            lookalike.knn_graph(self.rows, 5)
            for _ in range(3):
                lookalike.knn_graph(self.rows.astype(np.float64), 5)
        self.assertEqual(
            [str(warning.message) for warning in told],
            ["embeddings of shape (200, 6) is float64: it is rounded to float32"],
        )
        self.assertEqual(told[0].filename, __file__)

    def test_mapped_arrays_and_pairs_give_what_arrays_give(self):
        for kind in (np.float32, np.float16):
            np.save(self.folder / "mapped.npy", self.rows.astype(kind))
            mapped = np.load(self.folder / "mapped.npy", mmap_mode="r")
            self.assertEqual(lookalike.knn_graph(mapped, 5), self.graph)
        queries, documents = query_document_pairs(150)
        for name, half in [("queries", queries), ("documents", documents)]:
            np.save(self.folder / f"{name}.npy", half)
        files = self.path("queries.npy"), self.folder / "documents.npy"
        for given in [files, (files[0], documents), np.concatenate([queries, documents], axis=1)]:
            self.assertEqual(
                lookalike.knn_graph(given, 5, pairs="mean"), lookalike.knn_graph((queries, documents), 5, pairs="mean")
            )
        plan = [[0, 1, 2], [3, 4]]
        self.assertEqual(metrics.hardness(plan, files), metrics.hardness(plan, (queries, documents)))
        sampler = lookalike.LookalikeBatchSampler(
            150, batch_size=10, candidates=20, neighbors=5, pairs="mean", embeddings=files
        )
        self.assertEqual(sampler.embeddings.shape, (150, 16))

    def test_what_a_file_is_instead_is_said_by_its_first_bytes(self):
        archive = self.path("a.npz")
        np.savez(archive, self.rows)
        renamed = self.path("renamed.npy")
        os.rename(archive, renamed)
        for name, start, said in [
            ("a.npy", b"PAR1", "it is a Parquet file; read its column of vectors with pyarrow.parquet.read_table"),
            ("a.parquet", b"PAR1", "a Parquet file"),
            ("a.arrow", b"ARROW1\0\0", "an Arrow file"),
            ("a.h5", b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
            ("a.npy.gz", b"\x1f\x8b\x08\0", "compressed by gzip"),
            ("a.pkl", b"\x80\x04\x95\0", "a pickle"),
            ("a.csv", b"0.1,0.2\n0.3,0.4\n", "it is text; read it with numpy.loadtxt"),
            ("a.jsonl", b'{"embedding": [0.1]}\n', "it is JSON"),
            ("a.safetensors", b"PAR1" * 100, "a Parquet file"),
            ("b.safetensors", Path(renamed).read_bytes(), "an .npz archive"),
        ]:
            (self.folder / name).write_bytes(start)
            with self.subTest(name), self.assertRaisesRegex(ValueError, said):
                lookalike.knn_graph(self.path(name), 5)
        with self.assertRaisesRegex(ValueError, "an .npz archive"):
            lookalike.knn_graph(renamed, 5)

    def test_files_that_are_no_matrix_are_refused_by_name(self):
        shards = self.folder / "shards"
        shards.mkdir()
        two = {"rows": ("F32", self.rows), "other": ("F32", self.rows[:3])}
        write_tensors(self.folder / "two.safetensors", two)
        np.savez(self.folder / "two.npz", rows=self.rows, other=self.rows)
        np.save(self.folder / "vector.npy", self.rows[0])
        np.save(self.folder / "integers.npy", np.arange(6).reshape(2, 3))
        whole = (self.folder / "rows.npy").read_bytes()
        (self.folder / "cut.npy").write_bytes(whole[:-5])
        (self.folder / "cut.npz").write_bytes((self.folder / "two.npz").read_bytes()[:-50])
        for name, said in [
            ("absent.npy", "embeddings: cannot read .*absent.npy: No such file"),
            ("shards", "shards: the folder holds no .npy and no .safetensors file"),
            ("two.safetensors", r"other \(F32 \[3, 6\]\), rows \(F32 \[200, 6\]\); name the one matrix that is meant"),
            ("two.safetensors:row", "no tensor 'row'; it holds other"),
            ("two.npz", r"it holds \['rows', 'other'\]; name the one matrix that is meant, as .*two.npz:rows"),
            ("two.npz:row", "it holds"),
            ("rows.npy:rows", "nothing in it is called 'rows'"),
            ("vector.npy", r"shape \[6\]"),
            ("integers.npy", "type '<i8'"),
            ("cut.npy", "cut.npy is torn"),
            ("cut.npz", "no archive that can be read"),
            ("", "cannot read"),
        ]:
            with self.subTest(name), self.assertRaisesRegex(ValueError, said):
                lookalike.knn_graph(self.path(name) if name else "", 5)
        np.save(shards / "1.npy", self.rows)
        np.save(shards / "2.npy", self.rows[:, :5])
        with self.assertRaisesRegex(ValueError, "2.npy: it has 5 columns, and .*1.npy has 6"):
            lookalike.knn_graph(shards, 5)
        np.save(shards / "2.npy", self.rows[:0])
        with self.assertRaisesRegex(ValueError, "2.npy: it has no rows"):
            lookalike.knn_graph(shards, 5)
        with self.assertRaisesRegex(ValueError, "has 200 rows; expected 100"):
            lookalike.LookalikeBatchSampler(
                100, batch_size=10, candidates=50, neighbors=5, embeddings=self.path("rows.npy")
            )
        nan = self.rows.copy()
        nan[17, 3] = np.nan
        np.save(self.folder / "nan.npy", nan)
        with self.assertRaisesRegex(ValueError, "instance 17 is not finite"):
            lookalike.knn_graph(self.path("nan.npy"), 5)

    def test_lists_and_arrays_that_are_no_matrix_are_refused_by_place(self):
        for value, said in [
            ([[1.0, 2.0], [3.0]], r"embeddings\[1\] has 1 columns, and embeddings\[0\] has 2"),
            ([np.ones(3), np.ones(3), np.ones(4)], r"embeddings\[2\] has 4 columns"),
            ([np.ones((2, 3)), np.ones((2, 4))], r"embeddings\[1\] has 4 columns"),
            ([np.ones((2, 3)), np.ones((0, 3))], r"embeddings\[1\] has no rows"),
            ([np.ones(3), np.ones((2, 3))], r"embeddings\[1\] has shape \(2, 3\)"),
            ([[1.0], None], r"embeddings\[1\] is None"),
            ([], r"embeddings of shape \(0,\) is no matrix"),
            (np.array([np.ones(3), None], dtype=object), r"embeddings\[1\] is None"),
            (np.ones((2, 3), complex), "complex128; expected numbers of floating point"),
            (np.broadcast_to(np.float32(1), (2**32, 1)), "fewer than 2\\^32"),
        ]:
            with self.subTest(said), self.assertRaisesRegex(ValueError, said):
                lookalike.knn_graph(value, 5)


class Unlabelled(unittest.TestCase):
    def setUp(self):
        self.rows, self.labels = clustered(300), np.arange(300) % 5
        self.some = np.where(np.arange(300) % 3 == 0, -1, self.labels)
        self.missing = np.where(self.some < 0, np.nan, self.some)
        self.as_list = [None if label < 0 else int(label) for label in self.some]

    def test_false_negatives_are_counted_among_those_with_a_label(self):
        plan = lookalike.plan(lookalike.knn_graph(self.rows, 20), 20)
        known = [[member for member in batch if self.some[member] >= 0] for batch in plan.batches]
        pairs = [(a, b) for batch in known for a in batch for b in batch if a != b]
        for labels in (self.some, self.missing, self.missing.astype(np.float32), self.as_list):
            found = metrics.false_negative_rate(plan, labels)
            self.assertAlmostEqual(found.rate, np.mean([self.labels[a] == self.labels[b] for a, b in pairs]))
            self.assertEqual((found.pairs, found.unlabelled), (len(pairs), 100))
            self.assertAlmostEqual(found.uniform, 39 / 199)
            self.assertEqual(lookalike.plan_report(plan, self.rows, labels=labels).false_negatives, found)
        with self.assertRaisesRegex(ValueError, "no batch has two members with a label"):
            metrics.false_negative_rate([[0, 3], [1, 6]], self.some)
        with self.assertRaisesRegex(ValueError, "one class"):
            metrics.false_negative_rate([[0, 3]], np.full(300, -1))

    def test_labels_and_groups_are_read_from_the_table_beside_embeddings(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        table, array = Path(folder.name) / "rows.csv", Path(folder.name) / "labels.npy"
        names = ["", *"abcde"]
        lines = [
            f'{row},"photos, {row}.png",{"" if label < 0 else label},{names[label + 1]}\r\n'
            for row, label in enumerate(self.some)
        ]
        # As spreadsheets write it, with a byte order mark.
        table.write_bytes(("\ufeffrow,name,label,class\r\n" + "".join(lines)).encode())
        np.save(array, self.some)
        plan = lookalike.plan(lookalike.knn_graph(self.rows, 20), 20)
        expected = metrics.false_negative_rate(plan, self.some)
        for labels in (table, str(table), f"{table}:label", f"{table}:class", array):
            self.assertEqual(metrics.false_negative_rate(plan, labels), expected, labels)
        grouped = lookalike.plan(lookalike.knn_graph(self.rows, 20), 5, groups=f"{table}:name")
        self.assertEqual(len(grouped.batches), 60)
        with self.assertRaisesRegex(
            ValueError, "labels: .*rows.csv has no column 'colour', but row, name, label, class"
        ):
            metrics.false_negative_rate(plan, f"{table}:colour")
        with self.assertRaises(FileNotFoundError):
            metrics.false_negative_rate(plan, table.with_name("none.csv"))

    def test_classifiers_leave_out_who_has_no_label(self):
        kept = self.some >= 0
        rows, labels = self.rows[kept], self.some[kept]
        found = metrics.knn_accuracy(self.rows, self.some, self.rows, self.missing, k=7)
        alone = metrics.knn_accuracy(rows, labels, rows, labels, k=7)
        self.assertEqual(found.accuracy, alone.accuracy)
        self.assertEqual((found.test_rows, found.unlabelled, alone.unlabelled), (200, 100, 0))
        predicted = metrics.knn_classify(self.rows, self.some, self.rows, k=7)
        np.testing.assert_array_equal(predicted, metrics.knn_classify(rows, labels, self.rows, k=7))
        self.assertGreaterEqual(predicted.min(), 0)
        probe = metrics.linear_probe(self.rows, self.as_list, self.rows, self.missing, epochs=3)
        self.assertEqual(probe, metrics.linear_probe(rows, labels, rows, labels, epochs=3))
        self.assertEqual((probe.labelled_rows, probe.test_rows), (200, 200))
        with self.assertRaisesRegex(ValueError, "no test rows with a label"):
            metrics.knn_accuracy(self.rows, self.some, self.rows, np.full(300, -1))

    def test_who_has_no_group_may_meet_anybody(self):
        graph = lookalike.knn_graph(self.rows, 20)
        groups = np.where(np.arange(300) < 150, -1, np.arange(300) // 2)
        for given in (groups, np.where(groups < 0, np.nan, groups)):
            plan = lookalike.plan(graph, 20, groups=given)
            for batch in plan.batches:
                known = groups[batch][groups[batch] >= 0]
                self.assertEqual(len(set(known)), len(known))
        nobody = lookalike.plan(graph, 20, groups=np.full(300, -1))
        distinct = lookalike.plan(graph, 20, groups=np.arange(300))
        np.testing.assert_array_equal(nobody.batches, distinct.batches)

    def test_an_oracle_avoids_nobody_who_has_no_label(self):
        graph, none = lookalike.knn_graph(self.rows, 20), np.full(300, -1)
        np.testing.assert_array_equal(
            lookalike.plan(graph, 20, labels=none).batches, lookalike.plan(graph, 20, labels=np.arange(300)).batches
        )
        options = {"batch_size": 20, "candidates": 100, "neighbors": 10, "embeddings": self.rows}
        for avoid in ("edges", "members"):
            found = lookalike.LookalikeBatchSampler(300, **options, oracle=none, avoid=avoid)
            distinct = lookalike.LookalikeBatchSampler(300, **options, oracle=np.arange(300), avoid=avoid)
            self.assertEqual(list(found), list(distinct), avoid)
        partly = lookalike.LookalikeBatchSampler(300, **options, oracle=self.some)
        next(iter(partly))
        degrees, neighbors, _ = partly.graph.arrays()
        own, other = self.some[np.repeat(np.arange(300), degrees)], self.some[neighbors]
        self.assertFalse(((own == other) & (own >= 0)).any())
        self.assertTrue(((own == other) & (own < 0)).any())

    def test_other_numbers_are_refused_by_place(self):
        plan = [[0, 1, 2]]
        for labels, said in [
            ([0, -2, 1], r"labels\[1\] is -2; identifiers must be at least 0, and -1 or NaN means none"),
            ([0, 1, 0.5], r"labels\[2\] is 0.5, no integer"),
            ([0, np.inf, 1], r"labels\[1\] is inf, no integer"),
            ([0, 1, 1e17], r"labels\[2\] is 1e\+17, no integer"),
            (["a", "b", "c"], "no vector of integers"),
            ([None, "a", 1], "no vector of integers"),
        ]:
            with self.subTest(said), self.assertRaisesRegex(ValueError, said):
                metrics.false_negative_rate(plan, labels)
        graph = lookalike.knn_graph(self.rows, 20)
        for option in ("groups", "labels"):
            with self.assertRaisesRegex(ValueError, rf"{option}\[7\] is -3"):
                lookalike.plan(graph, 20, **{option: np.where(np.arange(300) == 7, -3, np.arange(300))})


if __name__ == "__main__":
    unittest.main()
