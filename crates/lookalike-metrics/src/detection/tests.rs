use proptest::prelude::*;

use super::*;

/// A box with its image; all are of class 0.
type Boxed = (u32, [f64; 4]);

fn truth<'a>(
    images: &'a [u32],
    boxes: &'a [[f64; 4]],
    difficult: &'a [bool],
    classes: &'a [u32],
) -> GroundTruth<'a> {
    GroundTruth { images, classes, boxes, difficult }
}

/// Scores detections, the surest first, of one class against boxes of which some may be difficult.
fn scored(boxes: &[(u32, [f64; 4], bool)], found: &[Boxed]) -> VocClass {
    let images: Vec<u32> = boxes.iter().map(|entry| entry.0).collect();
    let corners: Vec<[f64; 4]> = boxes.iter().map(|entry| entry.1).collect();
    let difficult: Vec<bool> = boxes.iter().map(|entry| entry.2).collect();
    let (found_in, found): (Vec<u32>, Vec<[f64; 4]>) = found.iter().copied().unzip();
    let scores: Vec<f64> = (0..found.len()).map(|at| 1.0 - at as f64 / 1000.0).collect();
    let detections =
        Detections { images: &found_in, classes: &vec![0; found.len()], scores: &scores, boxes: &found };
    let zeros = vec![0; boxes.len()];
    voc_average_precision(truth(&images, &corners, &difficult, &zeros), detections, 10).unwrap().classes[0]
}

fn all50(boxes: &[(u32, [f64; 4], bool)], found: &[Boxed]) -> f64 {
    scored(boxes, found).all_points.unwrap().ap50
}

const A: [f64; 4] = [1.0, 1.0, 10.0, 10.0];
const B: [f64; 4] = [21.0, 1.0, 30.0, 10.0];
const FAR: [f64; 4] = [101.0, 101.0, 110.0, 110.0];

