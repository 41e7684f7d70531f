"""Hard negatives beside those of sentence-transformers on the same vectors."""

from __future__ import annotations

import unittest

import lookalike
import numpy as np
import torch
from datasets import Dataset
from sentence_transformers.util import cos_sim, mine_hard_negatives, pairwise_cos_sim


class LookedUp:
    """A model that knows the vectors of some texts."""

    device = torch.device("cpu")
    similarity = staticmethod(cos_sim)
    similarity_pairwise = staticmethod(pairwise_cos_sim)

    def __init__(self, queries: np.ndarray, documents: np.ndarray) -> None:
        self.queries, self.documents = queries, documents

    def encode_query(self, texts, **_):
        return self.queries[[int(text) for text in texts]]

    def encode_document(self, texts, **_):
        return self.documents[[int(text) for text in texts]]


class Mining(unittest.TestCase):
    def test_negatives_are_those_of_sentence_transformers(self):
        rng = np.random.default_rng(0)
        queries = rng.standard_normal((200, 24)).astype(np.float32)
        documents = (np.concatenate([queries, queries[:100]]) + 0.7 * rng.standard_normal((300, 24))).astype(np.float32)
        pairs = [(at % 200, at) for at in range(300)]
        pairs.sort()
        dataset = Dataset.from_dict({"query": [str(q) for q, _ in pairs], "document": [str(d) for _, d in pairs]})
        corpus = [str(at) for at in range(300)]
        for options in [
            {},
            {"range_min": 3, "range_max": 20},
            {"relative_margin": 0.05},
            {"absolute_margin": 0.1, "max_score": 0.6, "range_min": 1},
        ]:
            found = mine_hard_negatives(
                dataset,
                LookedUp(queries, documents),
                corpus=corpus,
                num_negatives=4,
                output_format="labeled-list",
                verbose=False,
                **options,
            )
            mined = lookalike.mine(queries, documents, pairs, negatives=4, **options)
            ours = {
                (str(query), str(positive)): [str(document) for document in negatives if document >= 0]
                for query, positive, negatives in zip(mined.queries, mined.positives, mined.negatives)
            }
            theirs = {(query, all_[0]): all_[1:] for query, all_ in zip(found["query"], found["document"])}
            self.assertEqual({pair: negatives for pair, negatives in ours.items() if negatives}, theirs, options)


if __name__ == "__main__":
    unittest.main()
