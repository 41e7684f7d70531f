//! Attention as it is defined, in f64, score by score.

use super::{Case, PROBABILITY};
use crate::dropout::{bits, threshold};

pub(super) struct Twin<'a> {
    case: &'a Case,
    /// Queries, keys and values, and the bias.
    parts: [Vec<f64>; 2],
}

/// A query of a head of a text.
#[derive(Clone, Copy)]
struct Query {
    text: usize,
    head: usize,
    token: usize,
}

impl<'a> Twin<'a> {
    pub(super) fn new(case: &'a Case) -> Self {
        let widen = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect();
        let bias = case.bias.as_ref().map_or(Vec::new(), |(values, _)| widen(values));
        Self { case, parts: [widen(&case.qkv), bias] }
    }

    /// The place of a value of a token: the part is 0 for query, 1 for key, 2 for value.
    fn place(&self, text: usize, token: usize, part: usize, head: usize, column: usize) -> usize {
        let Case { width, heads, offsets, .. } = self.case;
        ((offsets[text] + token) * 3 + part) * width + head * (width / heads) + column
    }

    fn own(&self) -> usize {
        self.case.width / self.case.heads
    }

    fn tokens(&self, text: usize) -> usize {
        self.case.offsets[text + 1] - self.case.offsets[text]
    }

    /// The place of a bias.
    fn bias(&self, of: Query, key: usize) -> Option<usize> {
        let (_, buckets) = self.case.bias.as_ref()?;
        let bucket = buckets[key + buckets.len().div_ceil(2) - 1 - of.token];
        Some(bucket as usize * self.case.heads + of.head)
    }

    fn queries(&self) -> impl Iterator<Item = Query> {
        (0..self.case.offsets.len() - 1).flat_map(move |text| {
            (0..self.case.heads)
                .flat_map(move |head| (0..self.tokens(text)).map(move |token| Query { text, head, token }))
        })
    }

    /// The probability of each key and what dropout multiplies it by.
    fn probabilities(&self, of: Query) -> Vec<[f64; 2]> {
        let Query { text, head, token: query } = of;
        let tokens = self.tokens(text);
        let at = |token, part, column| self.parts[0][self.place(text, token, part, head, column)];
        let powers: Vec<f64> = (0..tokens)
            .map(|key| {
                if self.case.window.is_some_and(|window| key.abs_diff(query) > window) {
                    return 0.0;
                }
                let product: f64 =
                    (0..self.own()).map(|column| at(query, 0, column) * at(key, 1, column)).sum();
                let bias = self.bias(of, key).map_or(0.0, |place| self.parts[1][place]);
                (product / (self.own() as f64).sqrt() + bias).exp()
            })
            .collect();
        let sum: f64 = powers.iter().sum();
        let mask = |key| match &self.case.dropped {
            Some(keys) => {
                let counter = ((head * tokens + query) * tokens + key) as u32;
                let kept = bits(keys[text], counter) >> 8 >= threshold(PROBABILITY);
                if kept { 1.0 / (1.0 - f64::from(PROBABILITY)) } else { 0.0 }
            }
            None => 1.0,
        };
        powers.iter().enumerate().map(|(key, power)| [power / sum, mask(key)]).collect()
    }

    pub(super) fn output(&self) -> Vec<f64> {
        let mut output = vec![0.0; self.case.gradient.len()];
        for of in self.queries() {
            for (key, [probability, mask]) in self.probabilities(of).into_iter().enumerate() {
                for column in 0..self.own() {
                    let value = self.parts[0][self.place(of.text, key, 2, of.head, column)];
                    output[self.result(of, column)] += probability * mask * value;
                }
            }
        }
        output
    }

    /// The place of a result.
    fn result(&self, of: Query, column: usize) -> usize {
        (self.case.offsets[of.text] + of.token) * self.case.width + of.head * self.own() + column
    }

    /// The gradients of queries, keys and values, and of the bias, by the chain rule.
    pub(super) fn gradients(&self) -> (Vec<f64>, Vec<f64>) {
        let [mut of_qkv, mut of_bias] = self.parts.each_ref().map(|values| vec![0.0; values.len()]);
        let root = (self.own() as f64).sqrt();
        for of in self.queries() {
            let probabilities = self.probabilities(of);
            let place = |token, part, column| self.place(of.text, token, part, of.head, column);
            let gradient = |column| f64::from(self.case.gradient[self.result(of, column)]);
            let of_probabilities: Vec<f64> = probabilities
                .iter()
                .enumerate()
                .map(|(key, [_, mask])| {
                    let values = (0..self.own()).map(|column| self.parts[0][place(key, 2, column)]);
                    mask * values.enumerate().map(|(column, value)| gradient(column) * value).sum::<f64>()
                })
                .collect();
            let mean: f64 = probabilities.iter().zip(&of_probabilities).map(|(p, of)| p[0] * of).sum();
            for (key, [probability, mask]) in probabilities.into_iter().enumerate() {
                let of_score = probability * (of_probabilities[key] - mean);
                if let Some(place) = self.bias(of, key) {
                    of_bias[place] += of_score;
                }
                for column in 0..self.own() {
                    of_qkv[place(key, 2, column)] += probability * mask * gradient(column);
                    let [query, key] = [place(of.token, 0, column), place(key, 1, column)];
                    of_qkv[query] += of_score * self.parts[0][key] / root;
                    of_qkv[key] += of_score * self.parts[0][query] / root;
                }
            }
        }
        (of_qkv, of_bias)
    }

    /// The sum of the output times the gradient, as it changes with one number of a part.
    pub(super) fn difference(&self, part: usize, place: usize) -> f64 {
        const STEP: f64 = 1e-5;
        let loss = |step: f64| -> f64 {
            let mut twin = Twin { case: self.case, parts: self.parts.clone() };
            twin.parts[part][place] += step;
            let output = twin.output();
            output.iter().zip(&self.case.gradient).map(|(one, other)| one * f64::from(*other)).sum()
        };
        (loss(STEP) - loss(-STEP)) / (2.0 * STEP)
    }
}
