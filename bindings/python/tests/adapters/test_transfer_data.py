"""Data sets for detection and segmentation: what is read, what is left out and said, and what is refused."""

from __future__ import annotations

import os
import tempfile
import unittest
from argparse import Namespace
from pathlib import Path

import numpy as np
import shapes
from lookalike.transfer import _detect, _detection_data, _images, _masks, _rle
from lookalike.transfer._errors import TransferError
from PIL import Image
from pycocotools import mask as library


class Folder(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.folder = Path(self.scratch.name) / "data"

    def read(self, train=None, test=None, classes=None):
        return _detection_data.read(self.folder, train, test, classes)

    def refused(self, message, **options):
        with self.assertRaisesRegex(TransferError, message):
            self.read(**options)


class Coco(Folder):
    def setUp(self):
        super().setUp()
        shapes.coco(self.folder)

    def test_categories_with_gaps_are_numbered_without(self):
        train, test = self.read()
        self.assertEqual((train.name, test.name, train.classes), ("train", "val", ("red", "green")))
        self.assertEqual({one.label for part in (train, test) for one in part.instances}, {1, 2})
        self.assertEqual([len(picture.instances) for picture in train.pictures], [0, 1, 2, 2])
        self.assertTrue(train.has_masks and not train.is_voc)
        one = train.pictures[1].instances[0]
        left, top, right, bottom = map(int, one.box)
        mask = _rle.decode(one.mask)
        self.assertEqual((mask.sum(), mask[top:bottom, left:right].sum(), one.area), (400, 400, 400.0))

    def test_classes_can_be_chosen_and_pictures_without_them_stay(self):
        train, _ = self.read(classes=["green"])
        whole, _ = self.read()
        self.assertEqual((train.classes, len(train.pictures)), (("green",), 4))
        self.assertEqual(len(train.instances), sum(one.label == 2 for one in whole.instances))
        self.assertEqual({one.label for one in train.instances}, {1})
        self.refused("--classes: .* has no class 'blue'; it has red, green", classes=["red", "blue"])

    def test_a_box_that_encloses_nothing_is_said_and_left_out(self):
        shapes.change(self.folder, "train", lambda found: found["annotations"][0].update(bbox=[3, 4, 0, 5]))
        train, _ = self.read()
        self.assertEqual(len(train.instances), 4)
        self.assertRegex(train.notes[0], r"1 box encloses nothing.*annotation 0 of 1.png, \[3, 4, 0, 5\]")

    def test_what_is_wrong_is_named_with_its_place(self):
        def annotation(**values):
            return lambda found: found["annotations"][1].update(values)

        half = {"size": [48, 64], "counts": [100, 2, 70]}
        for part, act, message in [
            ("train", annotation(image_id=7), r"instances_train.json: annotation 1 \(id 1\): its image_id is 7, which is not"),
            ("val", annotation(category_id=4), r"instances_val.json: annotation 1 .*its category_id is 4, which is not there"),
            ("train", annotation(bbox=[1, 2, float("nan"), 4]), "its bbox is .*four numbers"),
            ("train", annotation(bbox=[1, 2, 3]), "its bbox is .*four numbers"),
            ("train", annotation(area="x"), "its area is 'x'"),
            ("train", annotation(segmentation=half), "its runs cover 172 pixels, fewer than the 3072 of the image"),
            ("train", annotation(segmentation={"size": [48, 64], "counts": [9, 2**40]}), "its runs cover .*, more than the 3072"),
            ("train", annotation(segmentation={"size": [48, 64], "counts": "0\x7f"}), "none of its 64 characters"),
            ("train", annotation(segmentation={"size": [48, 64], "counts": "0é"}), "has 'é' at place 1"),
            ("train", annotation(segmentation={"size": [48, 64], "counts": "o" * 4}), "ends in the middle of a run"),
            ("train", annotation(segmentation={"size": [48, 64], "counts": "o" * 40}), "more than 60 bits"),
            ("train", annotation(segmentation={"size": [4, 64], "counts": "0"}), r"its size is \[4, 64\]; the image's is \[48, 64\]"),
            ("train", annotation(segmentation=[[1, 2, 3]]), "a polygon is a list of x and y in turn"),
            ("train", annotation(segmentation=[[1, 2, 3, 4, 1e9, 6]]), "a polygon has a point at 1000000000.0"),
            ("train", annotation(segmentation=None), "1 objects of train have no mask, others have; see --boxes-only"),
            ("train", lambda found: found["annotations"][1].pop("bbox"), "annotation 1 .*: it has no bbox"),
            ("train", lambda found: found.pop("categories"), "has no list 'categories'"),
            ("train", lambda found: found["images"][1].update(id=100), "entry 1 of images has the id 100, which an entry before has"),
            ("train", lambda found: found["images"][1].update(file_name="x.png"), "names x.png, which is not in"),
            ("train", lambda found: found["images"][0].update(width=63), "0.png is 64 × 48 pixels; .* says 63 × 48"),
            ("train", lambda found: found["images"][0].update(width=0), "is 0 wide"),
            ("train", lambda found: found.update(images=[], annotations=[]), "the part train has no pictures"),
            ("val", lambda found: found.update(annotations=[]), "the part val has no objects of red, green"),
            ("val", lambda found: found["categories"][1].update(name="blue"), "the categories of .*val.json are not those of .*train.json"),
        ]:  # fmt: skip
            with self.subTest(message), tempfile.TemporaryDirectory() as scratch:
                self.folder = shapes.coco(Path(scratch) / "data")
                shapes.change(self.folder, part, act)
                options = Namespace(
                    boxes_only=False, data=self.folder, anchors=None, size=48, rois=8, freeze=False, bf16=False
                )
                with self.assertRaisesRegex(TransferError, message):
                    _detect._options(options, *self.read())

    def test_parts_that_are_not_there_are_named(self):
        self.refused("--train all is not there: .* holds the parts train, val", train="all")
        self.refused("the part val would be trained on and tested on", train="val")
        (self.folder / "instances_val.json").write_text("{")
        self.refused("instances_val.json is no JSON")
        (self.folder / "instances_val.json").unlink()
        self.refused("none of test, val, val2017; name one by --test")
        Image.fromarray(np.zeros((48, 64), np.uint16)).save(self.folder / "images/train/2.png")
        with self.assertRaisesRegex(TransferError, "2.png has more than 8 bits a channel"):
            _images.rgb(self.folder / "images/train/2.png")
        (self.folder / "images/train/1.png").write_bytes(b"no picture")
        with self.assertRaisesRegex(TransferError, "1.png cannot be read as an image"):
            _images.rgb(self.folder / "images/train/1.png")
        self.refused("holds the parts train")
        self.folder = self.folder / "images"
        self.refused("holds neither instances_NAME.json .COCO. nor Annotations")

    def test_runs_are_read_as_pycocotools_reads_them(self):
        rng = np.random.default_rng(0)
        for density in (0.01, 0.5, 0.99, 1.0, 0.0):
            mask = (rng.random((37, 53)) < density).astype(np.uint8)
            code = library.encode(np.asfortranarray(mask))
            self.assertEqual(_rle.decoded(code["counts"]), shapes.runs(mask))
            text = {"size": [37, 53], "counts": code["counts"].decode()}
            for segmentation in (text, {"size": [37, 53], "counts": shapes.runs(mask)}):
                np.testing.assert_array_equal(_rle.decode(_rle.compressed(segmentation, 37, 53)), mask)
        polygon = _rle.compressed([[10, 5, 20, 5, 20, 15, 10, 15]], 37, 53)
        self.assertEqual((_rle.area(polygon), _rle.decode(polygon)[5:15, 10:20].sum()), (100.0, 100))


class Voc(Folder):
    def setUp(self):
        super().setUp()
        shapes.voc(self.folder)

    def test_pixels_from_1_become_edges_from_0(self):
        train, test = self.read()
        self.assertEqual((train.name, test.name, train.classes, test.is_voc), ("train", "test", ("green", "red"), True))
        (_, x, y), *_ = shapes.pictures(4, 0)[1][1]
        self.assertEqual(train.pictures[1].instances[0].box, (x, y, x + 20, y + 20))
        self.assertFalse(train.has_masks)

    def annotate(self, objects, stem="train1", size="<size><width>64</width><height>48</height></size>"):
        (self.folder / "Annotations" / f"{stem}.xml").write_text(f"<annotation>{size}{objects}</annotation>")

    def test_boxes_that_enclose_nothing_are_said_and_left_out(self):
        self.annotate(
            shapes.voc_object("red", 5, 6, 5, 6)
            + shapes.voc_object("red", 9, 6, 3, 9)
            + shapes.voc_object("red", 1, 1, 3, 9)
        )
        train, _ = self.read()
        self.assertEqual([one.box for one in train.pictures[1].instances], [(0.0, 0.0, 3.0, 9.0)])
        self.assertRegex(
            train.notes[0],
            r"2 boxes enclose nothing.*object 0 \(red\) of train1.xml, xmin ymin xmax ymax = 5, 6, 5, 6; object 1",
        )

    def test_difficult_objects_are_marked(self):
        self.annotate(shapes.voc_object("red", 5, 6, 15, 16, difficult=1))
        self.assertTrue(self.read()[0].pictures[1].instances[0].difficult)

    def test_what_is_wrong_is_named_with_its_place(self):
        box = shapes.voc_object("red", 5, 6, 15, 16)
        for objects, message in [
            (box.replace("<xmin>5", "<xmin>five"), r"train1.xml: object 0 has the xmin 'five', which is no number"),
            (box + box.replace("<ymax>16</ymax>", ""), "train1.xml: object 1 has the ymax ''"),
            (box.replace("16", "inf"), "object 0 has the ymax 'inf', which is no pixel"),
            (box.replace("red", ""), "object 0 has no name"),
            (box.replace("</bndbox>", ""), "train1.xml is no XML: mismatched tag"),
        ]:
            self.annotate(objects)
            with self.subTest(message):
                self.refused(message)
        self.annotate(box, size="<size><width>65</width><height>48</height></size>")
        self.refused("train1.png is 64 × 48 pixels; .* says 65 × 48")
        (self.folder / "JPEGImages/train1.png").unlink()
        self.refused("JPEGImages holds no picture train1 ")
        (self.folder / "Annotations/train1.xml").unlink()
        self.refused("train1.xml is not there, though ImageSets/Main names train1")
        (self.folder / "ImageSets/Main/train.txt").write_text("test1\n")
        self.refused("1 pictures are in train and in test")
        (self.folder / "ImageSets/Main/train.txt").write_text("\n")
        self.refused("the part train has no pictures")

    @unittest.skipUnless(
        os.environ.get("LOOKALIKE_DATA") or os.environ.get("CI") == "true", "LOOKALIKE_DATA names no folder"
    )
    def test_two_boxes_of_bccd_enclose_nothing(self):
        self.folder = Path(os.environ["LOOKALIKE_DATA"]) / "bccd/BCCD"
        trainval, test = self.read()
        self.assertEqual((len(trainval.pictures), len(test.pictures)), (292, 72))
        self.assertEqual(len(trainval.instances) + len(test.instances) + 2, 4888)
        self.assertRegex(
            trainval.notes[0], "2 boxes .*BloodImage_00338.xml.*BloodImage_00343.xml|2 boxes .*00343.*00338"
        )


class Masks(Folder):
    def setUp(self):
        super().setUp()
        shapes.masks(self.folder)

    def options(self, **changes):
        usual = {
            "data": self.folder,
            "masks": Path("seg"),
            "train": None,
            "test": None,
            "classes": None,
            "binary": False,
            "colors": None,
        }
        return Namespace(**usual | changes)

    def wrong(self, message, **changes):
        with self.subTest(message), self.assertRaisesRegex(TransferError, message):
            _masks.read(self.options(**changes))

    def write(self, path, array):
        Image.fromarray(array).save(self.folder / path)

    def test_the_masks_tell_how_many_classes_there_are(self):
        train, test, names = _masks.read(self.options())
        self.assertEqual((names, len(train.pictures), len(test.pictures)), (("0", "1", "2"), 4, 3))
        self.assertEqual(set(np.unique(train.classes(3))), {0, 1, 2, 255} & set(np.unique(train.classes(3))))
        self.assertEqual(_masks.read(self.options(classes=["none", "red", "green"]))[2], ("none", "red", "green"))
        (train, _, names), whole = _masks.read(self.options(binary=True)), train
        np.testing.assert_array_equal(train.classes(3), whole.classes(3) > 0)
        self.assertEqual(names, ("background", "foreground"))

    def test_palettes_are_read_as_numbers_and_colours_by_their_table(self):
        _, _, names = _masks.read(self.options())
        expected = _masks.read(self.options())[0].classes(2)
        for path in sorted((self.folder / "seg").glob("*/*.png")):
            image = Image.open(path)
            image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0] + [7, 7, 7] * 253)
            image.save(path)
        train, _, found = _masks.read(self.options())
        np.testing.assert_array_equal(train.classes(2), expected)
        self.assertEqual(found, names)
        for path in sorted((self.folder / "seg").glob("*/*.png")):
            Image.open(path).convert("RGB").save(path)
        self.wrong("0.png is a picture in colours; give their table by --colors, or --binary")
        table = self.folder / "table.csv"
        table.write_text("0,0,0,none\n255,0,0,red\n0,255,0,green\n7,7,7,ignored\n")
        train, _, names = _masks.read(self.options(colors=table))
        np.testing.assert_array_equal(train.classes(2), expected)
        self.assertEqual(names, ("none", "red", "green"))
        colors = np.zeros((48, 64, 3), np.uint8)
        colors[5, 9] = 1, 2, 3
        self.write("seg/val/0.png", colors)
        self.wrong(r"val/0.png: the pixel in row 5, column 9 is \[1, 2, 3\]; which is not in the table", colors=table)
        self.wrong("--binary and --colors exclude each other", colors=table, binary=True)
        for text, message in [
            ("0,0,0,a\n0,0,0,b", "line 2: 0,0,0 is no colour"),
            ("0,0,a", "line 1 is not"),
            ("0,0,0,a", "names 1 classes"),
        ]:
            table.write_text(text)
            self.wrong(message, colors=table)

    def test_what_is_wrong_is_named_with_its_place(self):
        mask = np.zeros((48, 64), np.uint8)
        mask[7, 3] = 9
        self.write("seg/val/1.png", mask)
        names = ["none", "red", "green"]
        self.wrong(
            "val/1.png: the pixel in row 7, column 3 is 9; the classes are 0 to 2, and 255 is none", classes=names
        )
        self.assertEqual(len(_masks.read(self.options())[2]), 10)
        self.wrong("train/.*: the pixel .* is 2; the classes are 0 to 1", classes=["a", "b"])
        self.write("seg/val/1.png", mask[:, 1:])
        self.wrong("val/1.png is 63 × 48 pixels, and .*1.png 64 × 48")
        (self.folder / "seg/val/1.png").unlink()
        self.wrong("val/1.png has no mask .*seg/val/1.png")
        (self.folder / "images/val/1.png").unlink()
        self.write("seg/val/x.png", mask)
        self.wrong("seg/val/x.png is a mask of a picture that is not in")
        self.wrong("--masks nowhere is a folder neither in", masks=Path("nowhere"))
        self.wrong("--test best is not there: .* holds the parts train, val", test="best")
        self.wrong("the part val would be trained on and tested on", train="val")
        for path in (self.folder / "images/val").iterdir():
            path.unlink()
        self.wrong("images/val holds no pictures")
        for path in (self.folder / "seg/train").iterdir():
            self.write(path.relative_to(self.folder), np.full((48, 64), 255, np.uint8))
        for number in range(2):
            self.write(f"images/val/{number}.png", np.zeros((48, 64, 3), np.uint8))
            self.write(f"seg/val/{number}.png", np.full((48, 64), 255, np.uint8))
        (self.folder / "seg/val/x.png").unlink()
        (self.folder / "seg/val/2.png").unlink()
        self.wrong("no pixel of the masks of the part train has a class")


if __name__ == "__main__":
    unittest.main()
