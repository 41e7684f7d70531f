"""Encoders from files: what is taken, what is refused, and that torchvision's detectors compute with it what torchvision's ResNets do."""

from __future__ import annotations

import tempfile
import unittest
from argparse import Namespace
from pathlib import Path

import torch
import torchvision
from lookalike.transfer import _arms, _detector, _segmenter, _weights
from lookalike.transfer._errors import TransferError
from safetensors.torch import save_file

HEADER = {
    "architecture": "resnet18",
    "stem": "imagenet",
    "color_order": "RGB",
    "mean": "0.4,0.5,0.6",
    "std": "0.2,0.25,0.3",
    "size": "224",
    "step": "7",
    "recipe": "0f",
    "data": "squares",
}
OPTIONS = _detector.DetectorOptions(size=64, rois=8, anchors=(8, 16, 32, 64, 128), freeze=False, masks=False)


def network(architecture="resnet18", seed=5):
    """With statistics that are not those of a new one."""
    torch.manual_seed(seed)
    made = getattr(torchvision.models, architecture)(weights=None)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    return made


class Weights(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.network = network()

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.path = self.folder / "model.safetensors"

    def save(self, metadata=HEADER, **changes):
        tensors = {**self.network.state_dict(), **changes}
        save_file(
            {name: value.contiguous() for name, value in tensors.items() if value is not None}, self.path, metadata
        )

    def read(self, mean=None, std=None):
        return _weights.read(self.path, mean, std)

    def refused(self, message, mean=None, std=None):
        with self.subTest(message), self.assertRaisesRegex(TransferError, message):
            self.read(mean, std)

    def test_the_header_tells_how_images_are_normalised(self):
        self.save()
        found = self.read()
        self.assertEqual((found.name, found.architecture, found.metadata), ("model.safetensors", "resnet18", HEADER))
        self.assertEqual((found.mean, found.std, found.normalisation_given), ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3), True))
        self.assertEqual(self.read(std=(0.2, 0.25, 0.3)).std, (0.2, 0.25, 0.3))
        self.refused("says mean = 0.4,0.5,0.6; leave --mean away", mean=(0.0, 0.0, 0.0))

    def test_files_without_a_header_are_known_by_their_tensors(self):
        for architecture in ("resnet18", "resnet50"):
            self.network = network(architecture)
            self.save(metadata=None)
            found = self.read()
            self.assertEqual((found.architecture, found.normalisation_given), (architecture, False))
            self.assertEqual((found.mean, found.std), (_weights.IMAGENET_MEAN, _weights.IMAGENET_STD))
        found = self.read(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        self.assertEqual((found.mean, found.std, found.normalisation_given), ((0.0,) * 3, (1.0,) * 3, True))

    def test_torchvision_s_own_files_are_read(self):
        self.path = self.folder / "resnet.pth"
        torch.save(self.network.state_dict(), self.path)
        torch.testing.assert_close(
            self.read().tensors["conv1.weight"], self.network.conv1.weight.detach(), rtol=0, atol=0
        )
        torch.save({"model": self.network.state_dict()}, self.path)
        self.refused("holds no tensors by name; save the network's state_dict")
        self.path.write_bytes(b"nothing")
        self.refused("is no file of weights of PyTorch")
        self.path.unlink()
        self.refused("resnet.pth is not there")

    def test_what_detectors_cannot_stand_on_is_refused_with_the_reason(self):
        self.save(**{"conv1.weight": torch.zeros(64, 3, 3, 3)})
        self.refused(
            "has the CIFAR stem .conv1 of 3 × 3, no pooling.: its maps would be four times as wide.*16 times the work"
        )
        self.save({**HEADER, "stem": "cifar"})
        self.refused("has the CIFAR stem")
        self.save({**HEADER, "color_order": "BGR"})
        self.refused("channels are in the order BGR; RGB is needed")
        self.save({**HEADER, "architecture": "resnet34"})
        self.refused("says that it is a resnet34, but its tensors are a resnet18's")
        self.save({**HEADER, "mean": "1,2"})
        self.refused("mean in its header is '1,2', which is not three numbers")
        self.save({**HEADER, "std": "0.1,0,0.1"})
        self.refused("the deviation .* is not above 0")
        self.save(**{"layer2.0.bn1.weight": None})
        self.refused("lacks 1 tensors of a resnet18, the first of them layer2.0.bn1.weight")
        self.save(**{"head.weight": torch.zeros(2)})
        self.refused("holds 1 tensors that a resnet18 has not, the first of them head.weight")
        self.save(**{"layer2.0.conv1.weight": torch.zeros(64, 64, 3, 3)})
        self.refused(
            r"layer2.0.conv1.weight has the shape \(64, 64, 3, 3\); a resnet18 of torchvision has \(128, 64, 3, 3\)"
        )
        self.save(**{"bn1.bias": torch.full((64,), torch.nan)})
        self.refused("bn1.bias holds NaN")
        self.save(**{"layer4.2.conv1.weight": torch.zeros(1)})
        self.refused(r"has layers of \(2, 2, 2, 3\) blocks, which is none of resnet18")
        save_file({"cls_token": torch.zeros(1), "patch_embed.proj.weight": torch.zeros(1)}, self.path)
        self.refused("is a vision transformer")
        save_file({"module.conv1.weight": torch.zeros(1)}, self.path)
        self.refused("no ResNet by torchvision's names: it has module.conv1.weight; take the prefix away")
        self.path.write_bytes(b"\xff" * 64)
        self.refused("is no safetensors file")
        self.path.unlink()
        self.refused("model.safetensors is not there")

    def test_only_the_classifier_may_be_left_over(self):
        self.save(**{"fc.weight": None, "fc.bias": None})
        self.assertNotIn("fc.weight", self.read().tensors)

    def test_arms_are_of_one_architecture_and_have_names_of_their_own(self):
        self.save()
        other = self.folder / "other"
        other.mkdir()
        save_file(network("resnet34").state_dict(), other / "model.safetensors")

        def arms(*beside, model=str(self.path), architecture=None, mean=None):
            options = {"model": model, "beside": list(beside) or None, "architecture": architecture}
            return _arms.chosen(Namespace(**options, mean=mean, std=None))

        found = arms()
        self.assertEqual([arm.name for arm in found], ["model.safetensors", "random"])
        # Nothing but the weights differs.
        self.assertEqual(
            (found[1].mean, found[1].std, found[1].architecture), (found[0].mean, found[0].std, "resnet18")
        )
        self.assertEqual([arm.name for arm in arms("none")], ["model.safetensors"])
        self.assertEqual(
            [(arm.name, arm.architecture) for arm in arms(model="random", architecture="resnet50")],
            [("random", "resnet50")],
        )
        for message, act in [
            (
                "is a resnet18 and model.safetensors a resnet34: a difference would say nothing",
                lambda: arms(str(other / "model.safetensors")),
            ),
            ("an arm is named twice", lambda: arms(str(self.path))),
            ("--beside none goes with no other", lambda: arms("none", "random")),
            ("--architecture is for random weights alone", lambda: arms(architecture="resnet50")),
            ("'vit' is none of resnet18", lambda: arms(model="random", architecture="vit")),
        ]:
            with self.subTest(message), self.assertRaisesRegex(TransferError, message):
                act()
        (other / "model.safetensors").write_bytes(self.path.read_bytes())
        self.assertEqual(
            [arm.name for arm in arms(str(other / "model.safetensors"))],
            [str(self.path), str(other / "model.safetensors")],
        )


class Features(unittest.TestCase):
    def setUp(self):
        self.network = network().eval()
        tensors = {name: value for name, value in self.network.state_dict().items() if not name.startswith("fc.")}
        self.weights = _weights.Weights("model", "resnet18", (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), True, tensors)
        self.images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))

    def stages(self, images):
        x = self.network.maxpool(self.network.relu(self.network.bn1(self.network.conv1(images))))
        maps = []
        for layer in (self.network.layer1, self.network.layer2, self.network.layer3, self.network.layer4):
            x = layer(x)
            maps.append(x)
        return maps

    @torch.no_grad()
    def test_maps_of_every_stage_are_torchvision_s(self):
        for freeze in (False, True):
            options = _detector.DetectorOptions(64, 8, (8, 16, 32, 64, 128), freeze, masks=False)
            made = _detector.detector(self.weights, 2, options, seed=0).eval()
            found = list(made.backbone.body(self.images).values())
            self.assertEqual(
                [tuple(maps.shape[1:]) for maps in found], [(64, 16, 24), (128, 8, 12), (256, 4, 6), (512, 2, 3)]
            )
            for ours, theirs in zip(found, self.stages(self.images), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
            torch.testing.assert_close(
                made.backbone.body.layer1[0].conv1.weight, self.network.layer1[0].conv1.weight, rtol=0, atol=0
            )

    @torch.no_grad()
    def test_images_are_normalised_once_and_inside(self):
        made = _detector.detector(self.weights, 2, OPTIONS, seed=0).eval()
        seen = []
        made.backbone.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
        made([self.images[0]])
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3)))
        torch.testing.assert_close(seen[0][0], (self.images[0] - mean) / std)
        segmenter = _segmenter.segmenter(self.weights, 2, freeze=False, seed=0).eval()
        segmenter.body.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
        segmenter(self.images)
        torch.testing.assert_close(seen[1], (self.images - mean) / std)

    @torch.no_grad()
    def test_dilation_is_torchvision_s_where_it_has_one(self):
        theirs = torchvision.models.resnet50(weights=None, replace_stride_with_dilation=[False, True, True]).eval()
        ours = torchvision.models.resnet50(weights=None).eval()
        ours.load_state_dict(theirs.state_dict())
        _segmenter.dilate(ours)
        theirs.avgpool = theirs.fc = ours.avgpool = ours.fc = torch.nn.Identity()
        torch.testing.assert_close(ours(self.images), theirs(self.images), rtol=0, atol=0)
        made = _segmenter.segmenter(self.weights, 3, freeze=False, seed=0).eval()
        self.assertEqual(made.body(self.images)["out"].shape[2:], (8, 12))
        torch.testing.assert_close(
            made.body.layer1[0].conv1.weight, self.network.layer1[0].conv1.weight, rtol=0, atol=0
        )

    def test_heads_do_not_depend_on_the_weights(self):
        beside = _weights.Weights("random", "resnet18", self.weights.mean, self.weights.std, True)
        ours, theirs = (
            _detector.detector(weights, 2, OPTIONS, seed=3).state_dict() for weights in (self.weights, beside)
        )
        for name, value in ours.items():
            if not name.startswith("backbone.body"):
                torch.testing.assert_close(value, theirs[name], rtol=0, atol=0)
        self.assertFalse(torch.equal(ours["backbone.body.conv1.weight"], theirs["backbone.body.conv1.weight"]))
        self.assertEqual(len(ours["roi_heads.box_predictor.cls_score.weight"]), 3)


if __name__ == "__main__":
    unittest.main()
