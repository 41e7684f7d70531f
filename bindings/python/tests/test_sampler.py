"""The batch sampler as a training loop uses it."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import unittest
import warnings
from itertools import chain

import lookalike
import numpy as np
from common import Loader, clustered, crossed, query_document_pairs
from lookalike import LookalikeBatchSampler


def sampler(n: int = 120, **options) -> LookalikeBatchSampler:
    defaults = {"batch_size": 12, "candidates": 40, "neighbors": 6, "refresh_every": 5, "seed": 1}
    return LookalikeBatchSampler(n, **{**defaults, **options})


class Epochs(unittest.TestCase):
    def test_an_epoch_has_as_many_batches_as_its_length_says_and_covers(self):
        batches = sampler(n=125, coverage="cover")
        Loader(batches, 0).train(10)
        for _ in range(3):
            epoch = list(batches)
            self.assertEqual((len(epoch), len(batches)), (10, 10))
            self.assertTrue(all(type(index) is int for batch in epoch for index in batch))
            members = list(chain(*epoch))
            self.assertEqual((len(members), len(set(members))), (120, 120))

    def test_the_last_batch_can_be_kept(self):
        batches = sampler(n=125, last_batch="keep", coverage="cover")
        self.assertEqual(sorted(chain(*batches)), list(range(125)))
        self.assertEqual((len(batches), batches.drop_last), (11, False))

    def test_a_drawn_order_has_the_batches_that_were_planned(self):
        rows = np.random.default_rng(0).normal(size=(120, 8)).astype(np.float32)
        planned, drawn = (
            list(sampler(embeddings=rows, refresh_every=100, batch_order=order)) for order in ("planned", "shuffled")
        )
        self.assertNotEqual(planned, drawn)
        self.assertEqual(sorted(planned), sorted(drawn))
        with self.assertRaisesRegex(ValueError, "random"):
            sampler(batch_order="random")

    def test_each_iteration_is_the_next_epoch_even_after_one_that_was_left(self):
        batches = sampler(kind="uniform")
        first = list(batches)
        second = [batch for _, batch in zip(range(4), batches)]
        third = list(batches)
        self.assertEqual((batches.epoch, batches.position, batches.steps), (2, 10, 24))
        again = sampler(kind="uniform")
        for epoch, expected in [(2, third), (1, second), (0, first)]:
            again.set_epoch(epoch)
            self.assertEqual(list(again)[: len(expected)], expected)

    def test_an_older_iteration_may_not_go_on(self):
        batches = sampler()
        old = iter(batches)
        next(old)
        next(iter(batches))
        with self.assertRaisesRegex(RuntimeError, "only the newest"):
            next(old)

    def test_batches_are_the_same_for_the_same_seed_and_others_for_another(self):
        def run(**options):
            return Loader(sampler(**options), 2).train(30)

        self.assertEqual(run(), run())
        self.assertNotEqual(run(), run(seed=2))

    def test_members_of_walked_batches_look_alike(self):
        known = clustered(600, clusters=10, d=16)
        for kind in ("walk", "nearest"):
            batches = sampler(n=600, kind=kind, embeddings=known, candidates=300)
            difference = lookalike.metrics.hardness(list(batches), known).difference
            self.assertGreater(difference, 0.1, kind)
        uniform = sampler(n=600, kind="uniform")
        self.assertLess(abs(lookalike.metrics.hardness(list(uniform), known).difference), 0.05)

    def test_the_graph_is_rebuilt_after_as_many_batches_as_asked_for(self):
        batches = sampler()
        self.assertIsNone(batches.graph)
        self.assertIsNone(batches.embeddings)
        Loader(batches, 0).train(11)
        first = batches.graph
        Loader(batches, 0).train(5)
        self.assertNotEqual(batches.graph, first)
        self.assertEqual(batches.report().builds, 2)
        lengths = np.linalg.norm(batches.embeddings, axis=1)
        np.testing.assert_allclose(lengths, 1, atol=1e-6)

    def test_embeddings_known_before_make_the_first_epoch_one_of_look_alikes(self):
        self.assertEqual(sampler().report().builds, 0)
        known = sampler(embeddings=clustered(120))
        next(iter(known))
        self.assertEqual(known.report().builds, 1)

    def test_groups_never_meet(self):
        groups = np.arange(120) // 3
        for coverage in ("cover", "repeat"):
            batches = sampler(groups=groups, coverage=coverage, embeddings=clustered(120))
            for batch in batches:
                self.assertEqual(len(set(groups[batch])), 12)

    def test_other_options_reach_the_engine(self):
        known, labels = clustered(120), np.arange(120) % 5
        plain = list(sampler(embeddings=known))
        for options in [
            {"temperature": 0.05},
            {"uniform_fraction": 0.5},
            {"similarity_ceiling": 0.5},
            {"edge_percentile": 50.0},
            {"restart": 0.9},
            {"restart": (0.9, 0.1, 3)},
            {"oracle": labels},
            {"oracle": labels, "avoid": "members"},
            {"coverage": "repeat"},
        ]:
            self.assertNotEqual(list(sampler(embeddings=known, **options)), plain, options)
        graph = sampler(embeddings=known, similarity_ceiling=0.5)
        next(iter(graph))
        self.assertLessEqual(graph.graph.arrays()[2].max(), 0.5)

    def test_lowered_candidates_are_warned_of(self):
        with self.assertWarnsRegex(UserWarning, "lowered from 1000 to 119"):
            sampler(candidates=1000)

    def test_too_few_embeddings_are_warned_of_and_batches_stay_uniform(self):
        batches = sampler(uniform_epochs=0)
        with self.assertWarnsRegex(UserWarning, "too few embeddings for a graph at step 0"):
            next(iter(batches))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.assertEqual(len(list(batches)), 10)

    def test_replicas_share_batches(self):
        known = clustered(130)
        whole = sampler(n=130, embeddings=known, coverage="cover", refresh_every=100)
        ranks = [
            sampler(n=130, embeddings=known, coverage="cover", refresh_every=100, rank=r, num_replicas=3)
            for r in range(3)
        ]
        epochs = [list(rank) for rank in ranks]
        self.assertEqual([len(epoch) for epoch in epochs], [3, 3, 3])
        self.assertEqual(len(set(chain(*chain(*epochs)))), 9 * 12)
        self.assertEqual(len(whole), 10)
        lookalike.check_agreement([rank.agreement() for rank in ranks])
        ranks[2].update([1], np.ones((1, 6), np.float32))
        list(ranks[2])
        with self.assertRaisesRegex(ValueError, "rank 2 differs from rank 0"):
            lookalike.check_agreement([rank.agreement() for rank in ranks])

    def test_a_replica_in_another_epoch_is_found(self):
        ranks = [sampler(rank=r, num_replicas=3) for r in range(3)]
        ranks[1].set_epoch(5)
        for rank in ranks:
            next(iter(rank))
        with self.assertRaisesRegex(ValueError, "rank 1 differs from rank 0 in the epoch"):
            lookalike.check_agreement([rank.agreement() for rank in ranks])

    def test_replicas_share_the_members_of_large_batches(self):
        known, groups = clustered(120), np.arange(120) // 3
        ranks = [sampler(embeddings=known, groups=groups, rank=r, num_replicas=2, split="within") for r in range(2)]
        for parts in zip(*ranks):
            self.assertEqual([len(part) for part in parts], [12, 12])
            self.assertEqual(len(set(groups[list(chain(*parts))])), 24, "groups hold over the gathered batch")


class Pairs(unittest.TestCase):
    def test_two_arrays_are_one_with_both_side_by_side(self):
        queries, documents = query_document_pairs(120)
        for pairs in ("mean", "cross"):
            options = {"pairs": pairs, "coverage": "cover", "similarity_to_positive": 0.95}
            two = sampler(embeddings=(queries, documents), **options)
            one = sampler(embeddings=np.concatenate([queries, documents], axis=1), **options)
            self.assertEqual(list(two), list(one))
            self.assertEqual(two.embeddings.shape, (120, 16))
            for half in np.split(two.embeddings, 2, axis=1):
                np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, atol=1e-6)
            some = np.array([3, 1])
            two.update(some, (documents[some].astype(np.float16), queries[some].astype(np.float16)))
            self.assertFalse(np.allclose(two.embeddings[some], one.embeddings[some]))
            self.assertEqual(two.state_dict()["arrays"]["embeddings"].shape, (120, 16))

    def test_graphs_of_pairs_hold_the_most_similar_by_either_rule(self):
        queries, documents = query_document_pairs(120)
        similarity = crossed(queries, documents)
        halves = [half / np.linalg.norm(half, axis=1, keepdims=True) for half in (queries, documents)]
        mean = sum(halves) / 2
        mean /= np.linalg.norm(mean, axis=1, keepdims=True)
        for pairs, expected in [("cross", np.maximum(similarity, similarity.T)), ("mean", mean @ mean.T)]:
            np.fill_diagonal(expected, -2)
            best = -np.sort(-expected, axis=1)[:, :6]
            everybody = lookalike.proximity_graph((queries, documents), candidates=119, neighbors=6, pairs=pairs)
            for graph in (lookalike.knn_graph((queries, documents), 6, pairs=pairs), everybody):
                found = graph.arrays()[2].reshape(120, 6)
                np.testing.assert_allclose(found, best, atol=1e-6, err_msg=pairs)

    def test_no_edge_leads_to_whose_document_answers_as_well(self):
        queries, documents = query_document_pairs(120)
        similarity = crossed(queries, documents)
        limit = 0.9 * np.diag(similarity)
        allowed = (similarity <= limit[:, None] + 1e-6) & (similarity.T <= limit + 1e-6)
        batches = sampler(embeddings=(queries, documents), pairs="cross", similarity_to_positive=0.9)
        next(iter(batches))
        plain = sampler(embeddings=(queries, documents), pairs="cross")
        next(iter(plain))
        self.assertLess(batches.graph.edges, plain.graph.edges)
        degrees, neighbors, _ = batches.graph.arrays()
        self.assertTrue(allowed[np.repeat(np.arange(120), degrees), neighbors].all())
        self.assertEqual(plain.graph.below_positive((queries, documents), 0.9), batches.graph)

    def test_batches_of_pairs_are_as_hard_as_queries_are_similar_to_the_documents_of_others(self):
        queries, documents = query_document_pairs(120)
        similarity = crossed(queries, documents)
        batches = sampler(embeddings=(queries, documents), pairs="mean", coverage="cover")
        plan = list(batches)

        def mean(members):
            part = similarity[np.ix_(members, members)]
            return (part.sum() - np.trace(part)) / (len(members) * (len(members) - 1))

        expected = np.mean([mean(batch) for batch in plan])
        for found in [
            lookalike.metrics.hardness(plan, (queries, documents)),
            lookalike.plan_report(plan, (queries, documents)).hardness,
        ]:
            self.assertAlmostEqual(found.similarity, expected, places=6)
            self.assertAlmostEqual(found.uniform, mean(np.arange(120)), places=6)
            self.assertGreater(found.difference, 0.1)
        recorded = batches.report().finished.hardness
        self.assertAlmostEqual(recorded, expected - mean(np.arange(120)), places=5)

    def test_uniform_batches_take_pairs_as_the_others_do(self):
        queries, documents = query_document_pairs(120)
        batches = sampler(kind="uniform", embeddings=(queries, documents), pairs="mean")
        self.assertEqual(list(batches), list(sampler(kind="uniform")))
        with self.assertRaisesRegex(ValueError, "similarity_to_positive does not go with kind"):
            sampler(kind="uniform", pairs="mean", similarity_to_positive=0.95)

    def test_what_is_no_pair_is_refused_by_name(self):
        queries, documents = query_document_pairs(120)
        for message, work in [
            ("15 columns", lambda: sampler(pairs="mean", embeddings=np.ones((120, 15), np.float32))),
            ("give pairs", lambda: sampler(embeddings=(queries, documents))),
            ("give pairs", lambda: sampler().update([1, 2], (queries[:2], documents[:2]))),
            ("give pairs", lambda: lookalike.knn_graph((queries, documents), 3)),
            (r"documents of shape \(120, 7\)", lambda: sampler(pairs="mean", embeddings=(queries, documents[:, 1:]))),
            (
                "queries of shape .* has 119 rows",
                lambda: sampler(pairs="mean", embeddings=(queries[1:], documents[1:])),
            ),
            ("expected `mean` or `cross`", lambda: sampler(pairs="both")),
            ("does not go with rows of one embedding", lambda: sampler(similarity_to_positive=0.95)),
            ("similarity_to_positive = 1.5", lambda: sampler(pairs="mean", similarity_to_positive=1.5)),
            ("share = 0", lambda: lookalike.knn_graph(queries, 3).below_positive((queries, documents), 0)),
        ]:
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                work()


class States(unittest.TestCase):
    def test_a_loaded_state_goes_on_as_if_nothing_had_happened(self):
        for kind in ("walk", "nearest", "uniform"):
            for prefetch in (0, 3):
                for stop in (0, 3, 9, 10, 12, 17, 20, 29):
                    with self.subTest(kind=kind, prefetch=prefetch, stop=stop):
                        whole = Loader(sampler(kind=kind, coverage="cover"), prefetch)
                        expected = whole.train(stop + 25)
                        stopped = Loader(sampler(kind=kind, coverage="cover"), prefetch)
                        stopped.train(stop)
                        # A loader that has just ended an epoch says so by its count.
                        consumed = stopped.sampler.position - len(stopped.queue)
                        state = pickle.loads(pickle.dumps(stopped.sampler.state_dict(consumed=consumed)))
                        resumed = Loader(sampler(kind=kind, coverage="cover"), prefetch)
                        resumed.sampler.load_state_dict(state)
                        resumed.step = stop
                        self.assertEqual(resumed.train(25), expected[stop:])
                        self.assertEqual(resumed.sampler.agreement(), whole.sampler.agreement())

    def test_without_consumed_the_state_is_that_of_the_batches_handed_out(self):
        batches = sampler()
        iterator = iter(batches)
        handed = [next(iterator) for _ in range(4)]
        rest = list(copy.deepcopy(batches))
        self.assertEqual(rest, list(iterator))
        self.assertEqual(len(handed) + len(rest), 10)

    def test_position_goes_on_where_the_state_was_and_set_epoch_of_the_same_epoch_changes_nothing(self):
        batches = sampler()
        first = [batch for _, batch in zip(range(6), batches)]
        other = sampler()
        other.load_state_dict(batches.state_dict(consumed=4))
        self.assertEqual((other.epoch, other.position, other.first_batch), (0, 4, 4))
        other.set_epoch(0)
        iterator = iter(other)
        self.assertEqual([next(iterator), next(iterator)], first[4:6])
        self.assertEqual(other.first_batch, 0)
        self.assertEqual(other.position, 6)
        again = other.state_dict(consumed=5)
        self.assertEqual(list(again["pending"]), first[5])
        with self.assertRaisesRegex(ValueError, "consumed = 3 .* from batch 4 on; it counts from the beginning"):
            other.state_dict(consumed=3)
        with self.assertRaisesRegex(ValueError, "consumed = 7 .* up to 6"):
            other.state_dict(consumed=7)

    def test_another_epoch_can_be_asked_for_after_loading(self):
        batches = sampler(kind="uniform")
        whole = [list(batches), list(batches)]
        other, again = sampler(kind="uniform"), sampler(kind="uniform")
        next(iter(other))
        again.load_state_dict(other.state_dict(consumed=0))
        again.set_epoch(1)
        self.assertEqual(list(again), whole[1])
        again.set_epoch(0)
        self.assertEqual(pickle.loads(pickle.dumps(again)).__iter__().__next__(), whole[0][0])

    def test_a_sampler_can_be_pickled_at_any_time(self):
        groups = np.arange(120) // 2
        with self.assertWarns(UserWarning):
            original = sampler(groups=groups, candidates=500, oracle=np.arange(120) % 7)
        loader = Loader(original, 0)
        loader.train(13)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            copied = pickle.loads(pickle.dumps(original))
        self.assertEqual(repr(copied), repr(original))
        self.assertEqual((copied.batch_size, copied.rank, copied.drop_last), (12, 0, True))
        follower = Loader(copied, 0)
        follower.step = loader.step
        self.assertEqual(follower.train(20), loader.train(20))

    def test_a_state_of_something_else_is_refused_and_nothing_changes(self):
        batches = sampler(groups=np.arange(120) // 2)
        Loader(batches, 0).train(13)
        state = batches.state_dict()
        for options, message in [
            ({"n": 121, "groups": None}, "instances = 120, not 121"),
            ({"seed": 2}, "seed = 1, not 2"),
            ({"batch_size": 11}, "batch_size = 12, not 11"),
            ({"groups": None}, "groups"),
            ({"num_replicas": 2}, "ranks"),
        ]:
            other = sampler(**{"groups": np.arange(120) // 2, **options})
            with self.assertRaisesRegex(ValueError, message):
                other.load_state_dict(state)
            self.assertEqual((other.steps, other.position), (0, 0))
        broken = [
            {},
            None,
            {**state, "version": 2},
            {**state, "state": "{"},
            {**state, "arrays": {}},
            {**state, "arrays": {**state["arrays"], "used": np.array(["x"])}},
            {**state, "epoch": -1},
            {**state, "epoch": 0},
            {**state, "consumed": 2},
            {**state, "pending": np.array([500]), "pending_sizes": np.array([1])},
            {**state, "pending_sizes": np.array([3])},
            {**state, "consumed": 9, "pending": np.arange(24), "pending_sizes": np.array([12, 12])},
        ]
        for damaged in broken:
            with self.assertRaises(ValueError):
                batches.load_state_dict(damaged)
        self.assertEqual((batches.steps, batches.position), (13, 3))

    def test_pending_batches_of_another_replica_are_refused_and_none_are_anyones(self):
        ranks = [sampler(num_replicas=2, rank=rank) for rank in range(2)]
        for _ in zip(range(3), ranks[0]):
            pass
        with self.assertRaisesRegex(ValueError, "2 pending batches are those of rank 0; this is rank 1"):
            ranks[1].load_state_dict(ranks[0].state_dict(consumed=1))
        ranks[1].load_state_dict(ranks[0].state_dict(consumed=3))
        self.assertEqual(ranks[1].position, 3)


class Updates(unittest.TestCase):
    def test_halves_and_other_layouts_are_taken(self):
        rows = np.random.default_rng(0).standard_normal((120, 6)).astype(np.float32)
        expected = sampler(embeddings=rows).embeddings
        for same in [
            np.asfortranarray(rows),
            np.repeat(rows, 2, axis=1)[:, ::2],
            rows.astype(rows.dtype.newbyteorder()),
            FakeTensor(rows),
        ]:
            np.testing.assert_array_equal(sampler(embeddings=same).embeddings, expected)
        halves = rows.astype(np.float16)
        np.testing.assert_array_equal(
            sampler(embeddings=halves).embeddings, sampler(embeddings=halves.astype(np.float32)).embeddings
        )
        wide = FakeTensor(rows, dtype="torch.bfloat16")
        np.testing.assert_array_equal(sampler(embeddings=wide).embeddings, expected)

    def test_the_last_embedding_of_an_instance_that_comes_twice_stays(self):
        batches = sampler()
        batches.update([3, 3], np.array([[1, 0], [0, 2]], np.float32))
        np.testing.assert_array_equal(batches.embeddings[3], [0, 1])

    def test_what_does_not_fit_is_refused_with_its_shape_and_nothing_is_taken(self):
        batches = sampler(embeddings=clustered(120))
        before = batches.embeddings
        row = np.ones((2, 6), np.float32)
        nan, infinite = row.copy(), row.copy()
        nan[1, 2], infinite[0, 5] = np.nan, np.inf
        for indices, rows, message in [
            ([1, 2, 3], row, r"\(2, 6\) do not fit indices of shape \(3,\)"),
            ([1, 2], row[0], r"embeddings of shape \(6,\) is no matrix"),
            ([1, 2], row[:, :0], r"embeddings of shape \(2, 0\) is no matrix"),
            ([1, 2], row[:, :5], "5 columns, those recorded before have 6"),
            ([1, 2], row.astype(np.int32), r"\(2, 6\) is int32"),
            ([1, 2], [["a", "b"], ["c", "d"]], "is <U1; expected numbers of floating point"),
            ([1, 2], [[1.0], [1.0, 2.0]], r"embeddings\[1\] has 2 columns, and embeddings\[0\] has 1"),
            ([7, 9], nan, r"instance 9 is not finite \(column 2\)"),
            ([7, 9], infinite, r"instance 7 is not finite \(column 5\)"),
            ([1, 120], row, r"indices\[1\] is 120, which is none of the 120 instances"),
            ([1, -1], row, r"indices\[1\] is -1"),
            ([1, 2**40], row, r"indices\[1\] is 1099511627776"),
            ([[1, 2]], row, r"indices of shape \(1, 2\)"),
            ([0.5, 1.5], row, "no vector of integers"),
            ([True, False], row, "no vector of integers"),
            ([1, 2], FakeTensor(row, device="cuda:0"), r"\(2, 6\) is on cuda:0; bring it to the CPU"),
        ]:
            with self.assertRaisesRegex(ValueError, message):
                batches.update(indices, rows)
        np.testing.assert_array_equal(batches.embeddings, before)

    def test_nothing_can_be_taken_too(self):
        batches = sampler()
        batches.update([], np.empty((0, 6), np.float32))
        self.assertIsNone(batches.embeddings)

    def test_rows_of_zeros_are_similar_to_nobody(self):
        rows = clustered(120)
        rows[::3] = 0
        batches = sampler(embeddings=rows, coverage="cover")
        self.assertEqual(len(set(chain(*batches))), 120)
        self.assertTrue(np.isfinite(batches.graph.arrays()[2]).all())


class BadOptions(unittest.TestCase):
    def test_options_out_of_range_are_refused_by_name(self):
        for options, message in [
            ({"n": 1}, "1 instances cannot be sampled"),
            ({"n": -1}, "n = -1"),
            ({"n": 1.5}, "n = 1.5 is no integer"),
            ({"n": 2**33}, "8589934592 instances"),
            ({"batch_size": 0}, "batch_size = 0"),
            ({"batch_size": 121}, "batch_size = 121"),
            ({"neighbors": 41}, "neighbors = 41"),
            ({"neighbors": 0}, "neighbors = 0"),
            ({"candidates": 0}, "candidates = 0"),
            ({"refresh_every": 0}, "refresh_every = 0"),
            ({"restart": 1.0}, "restart"),
            ({"restart": float("nan")}, "restart"),
            ({"restart": (0.1, 0.2)}, "restart"),
            ({"restart": "often"}, "restart"),
            ({"kind": "random"}, "unknown variant `random`"),
            ({"coverage": "all"}, "unknown variant `all`"),
            ({"last_batch": "pad"}, "unknown variant `pad`"),
            ({"scoring": "int8"}, "unknown variant `int8`"),
            ({"split": "half"}, 'split = "half"'),
            ({"oracle": np.arange(120), "avoid": "all"}, 'avoid = "all"'),
            ({"temperature": 0.0}, "temperature = 0"),
            ({"temperature": 0.1, "kind": "nearest"}, "temperature does not go with"),
            ({"uniform_fraction": 1.5}, "uniform_fraction = 1.5"),
            ({"similarity_ceiling": 2.0}, "similarity_ceiling = 2"),
            ({"pair_percentile": 0.0}, "pair_percentile = 0"),
            ({"similarity_ceiling": 0.5, "edge_percentile": 50.0}, "does not go with edge_percentile"),
            ({"hardness_share": 1.5}, "hardness_share = 1.5 is out of range"),
            ({"hardness_share": (0.2, 0.5)}, "hardness_share = .* is neither a number nor"),
            (
                {"hardness_share": 0.5, "candidates": 100, "neighbors": None},
                "candidates does not go with hardness_share",
            ),
            ({"budget": 0.0}, "budget = 0"),
            ({"groups": "twins"}, "neither 'near-duplicates' nor"),
            ({"groups": "near-duplicates"}, "needs embeddings that are known"),
            ({"seed": -1}, "seed = -1"),
            ({"seed": 2**64}, "seed = "),
            ({"rank": 1}, "no rank 1 among 1"),
            ({"num_replicas": 0}, "num_replicas = 0"),
            ({"num_replicas": 11}, "do not give each of 11 ranks a batch"),
            ({"num_replicas": 2, "last_batch": "keep"}, "does not go with several ranks"),
            ({"groups": np.arange(119)}, r"groups of shape \(119,\) has 119 entries; expected 120"),
            ({"groups": np.zeros(120, int)}, "there are only 1 groups"),
            ({"groups": np.full(120, 0.5)}, r"groups\[0\] is 0.5, no integer"),
            ({"groups": np.arange(120) - 3}, r"groups\[0\] is -3; identifiers must be at least 0"),
            ({"groups": np.minimum(np.arange(120), 100), "coverage": "cover"}, "group 100 has 20 members"),
            ({"oracle": np.arange(100)}, r"oracle of shape \(100,\)"),
            ({"embeddings": np.ones((100, 3), np.float32)}, r"\(100, 3\) has 100 rows; expected 120"),
        ]:
            with self.subTest(options=list(options)), self.assertRaisesRegex(ValueError, message):
                sampler(**options)


class FakeTensor:
    """What a tensor of PyTorch shows of itself."""

    def __init__(self, values: np.ndarray, device: str = "cpu", dtype: str = "torch.float32") -> None:
        self.values, self.dtype, self.shape = values, dtype, values.shape
        self.device = type("Device", (), {"type": device.split(":")[0], "__str__": lambda _: device})()

    def detach(self) -> FakeTensor:
        return self

    def float(self) -> FakeTensor:
        return FakeTensor(self.values)

    def numpy(self) -> np.ndarray:
        if self.dtype == "torch.bfloat16":
            raise TypeError("NumPy has no such type")
        return self.values


class Imports(unittest.TestCase):
    def test_no_framework_is_imported(self):
        code = (
            "import sys, lookalike, lookalike.sentence_transformers as st\n"
            "st.batch_sampler(neighbors=5)\n"
            "assert not {'torch', 'sentence_transformers', 'lightning'} & set(sys.modules), sys.modules.keys()"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


if __name__ == "__main__":
    unittest.main()
