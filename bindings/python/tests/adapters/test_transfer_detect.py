"""Detection with torchvision: training, scores beside published ones, and the command."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

import numpy as np
import shapes
import torch
from lookalike.transfer import (
    _coco,
    _command,
    _detection_data,
    _detection_scores,
    _detector,
    _rle,
    _training,
    _voc,
    _weights,
)
from lookalike.transfer._detection_data import DetectionSet, Instance, Picture
from lookalike.transfer._detection_scores import Found
from lookalike.transfer._errors import TransferError

CPU = torch.device("cpu")


def ran(*arguments):
    """Status, standard output and standard error of the command."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        status = _command.main([str(argument) for argument in arguments])
    return status, out.getvalue(), error.getvalue()


def perfect(data):
    """Ground truth as detections, the crowds left out."""
    found = []
    for picture in data.pictures:
        kept = [one for one in picture.instances if not one.crowd]
        boxes = np.array([one.box for one in kept], dtype=np.float64).reshape(-1, 4)
        labels = np.array([one.label for one in kept], dtype=np.int64)
        found.append(Found(boxes, labels, np.ones(len(kept)), [one.mask for one in kept]))
    return found


class Scratch(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)


class Training(Scratch):
    def losses(self, network, data, options, batch):
        return _detector.losses_of(network, data, options, CPU)(batch, torch.Generator().manual_seed(0))

    def test_batch_norm_and_all_stages_are_trained_unless_frozen(self):
        train, _ = _detection_data.read(shapes.voc(self.folder / "voc"), None, None, None)
        arm = _weights.random("resnet18", None, None)
        for freeze in (False, True):
            options = _detector.DetectorOptions(48, 8, (8, 16, 32, 64, 128), freeze, masks=False)
            network = _detector.detector(arm, 2, options, seed=0)
            before = {name: value.clone() for name, value in network.state_dict().items()}
            schedule = _training.Schedule(epochs=1, batch_size=4, rate=0.01, polynomial=False)
            _training.train(
                network, _detector.losses_of(network, train, options, CPU), 4, schedule, 0, "random", _training.Clock(4)
            )
            body = "backbone.body."
            stages = [
                body + name
                for name in ("conv1", "layer1.0.conv1", "layer2.0.conv1", "layer3.0.conv1", "layer4.0.conv1")
            ]
            for stage in stages:
                gradient = network.get_parameter(f"{stage}.weight").grad
                self.assertGreater(float(gradient.abs().max()), 0.0, stage)
            after = network.state_dict()
            moved = [
                not torch.equal(before[name], after[name]) for name in before if name.startswith(body) and ".bn" in name
            ]
            (self.assertFalse if freeze else self.assertTrue)(any(moved))
            if not freeze:
                for stage in (body + "bn1", body + "layer4.1.bn2"):
                    for part in ("weight", "bias", "running_mean", "running_var"):
                        self.assertFalse(
                            torch.equal(before[f"{stage}.{part}"], after[f"{stage}.{part}"]), (stage, part)
                        )

    def test_pictures_without_objects_are_trained_on(self):
        train, _ = _detection_data.read(shapes.coco(self.folder / "coco"), None, None, None)
        self.assertEqual(len(train.pictures[0].instances), 0)
        options = _detector.DetectorOptions(48, 8, (8, 16, 32, 64, 128), freeze=False, masks=True)
        network = _detector.detector(_weights.random("resnet18", None, None), 2, options, seed=0).train()
        for batch in ([0], [0, 1]):
            found = self.losses(network, train, options, batch)
            self.assertIn("loss_mask", found)
            self.assertTrue(all(bool(torch.isfinite(value)) for value in found.values()), found)

    def test_a_mirrored_picture_has_mirrored_boxes_and_masks(self):
        train, _ = _detection_data.read(shapes.coco(self.folder / "coco"), None, None, None)
        crowd = replace(train.pictures[2].instances[0], crowd=True)
        outside = replace(crowd, crowd=False, box=(70.0, 3.0, 90.0, 9.0))
        picture = replace(train.pictures[2], instances=(crowd, *train.pictures[2].instances[1:], outside))
        image, target = _detector.example(picture, False, masks=True)
        mirrored, other = _detector.example(picture, True, masks=True)
        torch.testing.assert_close(mirrored.flip(-1), image, rtol=0, atol=0)
        # The crowd, and what lies outside of the picture, are not there.
        self.assertEqual((len(target["boxes"]), len(target["masks"])), (1, 1))
        for pixels, values in ((image, target), (mirrored, other)):
            left, top, right, bottom = values["boxes"][0].int().tolist()
            self.assertEqual(
                (int(values["masks"].sum()), int(values["masks"][0, top:bottom, left:right].sum())), (400, 400)
            )
            self.assertGreater(float(pixels[:2, top:bottom, left:right].amax(0).min()), 0.8)

    def test_anchors_are_as_small_as_a_tenth_of_the_boxes_after_resizing(self):
        boxes = [Instance((0.0, 0.0, side, side), 1, side * side) for side in np.arange(10.0, 111.0)]
        data = DetectionSet("train", (Picture(Path("x"), 300, 200, tuple(boxes)),), ("a",), is_voc=False)
        self.assertEqual(_detector.anchors_of(data, 100), (10.0, 20.0, 40.0, 80.0, 160.0))
        # The longer side has at most 1333/800 of the shorter one's size.
        wide = replace(data, pictures=(replace(data.pictures[0], width=1000),))
        self.assertEqual(_detector.anchors_of(wide, 100)[0], 4.0)

    def test_the_rate_warms_up_and_falls_twice(self):
        schedule = _training.Schedule(epochs=26, batch_size=2, rate=0.02, polynomial=False)
        rates = [schedule.rate_at(step, 20) for step in range(schedule.steps(20))]
        self.assertEqual((len(rates), schedule.steps(21)), (260, 286))
        np.testing.assert_allclose(
            (rates[0], rates[9], rates[159], rates[160], rates[219], rates[220]), (2e-5, 0.02, 0.02, 2e-3, 2e-3, 2e-4)
        )
        self.assertTrue(all(a < b for a, b in itertools.pairwise(rates[:10])))
        polynomial = replace(schedule, polynomial=True)
        np.testing.assert_allclose((polynomial.rate_at(0, 20), polynomial.rate_at(130, 20)), (0.02, 0.02 * 0.5**0.9))
        # A single step has no time to warm up.
        self.assertEqual(_training.Schedule(1, 4, 0.1, polynomial=False).rate_at(0, 4), 0.1)

    def test_a_loss_that_is_no_number_names_its_step(self):
        network = torch.nn.Linear(1, 1)

        def losses(batch, generator):
            value = network(torch.ones(1)).sum()
            return {"loss_mask": value, "loss_objectness": value * (float("nan") if 3 in batch else 1.0)}

        schedule = _training.Schedule(epochs=2, batch_size=4, rate=0.01, polynomial=True)
        with self.assertRaisesRegex(
            TransferError, "arm, seed 5, epoch 1 of 2, step 1 of 2: loss_objectness is nan, so nothing more"
        ):
            _training.train(network, losses, 4, schedule, 5, "arm", _training.Clock(4))

    def test_time_left_is_told(self):
        text = io.StringIO()
        clock = _training.Clock(10, every=0.0)
        with contextlib.redirect_stderr(text):
            clock.passed(5, "arm")
        self.assertRegex(text.getvalue(), r"^arm, \d+ s left\n$")


