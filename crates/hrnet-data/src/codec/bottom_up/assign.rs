//! The assignment of rows to columns with the least total cost: shortest augmenting paths with potentials (Kuhn 1955, Munkres
//! 1957; in the form of Jonker and Volgenant 1987). O(rows² columns).

/// For every row of `cost` (`rows * columns`, row-major) the column it gets. Costs that are not finite, or beyond 1e12, count as 1e12.
///
/// # Panics
/// When there are more rows than columns, or `cost` has another length.
pub fn assign(cost: &[f64], rows: usize, columns: usize) -> Vec<usize> {
    const BIG: f64 = 1e12;
    assert!(rows <= columns && cost.len() == rows * columns, "{rows} rows, {columns} columns");
    let at = |row: usize, column: usize| {
        let c = cost[row * columns + column];
        if c.is_finite() { c.clamp(-BIG, BIG) } else { BIG }
    };
    // Column `columns` is the root of each search. `owner[c]` is the row of column c.
    let free = usize::MAX;
    let (mut u, mut v) = (vec![0.0; rows], vec![0.0; columns + 1]);
    let mut owner = vec![free; columns + 1];
    let (mut before, mut slack, mut done) =
        (vec![columns; columns], vec![0.0; columns], vec![false; columns + 1]);
    for row in 0..rows {
        owner[columns] = row;
        slack.fill(f64::INFINITY);
        done.fill(false);
        let mut here = columns;
        while owner[here] != free {
            done[here] = true;
            let r = owner[here];
            let (mut step, mut next) = (f64::INFINITY, columns);
            for c in 0..columns {
                if done[c] {
                    continue;
                }
                let reduced = at(r, c) - u[r] - v[c];
                if reduced < slack[c] {
                    slack[c] = reduced;
                    before[c] = here;
                }
                if slack[c] < step {
                    step = slack[c];
                    next = c;
                }
            }
            for c in 0..=columns {
                if done[c] {
                    u[owner[c]] += step;
                    v[c] -= step;
                } else if c < columns {
                    slack[c] -= step;
                }
            }
            here = next;
        }
        // Along the path back to the root every column takes over its predecessor's row.
        while here != columns {
            let from = before[here];
            owner[here] = owner[from];
            here = from;
        }
    }
    let mut result = vec![0; rows];
    for (column, &row) in owner[..columns].iter().enumerate() {
        if row != free {
            result[row] = column;
        }
    }
    result
}
