"""Segmentation with torchvision: pieces that are learned from, what is said at the pictures' own size, and the command."""

from __future__ import annotations

import json
import unittest

import numpy as np
import shapes
import torch
from lookalike.transfer import _masks, _segmenter, _weights
from test_transfer_detect import CPU, Scratch, ran


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Pieces(Scratch):
    def test_pieces_have_one_size_and_classes_where_the_picture_is(self):
        image = np.full((30, 50, 3), 51, np.uint8)
        classes = np.ones((30, 50), np.uint8)
        classes[:, 25:] = 2
        seen = set()
        for seed in range(20):
            pixels, truth = _segmenter.piece(image, classes, 40, generator(seed))
            self.assertEqual((pixels.shape, truth.shape, truth.dtype), ((3, 40, 40), (40, 40), torch.int64))
            outside = torch.isnan(pixels)
            self.assertTrue(torch.equal(outside.any(0), truth == _masks.IGNORED))
            torch.testing.assert_close(pixels[~outside], torch.full((int((~outside).sum()),), 0.2))
            seen |= set(truth.unique().tolist())
        self.assertEqual(seen, {1, 2, _masks.IGNORED})

    def test_colours_and_classes_move_together(self):
        _, squares = shapes.pictures(4, 0)[2]
        pixels = shapes.pictures(4, 0)[2][0]
        classes = np.zeros((48, 64), np.uint8)
        for name, x, y in squares:
            classes[y : y + 20, x : x + 20] = 1 + shapes.CHANNEL[name]
        for seed in range(8):
            image, truth = _segmenter.piece(pixels, classes, 48, generator(seed))
            for number in (1, 2):
                if bool((truth == number).any()):
                    self.assertGreater(float(image[number - 1][truth == number].mean()), 0.7)

    def test_a_batch_without_classes_has_a_loss_of_nothing(self):
        network = _segmenter.segmenter(_weights.random("resnet18", None, None), 3, freeze=False, seed=0).train()

        class Unknown:
            def image(self, at):
                return np.zeros((48, 64, 3), np.uint8)

            def classes(self, at):
                return np.full((48, 64), _masks.IGNORED, np.uint8)

        loss = _segmenter.losses_of(network, Unknown(), 32, CPU)([0, 1], generator())["cross entropy"]
        loss.backward()
        self.assertEqual(float(loss.detach()), 0.0)
        self.assertEqual(float(network.head[0].weight.grad.abs().max()), 0.0)

    def test_what_is_said_has_the_picture_s_size(self):
        network = _segmenter.segmenter(_weights.random("resnet18", None, None), 3, freeze=False, seed=0)
        said = _segmenter.predict(network, np.zeros((37, 51, 3), np.uint8), 32, CPU)
        self.assertEqual((said.shape, said.dtype), ((37, 51), np.uint8))


class Command(Scratch):
    def test_two_runs_say_the_same(self):
        data = shapes.masks(self.folder / "data")
        arguments = ("segment", "random", data, "--masks", "seg", "--classes", "none,red,green", "--epochs", 1)
        arguments += ("--batch-size", 2, "--size", 32, "--seeds", 1)
        status, text, error = ran(*arguments, "--out", self.folder / "a.json")
        self.assertEqual(status, 0, error)
        self.assertIn("pixels: IoU of classes", text)
        found = [json.loads((self.folder / "a.json").read_text()), json.loads(ran(*arguments, "--json")[1])]
        for one in found:
            one["runs"][0].pop("seconds")
        self.assertEqual(found[0], found[1])
        scores = found[0]["runs"][0]["scores"]["pixels"]
        self.assertEqual(list(scores["IoU of classes"]), ["none", "red", "green"])
        known = [value for value in scores["IoU of classes"].values() if value is not None]
        self.assertAlmostEqual(scores["mIoU"], sum(known) / len(known), delta=1e-12)

    def test_classes_without_a_pixel_are_said(self):
        data = shapes.masks(self.folder / "data")
        status, out, error = ran(
            "segment", "random", data, "--masks", "seg", "--classes", "none,red,green,blue", "--epochs", 1,
            "--batch-size", 4, "--size", 32, "--seeds", 1, "--freeze", "--bf16", "--beside", "none", "--json",
        )  # fmt: skip
        self.assertEqual(status, 0, error)
        found = json.loads(out)
        self.assertIsNone(found["runs"][0]["scores"]["pixels"]["IoU of classes"]["blue"])
        for note in (
            "train: classes without a pixel cannot be learned: blue",
            "val: classes without a pixel are no part of the mean",
            "batch norm is frozen",
        ):
            self.assertTrue(any(note in told for told in found["notes"]), note)


if __name__ == "__main__":
    unittest.main()