class Scores(Scratch):
    def test_ground_truth_as_detections_is_perfect(self):
        for data in (
            *_coco.read(shapes.coco(self.folder / "coco"), None, None),
            *_voc.read(shapes.voc(self.folder / "voc"), None, None),
        ):
            found = perfect(data)
            kinds = ("bbox",) if data.is_voc else ("bbox", "segm")
            for kind in kinds:
                scores = _detection_scores.coco(data, found, kind)
                self.assertEqual((scores["AP"], scores["AP50"], scores["APs"], scores["APl"]), (1.0, 1.0, 1.0, None))
                self.assertEqual(list(scores["AP50 of classes"]), list(data.classes))
                np.testing.assert_allclose(list(scores["AP50 of classes"].values()), 1.0, rtol=0, atol=1e-12)
            # With a box beside it a mask has the box's area, and an object of number 0 is one that nobody finds.
            if not data.is_voc:
                self.assertFalse(any("bbox" in entry for entry in _detection_scores._results(found, "segm")))
            self.assertEqual(min(entry["id"] for entry in _detection_scores._annotations(data, "bbox")), 1)
            voc = _detection_scores.voc(data, found)
            self.assertAlmostEqual(voc.all_points.ap, 1.0, delta=1e-12)
            self.assertAlmostEqual(voc.eleven_points.ap, 1.0, delta=1e-12)

    def test_nothing_found_scores_nothing(self):
        data = _coco.read(shapes.coco(self.folder / "coco"), None, None)[1]
        none = Found(np.empty((0, 4)), np.empty(0, np.int64), np.empty(0), [])
        scores = _detection_scores.coco(data, [none] * 3, "segm")
        self.assertEqual((scores["AP"], scores["APl"]), (0.0, None))
        self.assertEqual(_detection_scores.voc(data, [none] * 3).all_points.ap, 0.0)

    def test_difficult_objects_count_neither_way_and_crowds_take_many(self):
        box = (0.0, 0.0, 20.0, 20.0)
        for marks, expected in (({}, 0.5), ({"difficult": True}, 1.0), ({"crowd": True}, 1.0)):
            marked = Instance((20.0, 20.0, 40.0, 40.0), 1, 400.0, **marks)
            picture = Picture(Path("x"), 64, 48, (Instance(box, 1, 400.0), marked))
            data = DetectionSet("test", (picture,), ("a",), is_voc=True)
            found = Found(np.array([marked.box, box]), np.array([1, 1]), np.array([0.9, 0.8]))
            # A false alarm is one, whatever is marked.
            wrong = Found(np.array([[40.0, 0, 60, 20], box]), np.array([1, 1]), np.array([0.9, 0.8]))
            self.assertAlmostEqual(_detection_scores.coco(data, [found], "bbox")["AP"], 1.0, places=12)
            self.assertLess(_detection_scores.coco(data, [wrong], "bbox")["AP"], 0.6)
            only = _detection_scores.coco(data, [Found(np.array([box]), np.array([1]), np.array([0.8]))], "bbox")["AP"]
            self.assertAlmostEqual(only, expected, delta=0.01)

    def test_boxes_of_voc_are_pixels_counted_from_1(self):
        edges = np.array([[0.0, 0.0, 20.0, 10.0], [3.25, 4.0, 3.5, 9.0]])
        np.testing.assert_array_equal(_detection_scores._inclusive(edges), [[1, 1, 20, 10], [4.25, 5, 4.25, 9]])

    @unittest.skipUnless(
        os.environ.get("LOOKALIKE_DATA") or os.environ.get("CI") == "true", "LOOKALIKE_DATA names no folder"
    )
    def test_published_scores_of_made_up_detections(self):
        data = Path(os.environ["LOOKALIKE_DATA"])
        golden = data / "detection-golden"
        expected = json.loads((golden / "expected.json").read_text())["coco by pycocotools 2.0.11"]
        keys = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")
        for name, part, most in (("coco-mini", "val", 1.0), ("nuclei", "test", 0.9800)):
            raw = json.loads((data / name / f"instances_{part}.json").read_text())
            test = _coco.read(data / name, None, None)[1]
            self.assertEqual(test.name, part)
            labels = {number: at for at, number in enumerate(sorted(one["id"] for one in raw["categories"]), start=1)}
            rows = json.loads((golden / f"{name}-detections.json").read_text())
            found = []
            for image in raw["images"]:
                mine = [row for row in rows if row["image_id"] == image["id"]]
                boxes = np.array([row["bbox"] for row in mine], dtype=np.float64).reshape(-1, 4)
                boxes[:, 2:] += boxes[:, :2]
                masks = [_rle.compressed(row["segmentation"], image["height"], image["width"]) for row in mine]
                found.append(
                    Found(
                        boxes,
                        np.array([labels[row["category_id"]] for row in mine], np.int64),
                        np.array([row["score"] for row in mine]),
                        masks,
                    )
                )
            for kind in ("bbox", "segm"):
                scores = _detection_scores.coco(test, found, kind)
                for ours, theirs in zip(_detection_scores.NAMES, keys, strict=True):
                    value = expected[f"{name}/instances_{part}.json {kind}"][theirs]
                    self.assertAlmostEqual(
                        -1.0 if scores[ours] is None else scores[ours], value, delta=1e-12, msg=(name, kind, ours)
                    )
                # With more than 100 objects in a picture no detector can find all.
                self.assertAlmostEqual(_detection_scores.coco(test, perfect(test), kind)["AP"], most, delta=5e-4)


