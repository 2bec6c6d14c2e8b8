//! SGD as in PyTorch (dampening 0): `g += wd p; b = m b + g; p -= lr (g + m b)` with Nesterov, `p -= lr b` without.
//!
//! PyTorch starts the buffer with the first gradient; with dampening 0 that is what a buffer of zeros gives.

pub(super) fn update(
    values: &mut [f32],
    grads: &[f32],
    buffer: &mut [f32],
    rate: f64,
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
) {
    let (rate, momentum, decay) = (rate as f32, momentum as f32, weight_decay as f32);
    if buffer.is_empty() {
        for (p, &g) in values.iter_mut().zip(grads) {
            *p -= rate * (g + decay * *p);
        }
        return;
    }
    for ((p, &g), b) in values.iter_mut().zip(grads).zip(buffer) {
        let g = g + decay * *p;
        *b = momentum * *b + g;
        let direction = if nesterov { g + momentum * *b } else { *b };
        *p -= rate * direction;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_recurrence_by_hand() {
        // p = 1, g = 0.5, lr 0.1, momentum 0.9, decay 0.
        let (mut p, mut b) = ([1.0f32], [0.0f32]);
        update(&mut p, &[0.5], &mut b, 0.1, 0.9, false, 0.0);
        assert!((p[0] - 0.95).abs() < 1e-7 && b[0] == 0.5);
        update(&mut p, &[0.5], &mut b, 0.1, 0.9, false, 0.0);
        assert!((p[0] - (0.95 - 0.1 * 0.95)).abs() < 1e-7);
        let (mut p, mut b) = ([1.0f32], [0.0f32]);
        update(&mut p, &[0.5], &mut b, 0.1, 0.9, true, 0.0);
        assert!((p[0] - (1.0 - 0.1 * 0.95)).abs() < 1e-7);
        let mut p = [2.0f32];
        update(&mut p, &[0.5], &mut [], 0.1, 0.0, false, 0.25);
        assert!((p[0] - (2.0 - 0.1 * 1.0)).abs() < 1e-7);
    }
}
