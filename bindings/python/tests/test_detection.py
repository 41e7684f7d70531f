"""Average precision by PASCAL VOC's rules beside values by hand."""

from __future__ import annotations

import json
import unittest

import numpy as np
from lookalike import metrics

BOXES = [[1, 1, 10, 10], [21, 1, 30, 10]]


def scored(boxes, found, scores=None, **options):
    """Boxes and detections of one class in one image."""
    scores = np.linspace(1, 0, len(found)) if scores is None else scores
    zeros = np.zeros(len(boxes), int), np.zeros(len(found), int)
    return metrics.voc_average_precision(
        zeros[0], zeros[0], boxes, zeros[1], zeros[1], scores, found, images=1, **options
    )


class Voc(unittest.TestCase):
    def test_both_kinds_of_points_by_hand(self):
        # Right, wrong, right: precision 1 up to a recall of 1/2, then 2/3.
        found = scored(BOXES, [BOXES[0], BOXES[0], BOXES[1]])
        self.assertAlmostEqual(found.all_points.ap50, 0.5 + 0.5 * 2 / 3, delta=1e-15)
        self.assertAlmostEqual(found.eleven_points.ap50, (6 + 5 * 2 / 3) / 11, delta=1e-15)
        self.assertEqual(found.classes[0].all_points, found.all_points)
        self.assertEqual((found.classes[0].label, found.classes[0].boxes, found.classes[0].detections), (0, 2, 3))
        self.assertEqual(json.loads(json.dumps(found.to_dict()))["all_points"]["ap75"], found.all_points.ap75)

    def test_a_pixel_is_one_wide_and_the_threshold_itself_is_not_enough(self):
        self.assertEqual(scored(BOXES[:1], [[1, 1, 10, 20]]).all_points.ap, 0.0)
        found = scored(BOXES[:1], [[1, 1, 10, 15]])
        np.testing.assert_array_equal(found.all_points.thresholds, [1.0] * 4 + [0.0] * 6)

    def test_difficult_boxes_count_neither_way(self):
        found = scored(BOXES, BOXES, scores=[0.1, 0.9], difficult=[False, True])
        self.assertEqual((found.all_points.ap50, found.classes[0].boxes, found.classes[0].difficult), (1.0, 1, 1))

    def test_classes_without_boxes_have_no_score(self):
        found = metrics.voc_average_precision(
            [0], [7], BOXES[:1], np.array([0, 1], np.uint8), [7, 2], [0.5, 0.9], BOXES, images=2
        )
        self.assertEqual([(one.label, one.all_points is None) for one in found.classes], [(2, True), (7, False)])
        self.assertEqual(found.all_points.ap50, 1.0)
        self.assertEqual(scored(BOXES, []).eleven_points.ap, 0.0)

    def test_what_cannot_be_scored_is_named(self):
        one = {"truth_images": [0], "truth_classes": [0], "truth_boxes": [[1, 1, 2, 2]], "images": 1}
        one |= {"found_images": [0], "found_classes": [0], "found_scores": [0.5], "found_boxes": [[1.0, 1, 2, 2]]}
        self.assertEqual(metrics.voc_average_precision(**one).all_points.ap, 1.0)
        for change, message in [
            ({"found_boxes": [[1, np.nan, 2, 2]]}, r"detection 0: \[1.0, NaN, 2.0, 2.0\]"),
            ({"truth_boxes": [[3, 1, 2, 2]]}, "box 0: .* has a negative size"),
            ({"truth_boxes": [[3, 1, 2]]}, r"truth_boxes of shape \(1, 3\)"),
            ({"found_images": [1]}, "detection 0: image 1 is not there; there are 1"),
            ({"found_images": [-1]}, r"found_images\[0\] is -1"),
            ({"found_classes": [2**32]}, r"found_classes\[0\] is 4294967296"),
            ({"found_classes": [0, 0]}, "found_classes of shape .2,. has 2 entries; expected 1"),
            ({"found_scores": [np.nan]}, "its score is NaN"),
            ({"found_scores": [0.5, 0.5]}, "there are 2 scores, but 1 are needed"),
            ({"found_scores": 0.5}, "found_scores of shape .. is no vector"),
            ({"difficult": []}, "0 marks of difficult boxes"),
            ({"difficult": [True]}, "all are difficult"),
            ({"images": -1}, "images = -1 is out of range"),
        ]:
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                metrics.voc_average_precision(**{**one, **change})


if __name__ == "__main__":
    unittest.main()