class Command(Scratch):
    USUAL = ("--epochs", 1, "--batch-size", 2, "--size", 48, "--rois", 8)

    def test_arms_are_compared_and_two_runs_say_the_same(self):
        data = shapes.coco(self.folder / "coco")
        first = ran("detect", "random", data, *self.USUAL, "--seeds", "0,1", "--out", self.folder / "a.json")
        self.assertEqual(first[0], 0, first[2])
        self.assertIn("boxes, COCO's AP, percent, mean ± standard deviation of 2 seeds", first[1])
        # A seed says the same whatever ran before it.
        again = ran("detect", "random", data, *self.USUAL, "--seeds", "1,", "--json")
        one, other = json.loads((self.folder / "a.json").read_text()), json.loads(again[1])
        for run in (*one["runs"], *other["runs"]):
            run.pop("seconds")
        self.assertEqual(one["runs"][1:], other["runs"])
        self.assertNotEqual(one["runs"][0]["losses"], one["runs"][1]["losses"])
        self.assertEqual(set(one["runs"][0]["scores"]), {"boxes, COCO's AP", "masks, COCO's AP"})
        self.assertEqual((one["settings"]["detector"], one["settings"]["batch_norm"]), ("Mask R-CNN", "trained"))
        self.assertTrue(any("train: 1 pictures show no object" in note for note in one["notes"]))
        self.assertEqual(
            ran("detect", "random", data, "--out", self.folder / "a.json")[2],
            f"error: --out {self.folder / 'a.json'} is there already; nothing is written over\n",
        )
        self.assertEqual([path.name for path in self.folder.iterdir() if path.is_file()], ["a.json"])

    def test_weights_are_compared_with_random_ones_on_voc(self):
        data = shapes.voc(self.folder / "voc")
        torch.manual_seed(9)
        state = _detector.detector(
            _weights.random("resnet18", None, None), 1, _detector.DetectorOptions(48, 8, (8,) * 5, False, False), 9
        )
        torch.save(state.backbone.body.state_dict(), self.folder / "model.pth")
        status, out, error = ran(
            "detect",
            self.folder / "model.pth",
            data,
            *self.USUAL,
            "--seeds",
            1,
            "--json",
            "--mean",
            "0,0,0",
            "--std",
            "1,1,1",
            "--bf16",
        )
        self.assertEqual(status, 0, error)
        found = json.loads(out)
        self.assertEqual([run["arm"] for run in found["runs"]], ["model.pth", "random"])
        self.assertNotEqual(found["runs"][0]["losses"], found["runs"][1]["losses"])
        self.assertEqual(
            set(found["runs"][0]["scores"]),
            {"boxes, COCO's AP", "boxes, VOC's AP by 11 points", "boxes, VOC's AP by all points"},
        )
        self.assertEqual(found["differences"][0]["of"], "model.pth")
        self.assertEqual(
            (found["settings"]["detector"], found["settings"]["arms"][1]["std"]), ("Faster R-CNN", [1.0, 1.0, 1.0])
        )
        self.assertEqual(found["settings"]["precision"], "bf16")

    def test_a_rate_too_high_stops_with_a_message_and_writes_nothing(self):
        data = shapes.voc(self.folder / "voc")
        status, out, error = ran(
            "detect", "random", data, *self.USUAL, "--epochs", 3, "--seeds", 1, "--lr", 1e5, "--beside", "none", "--out", self.folder / "a.json"
        )  # fmt: skip
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(error, r"error: random, seed 0, epoch \d of 3, step \d of 6: loss_\w+ is (nan|-?inf)")
        self.assertFalse((self.folder / "a.json").exists())

    def test_what_cannot_be_run_is_named(self):
        data = shapes.voc(self.folder / "voc")
        for arguments, message in [
            (("detect", "random", self.folder / "none"), "none is no folder"),
            (("detect", self.folder / "model.safetensors", data), "model.safetensors is not there"),
            (("detect", "random", data, "--classes", "blue"), "has no class 'blue'; it has green, red"),
            (("detect", "random", data, "--out", self.folder / "no/a.json"), "there is no folder .*no"),
            (("detect", "random", data, "--device", "abacus"), "--device abacus: "),
        ]:
            with self.subTest(message):
                status, out, error = ran(*arguments)
                self.assertEqual((status, out), (1, ""))
                self.assertRegex(error, message)


if __name__ == "__main__":
    unittest.main()
