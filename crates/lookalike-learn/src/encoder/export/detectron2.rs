//! What detectron2 reads (<https://github.com/facebookresearch/detectron2>): tensors under its own names in a pickle, and beside it the
//! configurations of MoCo's transfer (He et al. 2020, <https://arxiv.org/abs/1911.05722>, section 4.2).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lookalike_base::arrays::Arrays;
use lookalike_base::atomic::Staged;
use lookalike_base::pickle::{self, Object};

use super::{Described, Program};
use crate::error::LearnError;

/// How a configuration begins.
pub const FIRST_WORDS: &str = "# A configuration of detectron2 that `lookalike export` wrote";
/// How a file of weights begins: a pickle of protocol 2, a dictionary whose first key is `model`.
pub const FIRST_BYTES: &[u8] = b"\x80\x02}(X\x05\0\0\0model";

/// A residual network of torchvision's, as detectron2 counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Depth(pub(in super::super) usize);

/// Names of torchvision's and detectron2's, in the order in which they are replaced.
const NAMES: [(&str, &str); 9] = [
    ("layer1", "res2"),
    ("layer2", "res3"),
    ("layer3", "res4"),
    ("layer4", "res5"),
    ("bn1", "conv1.norm"),
    ("bn2", "conv2.norm"),
    ("bn3", "conv3.norm"),
    ("downsample.0", "shortcut"),
    ("downsample.1", "shortcut.norm"),
];

/// The name that detectron2 gives a tensor of torchvision's.
fn renamed(name: &str) -> String {
    let stem = if name.contains("layer") { "" } else { "stem." };
    NAMES.iter().fold(format!("{stem}{name}"), |name, (theirs, own)| name.replace(theirs, own))
}

/// The weights, and the configurations of VOC and COCO beside them.
///
/// # Errors
/// [`LearnError::Recipe`] where detectron2 would not take the weights for what they are.
pub(super) fn files(path: &Path) -> Result<[PathBuf; 3], LearnError> {
    if path.extension().is_none_or(|ending| ending != "pkl") {
        let reason = format!("{} must end in .pkl, by which detectron2 knows its files", path.display());
        return Err(Program::Detectron2.refuse(reason));
    }
    Ok([path.to_owned(), path.with_extension("yaml"), path.with_extension("coco.yaml")])
}

