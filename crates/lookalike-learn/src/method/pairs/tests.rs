use lookalike_base::arrays::Arrays;
use lookalike_base::{Seed, tensors};

use super::*;
use crate::encoder::text::{Body, TextEncoder, TokenTable};
use crate::engine::to_host;
use crate::loss::InfoNce;
use crate::negatives::Unobserved;

/// What `tests/fixtures/make_pairs.py` made of sentence-transformers.
fn fixture() -> Arrays {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pairs.safetensors");
    tensors::read(std::path::Path::new(path)).unwrap().tensors
}

const ROWS: usize = 6;
const LENGTH: usize = 8;

fn values(arrays: &Arrays, name: &str) -> Vec<f32> {
    arrays[name].as_f32().unwrap().to_vec()
}

fn pairs(softmax: Softmax, weights: Weights) -> Pairs {
    let device = Device::flex();
    let table = TokenTable::new([3, LENGTH], Some(&mut Seed(0).stream("table", 0, 0, 0)), &device);
    let encoder = Box::new(TextEncoder::mean_of(Body::Table(Box::new(table))));
    let contrast = Contrast::plain(InfoNce { temperature: 0.05 });
    Pairs::new(Network::headless(encoder), contrast, softmax, weights, LENGTH)
}

const PLAIN: Weights = Weights { hardness: (0.0, Weighted::All), own: 0.0 };

fn leaf(values: Vec<f32>, rows: usize) -> Tensor<2> {
    from_host::<2>(values, [rows, LENGTH], &Device::flex()).autodiff().require_grad()
}

/// Loss and gradients of the fixture's texts, own negatives row by row, are those under `name`.
#[track_caller]
fn agrees(pairs: &Pairs, name: &str, own: bool) {
    let arrays = fixture();
    let [query, document] = ["query", "document"].map(|column| leaf(values(&arrays, column), ROWS));
    let by_row = |name: [String; 2]| -> Vec<f32> {
        let [first, second] = name.map(|name| values(&arrays, &name));
        let rows = first.chunks_exact(LENGTH).zip(second.chunks_exact(LENGTH));
        rows.flat_map(|(first, second)| [first, second].concat()).collect()
    };
    let negatives = if own { by_row(["first".to_owned(), "second".to_owned()]) } else { Vec::new() };
    let count = negatives.len() / LENGTH;
    let negatives = leaf(negatives, count);
    let parts: Vec<usize> = (0..=ROWS).map(|row| row * count / ROWS).collect();
    let outputs = Outputs::new(
        (0..ROWS as u32).collect(),
        vec![("query", query.clone()), ("document", document.clone())],
    );
    let outputs = outputs.with_parts(parts.into(), vec![("negatives", negatives.clone())]);
    let terms = pairs.loss_of(&outputs, &Step::default(), &mut Unobserved);
    let total = terms.total().unwrap();
    let loss: f32 = total.clone().inner().into_scalar();
    let expected = values(&arrays, &format!("{name}.loss"))[0];
    assert!(
        (loss - expected).abs() <= 1e-5 * expected.abs().max(1.0),
        "{name}: {loss} instead of {expected}"
    );
    let mut gradients = total.backward();
    let mut compare = |tensor: &Tensor<2>, column: &str, expected: Vec<f32>| {
        let found = to_host(tensor.grad_remove(&mut gradients).unwrap());
        let largest = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found - expected).abs() <= 1e-5 * largest.max(1.0),
                "{name}, {column}: {found} {expected}"
            );
        }
    };
    compare(&query, "query", values(&arrays, &format!("{name}.query")));
    compare(&document, "document", values(&arrays, &format!("{name}.document")));
    if own {
        compare(
            &negatives,
            "negatives",
            by_row(["first", "second"].map(|column| format!("{name}.{column}"))),
        );
    }
}

#[test]
fn losses_and_gradients_are_those_of_sentence_transformers() {
    for (softmax, name) in
        [(Softmax::QueryToDocument, "forward"), (Softmax::Symmetric, "symmetric"), (Softmax::Joint, "joint")]
    {
        let pairs = pairs(softmax, PLAIN);
        agrees(&pairs, name, false);
        agrees(&pairs, &format!("{name}_own"), true);
    }
}

