//! What tells sets of graphs apart, wherever their files lie: a hash of everything that was read from them.

use crate::checksum::Checksum;
use lookalike_base::Matrix;
use lookalike_kernels::sparse::Csr;

/// SHA-256 of parts one after the other, each behind its kind and length, so that no two sets are the same
/// bytes.
#[derive(Default)]
pub(super) struct ContentHash(Checksum);

impl ContentHash {
    pub(super) fn part<const N: usize>(
        &mut self,
        kind: &str,
        numbers: impl ExactSizeIterator<Item = [u8; N]>,
    ) {
        self.0.update(kind);
        self.0.update((numbers.len() as u64).to_le_bytes());
        // In blocks: a call a number would take longer than the hash.
        let mut block = Vec::with_capacity(1 << 12);
        for number in numbers {
            block.extend_from_slice(&number);
            if block.len() >= 1 << 12 {
                self.0.update(&block);
                block.clear();
            }
        }
        self.0.update(&block);
    }

    pub(super) fn edges(&mut self, edges: &Csr) {
        self.part("ends", edges.offsets().iter().map(|end| (*end as u64).to_le_bytes()));
        self.part("columns", edges.columns().iter().map(|column| column.to_le_bytes()));
    }

    pub(super) fn matrix(&mut self, kind: &str, matrix: &Matrix) {
        self.part(kind, matrix.rows().values().iter().map(|value| value.to_le_bytes()));
    }

    pub(super) fn numbers(&mut self, kind: &str, numbers: &[u32]) {
        self.part(kind, numbers.iter().map(|number| number.to_le_bytes()));
    }

    pub(super) fn names(&mut self, names: &[String]) {
        self.part("names", names.iter().map(|name| (name.len() as u64).to_le_bytes()));
        for name in names {
            self.0.update(name);
        }
    }

    pub(super) fn digest(self) -> String {
        format!("sha256 {}", self.0.hexadecimal())
    }
}
