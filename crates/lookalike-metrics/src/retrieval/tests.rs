use proptest::prelude::*;

use super::*;

/// Ids whose order as text is not that of the numbers.
fn ids(documents: usize) -> Vec<String> {
    (0..documents).map(|document| format!("d{document}")).collect()
}

fn one(ranking: &[(u32, f32)], judgements: &[(u32, u32, u32)], documents: usize) -> RetrievalScores {
    let judgements = Judgements::new(1, documents, judgements.iter().copied()).unwrap();
    evaluate(&[ranking.to_vec().into()], &judgements, &ids(documents)).unwrap()
}

#[test]
fn equal_scores_go_to_the_greater_id_as_text() {
    // d9 > d10 > d1 as text.
    let ranking = Ranking::from(vec![(1, 0.0), (10, -0.0), (9, 0.0), (2, -1.0), (3, 1.0)]);
    assert_eq!(ranking.ordered(&ids(11)), [3, 9, 10, 1, 2]);
    assert_eq!(one(&[(10, 0.5), (9, 0.5)], &[(0, 10, 1)], 11).mrr_at_10, 0.5);
    assert_eq!(one(&[(10, 0.5), (9, 0.5)], &[(0, 9, 1)], 11).mrr_at_10, 1.0);
}

#[test]
fn a_thousand_hits_count() {
    let hits: Vec<(u32, f32)> = (0..1002).map(|document| (document, -(document as f32))).collect();
    assert_eq!(one(&hits, &[(0, 999, 1)], 1002).map, 1e-3);
    assert_eq!(one(&hits, &[(0, 1000, 1)], 1002).map, 0.0);
}

#[test]
fn queries_without_relevant_documents_are_counted_and_those_without_hits_score_zero() {
    let judgements = Judgements::new(4, 3, [(0, 1, 1), (1, 2, 0), (3, 0, 2)]).unwrap();
    let rankings = [vec![(1, 1.0)], vec![(2, 1.0)], vec![], vec![]].map(Ranking::from);
    let each = evaluate_each(&rankings, &judgements, &ids(3)).unwrap();
    assert_eq!(
        each.iter().map(|scores| scores.map(|scores| scores.map)).collect::<Vec<_>>(),
        [Some(1.0), None, None, Some(0.0)]
    );
    let scores = evaluate(&rankings, &judgements, &ids(3)).unwrap();
    assert_eq!((scores.queries, scores.unjudged), (2, 2));
    assert_eq!((scores.ndcg_at_10, scores.recall_at_100, scores.precision_at_1), (0.5, 0.5, 0.5));
}

#[test]
fn the_hit_with_the_query_s_own_id_can_be_left_out() {
    let ids = ids(3);
    let ranking = Ranking::from(vec![(0, 0.1), (1, 1.0), (2, 0.3)]);
    assert_eq!(ranking.clone().without("d1", &ids).ordered(&ids), [2, 0]);
    assert_eq!(ranking.clone().without("q", &ids), ranking);
}

#[test]
fn inputs_that_cannot_be_are_named() {
    let judgements = |triples: &[(u32, u32, u32)]| Judgements::new(2, 3, triples.iter().copied());
    let error = |triples: &[(u32, u32, u32)]| judgements(triples).unwrap_err().to_string();
    assert_eq!(error(&[(0, 0, 1), (0, 3, 1)]), "judgement 1: document 3 is not below 3, how many there are");
    assert_eq!(error(&[(2, 0, 1)]), "judgement 0: query 2 is not below 2, how many there are");
    assert!(error(&[(1, 0, 0), (0, 0, 1), (1, 0, 1)]).starts_with("judgement 2: document 0 has a grade"));

    let good = judgements(&[(0, 0, 1)]).unwrap();
    assert_eq!((good.relevant(0), good.relevant(1), good.relevant(7)), (&[(0, 1)][..], &[][..], &[][..]));
    let error = |hits: &[(u32, f32)]| {
        let rankings = [Ranking::default(), hits.to_vec().into()];
        evaluate(&rankings, &good, &ids(3)).unwrap_err().to_string()
    };
    assert_eq!(error(&[(3, 0.0)]), "ranking 1: document 3 is not below 3, how many there are");
    assert_eq!(error(&[(1, 0.0), (2, 0.0), (1, 1.0)]), "ranking 1: document 1 is named twice");
    assert_eq!(error(&[(1, f32::NAN)]), "ranking 1: the score of document 1 is NaN; it must be finite");
    let rankings = vec![Ranking::default(); 2];
    let error =
        |rankings: &[Ranking], ids: &[String]| evaluate(rankings, &good, ids).unwrap_err().to_string();
    assert!(error(&rankings[1..], &ids(3)).contains("there are 1 rankings, but 2 are needed"));
    assert!(error(&rankings, &ids(2)).contains("there are 2 ids, but 3 are needed"));
    let nothing = judgements(&[(0, 0, 0)]).unwrap();
    let undefined = evaluate(&rankings, &nothing, &ids(3)).unwrap_err().to_string();
    assert!(undefined.contains("no query has relevant documents"));
}

/// Pairs of a document and what it has.
type Of<T> = Vec<(u32, T)>;

/// Documents with scores of few distinct values, so that many tie, and the grades of some.
fn ranked() -> impl Strategy<Value = (Of<f32>, Of<u32>)> {
    let hits =
        prop::collection::btree_map(0_u32..60, (0_u8..5).prop_map(|score| f32::from(score) / 4.0), 0..60);
    let grades = prop::collection::btree_map(0_u32..60, 1_u32..4, 1..20);
    (hits, grades).prop_map(|(hits, grades)| (hits.into_iter().collect(), grades.into_iter().collect()))
}

proptest! {
    #[test]
    fn the_order_of_the_input_does_not_matter(
        (hits, shuffled) in ranked().prop_flat_map(|(hits, grades)| {
            let shuffled = (Just(hits.clone()).prop_shuffle(), Just(grades.clone()).prop_shuffle());
            (Just((hits, grades)), shuffled)
        }),
    ) {
        let triples = |grades: &[(u32, u32)]| -> Vec<(u32, u32, u32)> {
            grades.iter().map(|(document, grade)| (0, *document, *grade)).collect()
        };
        let (first, second) = ((&hits.0, triples(&hits.1)), (&shuffled.0, triples(&shuffled.1)));
        prop_assert_eq!(one(first.0, &first.1, 60), one(second.0, &second.1, 60));
    }

    #[test]
    fn scores_are_shares_and_one_for_the_perfect_ranking((hits, grades) in ranked()) {
        let triples: Vec<(u32, u32, u32)> = grades.iter().map(|(document, grade)| (0, *document, *grade)).collect();
        let values = |found: RetrievalScores| {
            [found.ndcg_at_1, found.ndcg_at_10, found.ndcg_at_100, found.map, found.mrr_at_10, found.recall_at_100]
        };
        for value in values(one(&hits, &triples, 60)) {
            prop_assert!((0.0..=1.0 + 1e-12).contains(&value), "{}", value);
        }
        let perfect: Vec<(u32, f32)> = grades.iter().map(|(document, grade)| (*document, *grade as f32)).collect();
        for value in values(one(&perfect, &triples, 60)) {
            prop_assert!((value - 1.0).abs() < 1e-12, "{}", value);
        }
    }
}
