"""Mean IoU by hand."""

from __future__ import annotations

import unittest

import numpy as np
from lookalike import metrics


class Segmentation(unittest.TestCase):
    def test_one_table_over_all_images_and_not_a_mean_of_theirs(self):
        truth = [np.array([[0, 0], [0, 1]]), np.array([1, 1, 1, 255], np.uint8)]
        said = [np.array([[0, 0], [1, 1]]), np.array([0, 1, 1, 0], np.uint8)]
        found = metrics.segmentation_scores(truth, said, 2)
        # Class 0: 2 of 3 + 1, class 1: 3 of 4 + 1; the ignored pixel is neither true nor predicted.
        np.testing.assert_allclose(found.iou, (2 / 4, 3 / 5), rtol=0, atol=1e-15)
        self.assertAlmostEqual(found.mean_iou, 0.55, delta=1e-15)
        self.assertEqual((found.accuracy, found.pixels), (5 / 7, 7))

    def test_a_class_that_is_not_there_is_no_part_of_the_mean_even_where_it_is_predicted(self):
        found = metrics.segmentation_scores([[0, 0, 2, 2]], [[0, 1, 2, 2]], 4)
        self.assertEqual(found.iou, (0.5, None, 1.0, None))
        self.assertEqual(found.mean_iou, 0.75)

    def test_what_cannot_be_scored_is_named(self):
        for truth, said, classes, message in [
            ([[0, 1]], [[0]], 2, r"truth\[0\] has the shape \(2,\) and predicted\[0\] \(1,\)"),
            ([[0]], [], 2, "1 images in truth and 0 in predicted"),
            ([[0], [0, 3]], [[0], [0, 1]], 2, "image 1: label 3 of pixel 1 is not below the number of classes, 2"),
            ([[0, 1]], [[0, 2]], 2, "image 0: label 2 of prediction 1"),
            ([[0, 256]], [[0, 1]], 2, r"truth\[0\] holds numbers from 0 to 256"),
            ([[0.5]], [[0]], 2, "float64 holds no integers"),
            ([[255]], [[0]], 2, "mean IoU is undefined: no pixel has a class"),
            ([], [], 2, "no pixel has a class"),
            ([[0]], [[0]], 0, "the number of classes is 0; it must be from 1 to 255"),
            ([[0]], [[0]], 256, "the number of classes is 256"),
        ]:
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                metrics.segmentation_scores(truth, said, classes)


if __name__ == "__main__":
    unittest.main()
