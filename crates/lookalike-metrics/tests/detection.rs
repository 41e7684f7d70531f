//! Average precision beside detectron2's evaluation for PASCAL VOC, of made-up detections on the test images of BCCD: the published numbers
//! lie in `detection-golden` of the folder that `LOOKALIKE_DATA` names. Its sort is not stable, so that the order of equal scores is a fixture
//! (`fixtures/detection.py`); without it AP50 of a class differs by up to .002.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking, as the tests themselves do")]

use std::collections::BTreeMap;
use std::path::Path;

use lookalike_metrics::detection::{Detections, GroundTruth, VocAveragePrecision, voc_average_precision};
use serde_json::Value;

#[path = "../../lookalike-data/tests/common/real_data.rs"]
mod real_data;

const CLASSES: [&str; 3] = ["RBC", "WBC", "Platelets"];

#[derive(Default)]
struct Columns {
    images: Vec<u32>,
    classes: Vec<u32>,
    scores: Vec<f64>,
    boxes: Vec<[f64; 4]>,
}

impl Columns {
    fn push(&mut self, image: usize, class: &str, score: f64, corners: [f64; 4]) {
        self.images.push(image as u32);
        self.classes.push(CLASSES.iter().position(|name| *name == class).unwrap() as u32);
        self.scores.push(score);
        self.boxes.push(corners);
    }

    fn detections(&self) -> Detections<'_> {
        Detections { images: &self.images, classes: &self.classes, scores: &self.scores, boxes: &self.boxes }
    }
}

/// What stands between `<NAME>` and `</NAME>`, each time it does.
fn tags<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    text.split(&begin).skip(1).map(|part| part.split(&end).next().unwrap()).collect()
}

fn annotations(folder: &Path, names: &[&str]) -> (Columns, Vec<bool>) {
    let (mut boxes, mut difficult) = (Columns::default(), Vec::new());
    for (image, name) in names.iter().enumerate() {
        let text = std::fs::read_to_string(folder.join(format!("Annotations/{name}.xml"))).unwrap();
        for object in tags(&text, "object") {
            let corners =
                ["xmin", "ymin", "xmax", "ymax"].map(|side| tags(object, side)[0].trim().parse().unwrap());
            boxes.push(image, tags(object, "name")[0], 1.0, corners);
            difficult.push(tags(object, "difficult")[0] == "1");
        }
    }
    (boxes, difficult)
}

#[test]
fn it_is_what_detectron2_says_and_ground_truth_is_perfect() {
    let Some(data) = real_data::folder("detection-golden") else { return };
    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(data.join("detection-golden").join(name)).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let folder = data.join("bccd/BCCD");
    let names = std::fs::read_to_string(folder.join("ImageSets/Main/test.txt")).unwrap();
    let names: Vec<&str> = names.split_whitespace().collect();
    assert_eq!(names.len(), 72);
    let (boxes, difficult) = annotations(&folder, &names);
    let truth = GroundTruth {
        images: &boxes.images,
        classes: &boxes.classes,
        boxes: &boxes.boxes,
        difficult: &difficult,
    };

    let golden = read("bccd-test-detections.json");
    let order = include_str!("fixtures/detection.json");
    let mut found = Columns::default();
    for (class, order) in &serde_json::from_str::<BTreeMap<String, Vec<usize>>>(order).unwrap() {
        let rows = golden["rows"].as_array().unwrap().iter().filter(|row| row[1] == class.as_str());
        let rows: Vec<&Value> = rows.collect();
        for row in order.iter().map(|at| rows[*at]) {
            let image = names.iter().position(|name| *name == row[0]).unwrap();
            let corners = [3, 4, 5, 6].map(|at| row[at].as_f64().unwrap());
            found.push(image, class, row[2].as_f64().unwrap(), corners);
        }
    }
    assert_eq!(found.images.len(), 1008);
    let scores = voc_average_precision(truth, found.detections(), names.len()).unwrap();
    let expected = &read("expected.json")["voc by detectron2 02b5c4e, BCCD test, 72 images"];
    let same = |what: &str, found: f64, expected: &Value| {
        let expected = expected.as_f64().unwrap();
        assert!((found - expected).abs() <= 1e-12, "{what}: {found} is not {expected}");
    };
    let check = |points: &str, of: VocAveragePrecision| {
        same(points, of.ap, &expected[points]["AP"]);
        same(points, of.ap50, &expected[points]["AP50"]);
        same(points, of.ap75, &expected[points]["AP75"]);
    };
    check("11 points", scores.eleven_points);
    check("all points", scores.all_points);
    for class in &scores.classes {
        let name = CLASSES[class.class as usize];
        same(name, class.eleven_points.unwrap().ap50, &expected["11 points"]["AP50 of classes"][name]);
        same(name, class.all_points.unwrap().ap50, &expected["all points"]["AP50 of classes"][name]);
    }

    let perfect = voc_average_precision(truth, boxes.detections(), names.len()).unwrap();
    for ap in [perfect.eleven_points, perfect.all_points] {
        assert!(ap.thresholds.iter().all(|ap| (ap - 1.0).abs() < 1e-12), "{ap:?}");
    }
}
