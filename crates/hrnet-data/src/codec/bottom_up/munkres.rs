//! The cheapest assignment by Munkres' method of starred and primed zeros, for the official protocol: where several assignments
//! cost the same, which one is found depends on the order in which zeros are looked for, and persons depend on that. Zeros are
//! taken here in the order of the package that the published code calls (munkres 1.x), with the same sums.
//!
//! * Missing rows are rows of zeros.
//! * Each row's least cost is taken off; zeros are starred row by row, the first of each row that is free.
//! * An uncovered zero is looked for from the row and column of the last one on, around the end; of the first row that has
//!   one, the last in that order counts.

use super::assign;

/// For every row of `cost` (`rows * columns`, row-major, `rows <= columns`, finite numbers) the column it gets.
pub(super) fn munkres(cost: &[f64], rows: usize, columns: usize) -> Vec<usize> {
    let n = columns;
    let mut c = cost.to_vec();
    c.resize(n * n, 0.0);
    for row in c.chunks_exact_mut(n.max(1)) {
        let least = row.iter().copied().fold(f64::INFINITY, f64::min);
        row.iter_mut().for_each(|v| *v -= least);
    }
    let mut state = State {
        n,
        c,
        row_covered: vec![false; n],
        column_covered: vec![false; n],
        star: vec![None; n],
        prime: vec![None; n],
    };
    for row in 0..n {
        let free = |column: &usize| state.c[row * n + column] == 0.0 && !state.column_covered[*column];
        if let Some(column) = (0..n).find(free) {
            state.star[row] = Some(column);
            state.column_covered[column] = true;
        }
    }
    // Each search either stars one more zero or makes another zero; sums that lose every bit could go on for ever.
    let mut left = 4 * n * n * n.max(8);
    'stars: loop {
        for column in state.star.iter().flatten() {
            state.column_covered[*column] = true;
        }
        if state.star.iter().all(Option::is_some) {
            return state.star.into_iter().take(rows).flatten().collect();
        }
        let mut from = [0, 0];
        loop {
            left = left.saturating_sub(1);
            if left == 0 {
                return assign(cost, rows, columns);
            }
            let Some([row, column]) = state.zero(from) else {
                state.shift();
                from = [0, 0];
                continue;
            };
            state.prime[row] = Some(column);
            match state.star[row] {
                Some(starred) => {
                    state.row_covered[row] = true;
                    state.column_covered[starred] = false;
                    from = [row, starred];
                }
                None => {
                    state.exchange(row, column);
                    continue 'stars;
                }
            }
        }
    }
}

struct State {
    n: usize,
    c: Vec<f64>,
    row_covered: Vec<bool>,
    column_covered: Vec<bool>,
    /// The starred zero of each row.
    star: Vec<Option<usize>>,
    /// The primed zero of each row.
    prime: Vec<Option<usize>>,
}

impl State {
    /// An uncovered zero.
    fn zero(&self, [row, column]: [usize; 2]) -> Option<[usize; 2]> {
        let around = |from: usize| (from..self.n).chain(0..from);
        around(row).filter(|&r| !self.row_covered[r]).find_map(|r| {
            let zero = |c: &usize| self.c[r * self.n + c] == 0.0 && !self.column_covered[*c];
            around(column).rfind(zero).map(|c| [r, c])
        })
    }

    /// Makes an uncovered zero: the least uncovered number is taken off uncovered columns and added to covered rows.
    fn shift(&mut self) {
        let n = self.n;
        let mut least = f64::INFINITY;
        for r in (0..n).filter(|&r| !self.row_covered[r]) {
            for c in (0..n).filter(|&c| !self.column_covered[c]) {
                least = least.min(self.c[r * n + c]);
            }
        }
        for (row, &covered) in self.c.chunks_exact_mut(n).zip(&self.row_covered) {
            for (v, &column_covered) in row.iter_mut().zip(&self.column_covered) {
                // Both where both apply: the sum is rounded twice.
                if covered {
                    *v += least;
                }
                if !column_covered {
                    *v -= least;
                }
            }
        }
    }

    /// Exchanges stars and primes along the path that begins at a primed zero, and uncovers all.
    fn exchange(&mut self, row: usize, column: usize) {
        let (mut row, mut column) = (row, column);
        loop {
            let owner = (0..self.n).find(|&r| r != row && self.star[r] == Some(column));
            self.star[row] = Some(column);
            // A row whose star is on the path has a primed zero.
            let Some((owner, next)) = owner.and_then(|o| Some((o, self.prime[o]?))) else { break };
            (row, column) = (owner, next);
        }
        self.row_covered.fill(false);
        self.column_covered.fill(false);
        self.prime.fill(None);
    }
}