#[test]
fn a_pixel_is_one_wide() {
    // 10 by 10 and 10 by 15 pixels, 100 in common: 2/3. Without the added pixel it would be 81 / 126, which is below .65.
    assert_eq!(matching::overlap(&A, &[1.0, 1.0, 10.0, 15.0]), 100.0 / 150.0);
    assert_eq!(matching::overlap(&[5.0; 4], &[5.0; 4]), 1.0);
    // Boxes that touch share no pixel.
    assert_eq!(matching::overlap(&A, &[11.0, 1.0, 20.0, 10.0]), 0.0);
    let class = scored(&[(0, A, false)], &[(0, [1.0, 1.0, 10.0, 15.0])]);
    let eleven = class.eleven_points.unwrap();
    assert_eq!(eleven.thresholds, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert!((eleven.ap - 0.4).abs() < 1e-15);
}

#[test]
fn an_overlap_of_the_threshold_itself_is_not_enough() {
    // 10 by 10 in 10 by 20 pixels: one half.
    assert_eq!(matching::overlap(&A, &[1.0, 1.0, 10.0, 20.0]), 0.5);
    assert_eq!(all50(&[(0, A, false)], &[(0, [1.0, 1.0, 10.0, 20.0])]), 0.0);
    assert_eq!(all50(&[(0, A, false)], &[(0, [1.0, 1.0, 10.0, 19.0])]), 1.0);
}

#[test]
fn a_detection_takes_the_box_of_highest_overlap_even_if_it_is_taken() {
    // The second detection overlaps the free box by 80 of 120 pixels, the taken one by more: it is wrong. COCO would have it right.
    let (first, second) = (A, [1.0, 3.0, 10.0, 12.0]);
    let between = [1.0, 2.0, 10.0, 10.0];
    let boxes = [(0, first, false), (0, second, false)];
    assert!(matching::overlap(&between, &second) > 0.5);
    assert_eq!(all50(&boxes, &[(0, first), (0, between)]), 0.5);
    assert_eq!(all50(&boxes, &[(0, first), (0, second)]), 1.0);
}

#[test]
fn who_finds_a_box_twice_is_wrong_the_second_time() {
    // Right, wrong, right: precision 1 at recall 1/2, 2/3 at recall 1.
    let boxes = [(0, A, false), (0, B, false)];
    let class = scored(&boxes, &[(0, A), (0, A), (0, B)]);
    assert!((class.all_points.unwrap().ap50 - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-15);
    // Recalls 0 to .5 have precision 1, .6 to 1 have 2/3.
    assert!((class.eleven_points.unwrap().ap50 - (6.0 + 5.0 * 2.0 / 3.0) / 11.0).abs() < 1e-15);
}

#[test]
fn a_difficult_box_counts_neither_for_nor_against() {
    let boxes = [(0, A, false), (0, B, true)];
    // The detections of the difficult box vanish, however many there are, and it need not be found.
    assert_eq!(all50(&boxes, &[(0, B), (0, B), (0, A)]), 1.0);
    assert_eq!(all50(&boxes, &[(0, A)]), 1.0);
    // Below the threshold the difficult box excuses nothing.
    assert_eq!(all50(&boxes, &[(0, FAR), (0, A)]), 0.5);
    let class = scored(&boxes, &[(0, B), (0, A)]);
    assert_eq!((class.boxes, class.difficult, class.detections), (1, 1, 2));
}

#[test]
fn a_box_of_another_image_is_not_found() {
    assert_eq!(all50(&[(0, A, false)], &[(1, A)]), 0.0);
    // Nor does an image without boxes save a false alarm from being one.
    assert_eq!(all50(&[(0, A, false)], &[(7, A), (0, A)]), 0.5);
}

#[test]
fn recall_of_three_tenths_does_not_reach_the_point_above_it() {
    let boxes: Vec<_> = (0..10).map(|image| (image, A, false)).collect();
    let found: Vec<_> = (0..3).map(|image| (image, A)).collect();
    let class = scored(&boxes, &found);
    // Points 0, .1 and .2, and not the double that 3 × .1 is.
    assert_eq!(class.eleven_points.unwrap().ap50, 3.0 / 11.0);
    assert!((class.all_points.unwrap().ap50 - 0.3).abs() < 1e-15);
}

#[test]
fn precision_is_made_monotone_from_the_right() {
    // Wrong, right, right: precision 0, 1/2, 2/3; at every recall up to 1 it is 2/3.
    let boxes = [(0, A, false), (0, B, false)];
    let class = scored(&boxes, &[(0, FAR), (0, A), (0, B)]);
    assert!((class.all_points.unwrap().ap50 - 2.0 / 3.0).abs() < 1e-15);
    assert!((class.eleven_points.unwrap().ap50 - 2.0 / 3.0).abs() < 1e-15);
}

#[test]
fn detections_of_one_score_keep_their_order() {
    let (boxes, found) = ([A], [FAR, A]);
    let ap = |found: &[[f64; 4]]| {
        let scores = [0.5, 0.5];
        let detections = Detections { images: &[0, 0], classes: &[0, 0], scores: &scores, boxes: found };
        let scores = voc_average_precision(truth(&[0], &boxes, &[false], &[0]), detections, 1).unwrap();
        scores.all_points.ap50
    };
    assert_eq!((ap(&found), ap(&[A, FAR])), (0.5, 1.0));
}

#[test]
fn classes_without_a_box_to_be_found_are_no_part_of_the_mean() {
    // Class 1 has a difficult box alone, class 4 a false alarm alone, class 9 is not found.
    let boxes = [A, B, FAR];
    let truth = truth(&[0, 0, 1], &boxes, &[false, true, false], &[0, 1, 9]);
    let found =
        Detections { images: &[0, 0], classes: &[4, 0], scores: &[0.9, f64::NEG_INFINITY], boxes: &[A, A] };
    let scores = voc_average_precision(truth, found, 2).unwrap();
    assert_eq!((scores.eleven_points.ap50, scores.all_points.ap50), (0.5, 0.5));
    let classes: Vec<_> =
        scores.classes.iter().map(|class| (class.class, class.all_points.map(|ap| ap.ap50))).collect();
    assert_eq!(classes, [(0, Some(1.0)), (1, None), (4, None), (9, Some(0.0))]);
}

#[test]
fn what_cannot_be_scored_is_named() {
    let said = |truth: GroundTruth<'_>, found: Detections<'_>| {
        voc_average_precision(truth, found, 2).unwrap_err().to_string()
    };
    let none = Detections { images: &[], classes: &[], scores: &[], boxes: &[] };
    let one = truth(&[1], &[A], &[false], &[0]);
    assert!(voc_average_precision(one, none, 2).is_ok());
    for (found, expected) in [
        (
            said(truth(&[], &[], &[], &[]), none),
            "average precision is undefined: there is no box to be found",
        ),
        (said(truth(&[0], &[A], &[true], &[0]), none), "or all are difficult"),
        (said(truth(&[0, 1], &[A], &[true], &[0]), none), "there are 2 images, but 1 are needed"),
        (said(truth(&[0], &[A], &[], &[0]), none), "there are 0 marks of difficult boxes, but 1 are needed"),
        (said(truth(&[2], &[A], &[false], &[0]), none), "box 0: image 2 is not there; there are 2"),
        (
            said(truth(&[0], &[[1.0, f64::NAN, 2.0, 2.0]], &[false], &[0]), none),
            "box 0: [1.0, NaN, 2.0, 2.0]",
        ),
        (said(truth(&[0], &[[1.0, 1.0, f64::INFINITY, 2.0]], &[false], &[0]), none), "from -10⁹ to 10⁹"),
        (said(truth(&[0], &[[5.0, 1.0, 4.0, 2.0]], &[false], &[0]), none), "has a negative size"),
        (
            said(one, Detections { images: &[0], classes: &[0], scores: &[f64::NAN], boxes: &[A] }),
            "detection 0: its score is NaN",
        ),
        (
            said(one, Detections { images: &[0], classes: &[0], scores: &[], boxes: &[A] }),
            "there are 0 scores, but 1 are needed, one for each of the boxes of the detections",
        ),
        (
            said(one, Detections { images: &[9], classes: &[0], scores: &[0.1], boxes: &[A] }),
            "detection 0: image 9 is not there",
        ),
    ] {
        assert!(found.contains(expected), "{found}\n{expected}");
    }
}

/// The same by the definition: for each recall the greatest precision there or later, one threshold and class at a time.
fn slow(boxes: &[(u32, [f64; 4], bool)], found: &[Boxed], threshold: f64) -> (f64, f64) {
    let to_find = boxes.iter().filter(|entry| !entry.2).count() as f64;
    let (mut taken, mut curve, mut counts) = (vec![false; boxes.len()], Vec::new(), (0.0, 0.0));
    for (image, corners) in found {
        let overlaps: Vec<f64> = boxes
            .iter()
            .map(|entry| if entry.0 == *image { matching::overlap(&entry.1, corners) } else { -1.0 })
            .collect();
        let most = overlaps.iter().copied().fold(-1.0, f64::max);
        let place = overlaps.iter().position(|overlap| *overlap == most).unwrap();
        if most > threshold && boxes[place].2 {
            continue;
        }
        if most > threshold && !taken[place] {
            taken[place] = true;
            counts.0 += 1.0;
        } else {
            counts.1 += 1.0;
        }
        curve.push((counts.0 / to_find, counts.0 / (counts.0 + counts.1)));
    }
    let precision =
        |recall: f64| curve.iter().filter(|point| point.0 >= recall).map(|point| point.1).fold(0.0, f64::max);
    let eleven = (0..=10).map(|tenth| precision(f64::from(tenth) * 0.1)).sum::<f64>() / 11.0;
    let steps = (1..=to_find as usize).map(|step| precision(step as f64 / to_find));
    (eleven, steps.sum::<f64>() / to_find)
}

fn corners() -> impl Strategy<Value = [f64; 4]> {
    (0..6_u8, 0..6_u8, 0..5_u8, 0..5_u8)
        .prop_map(|(x, y, width, height)| [x, y, x + width, y + height].map(f64::from))
}

proptest! {
    #[test]
    fn it_is_what_the_definition_says(
        boxes in prop::collection::vec((0..3_u32, corners(), prop::bool::weighted(0.2)), 1..8),
        found in prop::collection::vec((0..3_u32, corners()), 0..20),
    ) {
        prop_assume!(boxes.iter().any(|entry| !entry.2));
        let class = scored(&boxes, &found);
        for (at, threshold) in THRESHOLDS.iter().enumerate() {
            let (eleven, all) = slow(&boxes, &found, *threshold);
            prop_assert!((class.eleven_points.unwrap().thresholds[at] - eleven).abs() < 1e-12);
            prop_assert!((class.all_points.unwrap().thresholds[at] - all).abs() < 1e-12);
        }
    }

    #[test]
    fn ground_truth_as_detections_is_perfect(
        boxes in prop::collection::hash_set((0..3_u32, 0..6_u32, 0..6_u32), 1..12),
    ) {
        let boxes: Vec<_> = boxes
            .into_iter()
            .map(|(image, x, y)| (image, [x, y, x + 3, y + 3].map(f64::from), false))
            .collect();
        let found: Vec<Boxed> = boxes.iter().map(|entry| (entry.0, entry.1)).collect();
        let class = scored(&boxes, &found);
        for thresholds in [class.eleven_points.unwrap().thresholds, class.all_points.unwrap().thresholds] {
            prop_assert!(thresholds.iter().all(|ap| (ap - 1.0).abs() < 1e-12));
        }
    }
}