#[test]
fn harder_negatives_weigh_more_as_in_sentence_transformers() {
    for (hardness, name) in [
        ((9.0, Weighted::InBatch), "hard_in_batch"),
        ((5.0, Weighted::Own), "hard_own"),
        ((5.0, Weighted::All), "hard_all"),
    ] {
        let weights = Weights { hardness, ..PLAIN };
        agrees(&pairs(Softmax::QueryToDocument, weights), name, true);
    }
}

#[test]
fn leading_coordinates_are_compared_too_as_in_sentence_transformers() {
    let mut pairs = pairs(Softmax::QueryToDocument, PLAIN);
    pairs.dimensions = vec![(2, 2.0), (4, 0.5), (LENGTH, 1.0)];
    agrees(&pairs, "matryoshka", false);
}

/// Queries and documents of the guide side by side.
fn frozen() -> Vec<f32> {
    let arrays = fixture();
    let [query, document] = ["frozen_query", "frozen_document"].map(|name| values(&arrays, name));
    let rows = query.chunks_exact(LENGTH).zip(document.chunks_exact(LENGTH));
    rows.flat_map(|(query, document)| [query, document].concat()).collect()
}

#[test]
fn what_is_too_similar_by_the_last_refresh_is_left_out_as_in_gist() {
    let mut pairs = pairs(Softmax::QueryToDocument, PLAIN);
    pairs.admission.ceiling = Some(Ceiling { share: 0.95, rows: Vec::new(), columns: 0 });
    // Before the first refresh nothing is known.
    agrees(&pairs, "forward", false);
    let frozen = frozen();
    pairs.refreshed(Rows::new(&frozen, 2 * LENGTH).unwrap());
    agrees(&pairs, "gist", false);
    let state = pairs.state();
    let mut again = self::pairs(Softmax::QueryToDocument, PLAIN);
    again.admission.ceiling = Some(Ceiling { share: 0.95, rows: Vec::new(), columns: 0 });
    again.restore(&state, &Device::flex()).unwrap();
    agrees(&again, "gist", false);
}

#[test]
fn an_own_negative_weighs_e_to_the_w_and_others_do_not() {
    let arrays = fixture();
    let side = |name: &str, view: u32| {
        let vectors = from_host(values(&arrays, name), [ROWS, LENGTH], &Device::flex());
        Side::new(vectors, &[0, 1, 2, 3, 4, 5], view).leading(LENGTH)
    };
    let (query, own) = (side("query", 0), side("first", 2));
    let weights = Weights { own: 0.7, ..PLAIN };
    let added = to_host(weights.added(&query, &own, 0.05).unwrap());
    for (at, added) in added.into_iter().enumerate() {
        let expected = if at / ROWS == at % ROWS { 0.7 * 0.05 } else { 0.0 };
        assert!((added - expected).abs() < 1e-6, "{at}: {added}");
    }
}

#[test]
fn answers_by_the_data_are_no_negatives_in_any_direction() {
    // Row 2 has the document of row 0; row 3 the query of row 0; the own negative of row 1 answers the query of row 4.
    let rows: [&[u32]; 6] = [&[0, 10], &[1, 11, 14, 20], &[2, 10], &[0, 13], &[4, 14], &[5, 15]];
    let relevance = Relevance::new(rows, []).unwrap();
    let admission = Admission { relevance: Some(Arc::new(relevance)), ceiling: None };
    let queries: Vec<RowId> = (0..6).map(|instance| RowId { instance, view: 0 }).collect();
    let mut documents: Vec<RowId> = (0..6).map(|instance| RowId { instance, view: 1 }).collect();
    documents.extend([2, 3].map(|view| RowId { instance: 1, view }));
    let left_out = |anchors: &[RowId], candidates: &[RowId]| {
        let mask = admission.mask(anchors, candidates, Own::Pair).unwrap();
        (0..anchors.len()).map(|anchor| mask.of(anchor).to_vec()).collect::<Vec<_>>()
    };
    let of_queries = left_out(&queries, &documents);
    assert_eq!(of_queries, [&[0, 2, 3][..], &[1], &[0, 2], &[0, 2, 3], &[4, 6], &[5]]);
    let of_documents = left_out(&documents[..6], &queries);
    assert_eq!(of_documents, [&[0, 2, 3][..], &[1], &[0, 2, 3], &[0, 3], &[4], &[5]]);
}