/// Writes weights and configurations, none before all are whole. `tensors` are torchvision's without a classifier.
///
/// # Errors
/// As [`files`]; [`LearnError::Io`] where one cannot be written.
pub(in super::super) fn write(
    depth: Depth,
    described: &Described,
    tensors: &Arrays,
    path: &Path,
) -> Result<(), LearnError> {
    let paths = files(path)?;
    let name = path.file_name().map_or_else(Default::default, |name| name.to_string_lossy());
    let names: Vec<String> = tensors.keys().map(|name| renamed(name)).collect();
    let model = names.iter().zip(tensors.values()).map(|(name, array)| (name.as_str(), Object::Array(array)));
    let weights = Object::Dict(vec![
        ("model", Object::Dict(model.collect())),
        ("__author__", Object::Text("lookalike")),
        ("matching_heuristics", Object::Flag(true)),
    ]);
    let staged = |path: &PathBuf, write: &dyn Fn(&mut dyn std::io::Write) -> std::io::Result<()>| {
        Staged::write(path, |writer| write(writer))
            .map_err(|source| LearnError::Io { path: path.clone(), source })
    };
    let text = |task| configuration(task, depth, described, &name);
    let written = [
        staged(&paths[0], &|writer| pickle::write(&weights, writer))?,
        staged(&paths[1], &|writer| writer.write_all(text(Task::Voc).as_bytes()))?,
        staged(&paths[2], &|writer| writer.write_all(text(Task::Coco).as_bytes()))?,
    ];
    for (staged, path) in written.into_iter().zip(paths) {
        staged.publish().map_err(|source| LearnError::Io { path, source })?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// Boxes on VOC07+12.
    Voc,
    /// Boxes and masks on COCO.
    Coco,
}

/// What a configuration says of its task.
struct Protocol {
    about: &'static str,
    masks: &'static str,
    classes: usize,
    sides: &'static str,
    sets: [&'static str; 2],
    /// The iterations at which the rate falls to a tenth, all of them, and those of warm-up.
    solver: [&'static str; 3],
}

const VOC: Protocol = Protocol {
    about: "\
# VOC07+12: learned on trainval of 2007 and 2012, scored on test of 2007, 24,000 iterations. The AP that detectron2 prints is the mean of
# 11-point APs over overlaps of .5 to .95, not COCO's. Runs differ by 0.2 AP; MoCo's authors take the mean of five.
",
    masks: "False",
    classes: 20,
    sides: "(480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)",
    sets: ["('voc_2007_trainval', 'voc_2012_trainval')", "('voc_2007_test',)"],
    solver: ["(18000, 22000)", "24000", "100"],
};

const COCO: Protocol = Protocol {
    about: "\
# COCO: learned on train2017, scored on val2017, the schedule called 2x. That called 1x has STEPS (60000, 80000) and MAX_ITER 90000.
",
    masks: "True",
    classes: 80,
    sides: "(640, 672, 704, 736, 768, 800)",
    sets: ["('coco_2017_train',)", "('coco_2017_val',)"],
    solver: ["(120000, 160000)", "180000", "1000"],
};

const C4: &str = "\
# Res5ROIHeadsExtraNorm, with one more normalisation after the last stage, is not detectron2's own: detection/train_net.py of
# https://github.com/facebookresearch/moco registers it; start that program with this file.
";

const FPN: &str = "\
# MoCo's protocol has ResNet-50 and its heads of the fourth stage, which have bottlenecks that smaller networks lack. So here stands
# detectron2's own pyramid in their place; all else is as there, and no published figure can be compared with.
";

const ALL: &str = "\
# Images of red, green and blue with the mean and deviation of training. All stages and all normalisations learn: frozen ones have turned
# published comparisons round. naiveSyncBN is what MoCo's authors have; SyncBN is PyTorch's. For 16 images a batch on 8 GPUs: with fewer
# halve IMS_PER_BATCH and BASE_LR and double the iterations. WEIGHTS is looked for in the folder where detectron2 is started.
";

/// The text of a configuration for the weights called `weights`.
fn configuration(task: Task, Depth(depth): Depth, described: &Described, weights: &str) -> String {
    let Protocol { about, masks, classes, sides, sets: [train, test], solver: [steps, most, warm_up] } =
        match task {
            Task::Voc => VOC,
            Task::Coco => COCO,
        };
    let weights = serde_json::Value::from(weights);
    let [mean, std] = described.channels(255.0);
    let (heads, why) = if depth == 50 { (C4_HEADS, C4) } else { (FPN_HEADS, FPN) };
    let resnet = if depth == 50 {
        ""
    } else {
        "    RES2_OUT_CHANNELS: 64\n    OUT_FEATURES: [\"res2\", \"res3\", \"res4\", \"res5\"]\n"
    };
    let mut text = format!("{FIRST_WORDS} for {weights}.\n{about}{why}{ALL}");
    let _never_fails = write!(
        text,
        "VERSION: 2\nMODEL:\n  META_ARCHITECTURE: \"GeneralizedRCNN\"\n  WEIGHTS: {weights}\n  MASK_ON: {masks}\n  PIXEL_MEAN: {mean:?}\n  \
         PIXEL_STD: {std:?}\n  RESNETS:\n    DEPTH: {depth}\n    NORM: \"naiveSyncBN\"\n    STRIDE_IN_1X1: False\n{resnet}{heads}    \
         NUM_CLASSES: {classes}\nINPUT:\n  FORMAT: \"RGB\"\n  MIN_SIZE_TRAIN: {sides}\n  MIN_SIZE_TEST: 800\nDATASETS:\n  TRAIN: {train}\n  \
         TEST: {test}\nSOLVER:\n  IMS_PER_BATCH: 16\n  BASE_LR: 0.02\n  STEPS: {steps}\n  MAX_ITER: {most}\n  WARMUP_ITERS: {warm_up}\nTEST:\n  \
         PRECISE_BN:\n    ENABLED: True\n"
    );
    text
}

/// The parts of a detector behind a backbone, up to the number of its classes.
const C4_HEADS: &str = r#"  BACKBONE:
    FREEZE_AT: 0
  RPN:
    PRE_NMS_TOPK_TEST: 6000
    POST_NMS_TOPK_TEST: 1000
  ROI_HEADS:
    NAME: "Res5ROIHeadsExtraNorm"
"#;

const FPN_HEADS: &str = r#"  BACKBONE:
    NAME: "build_resnet_fpn_backbone"
    FREEZE_AT: 0
  FPN:
    IN_FEATURES: ["res2", "res3", "res4", "res5"]
    NORM: "naiveSyncBN"
  ANCHOR_GENERATOR:
    SIZES: [[32], [64], [128], [256], [512]]
  RPN:
    IN_FEATURES: ["p2", "p3", "p4", "p5", "p6"]
    PRE_NMS_TOPK_TRAIN: 2000
    PRE_NMS_TOPK_TEST: 1000
    POST_NMS_TOPK_TRAIN: 1000
    POST_NMS_TOPK_TEST: 1000
  ROI_BOX_HEAD:
    NAME: "FastRCNNConvFCHead"
    NUM_FC: 2
    POOLER_RESOLUTION: 7
  ROI_MASK_HEAD:
    NAME: "MaskRCNNConvUpsampleHead"
    NUM_CONV: 4
    POOLER_RESOLUTION: 14
  ROI_HEADS:
    NAME: "StandardROIHeads"
    IN_FEATURES: ["p2", "p3", "p4", "p5"]
"#;

#[cfg(test)]
mod tests {
    use super::*;

    /// By the table of MoCo's and detectron2's converters.
    #[test]
    fn tensors_have_the_names_that_detectron2_gives_them() {
        for (theirs, own) in [
            ("conv1.weight", "stem.conv1.weight"),
            ("bn1.running_mean", "stem.conv1.norm.running_mean"),
            ("layer1.0.conv1.weight", "res2.0.conv1.weight"),
            ("layer2.3.bn3.num_batches_tracked", "res3.3.conv3.norm.num_batches_tracked"),
            ("layer3.5.bn2.bias", "res4.5.conv2.norm.bias"),
            ("layer4.0.downsample.0.weight", "res5.0.shortcut.weight"),
            ("layer4.0.downsample.1.running_var", "res5.0.shortcut.norm.running_var"),
        ] {
            assert_eq!(renamed(theirs), own);
        }
    }

    #[test]
    fn weights_must_have_the_ending_that_detectron2_knows() {
        let [weights, voc, coco] = files(Path::new("a/m.v2.pkl")).unwrap();
        assert_eq!(
            [weights, voc, coco].map(|path| path.display().to_string()),
            ["a/m.v2.pkl", "a/m.v2.yaml", "a/m.v2.coco.yaml"]
        );
        for other in ["a/model", "model.pth", "pkl"] {
            assert!(files(Path::new(other)).unwrap_err().to_string().contains("must end in .pkl"));
        }
    }
}
