//! Products of matrices by blocks.

use faer::linalg::matmul::matmul;
use faer::traits::ComplexField;
use faer::traits::math_utils::one;
use faer::{Accum, MatMut, MatRef, Par};

/// `products` ← `left` · `right`ᵀ, on this thread alone.
///
/// # Shapes
/// `left` a×`columns`, `right` b×`columns`, `products` a×b, row-major.
pub(crate) fn rows_by_rows<T: ComplexField>(left: &[T], right: &[T], columns: usize, products: &mut [T]) {
    let (a, b) = (left.len() / columns, right.len() / columns);
    matmul(
        MatMut::from_row_major_slice_mut(products, a, b),
        Accum::Replace,
        MatRef::from_row_major_slice(left, a, columns),
        MatRef::from_row_major_slice(right, b, columns).transpose(),
        one::<T>(),
        Par::Seq,
    );
}

/// `products` ← `left`ᵀ · `right`, on this thread alone.
///
/// # Shapes
/// `left` `rows`×a, `right` `rows`×b, `products` a×b, row-major.
pub(crate) fn columns_by_columns(left: &[f32], right: &[f32], rows: usize, products: &mut [f32]) {
    let (a, b) = (left.len() / rows, right.len() / rows);
    matmul(
        MatMut::from_row_major_slice_mut(products, a, b),
        Accum::Replace,
        MatRef::from_row_major_slice(left, rows, a).transpose(),
        MatRef::from_row_major_slice(right, rows, b),
        1.0,
        Par::Seq,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_products_are_those_of_the_definition() {
        let left = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let right = [1.0, 0.0, -1.0, 2.0, 0.5, 1.0];
        let mut products = [0.0; 4];
        rows_by_rows(&left, &right, 3, &mut products);
        assert_eq!(products, [-2.0, 6.0, -2.0, 16.5]);
        let mut products = [0.0; 4];
        columns_by_columns(&left, &right, 3, &mut products);
        assert_eq!(products, [1.0 - 3.0 + 2.5, 6.0 + 5.0, 2.0 - 4.0 + 3.0, 8.0 + 6.0]);
    }
}
