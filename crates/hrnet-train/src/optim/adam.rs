//! Adam and AdamW as in PyTorch. `m = m + (1 - b1)(g - m)`, `v = b2 v + (1 - b2) g^2`,
//! `p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)`. Adam adds `wd p` to the gradient; AdamW first takes
//! `lr wd p` off the parameter.

/// What is the same for all parameters of a step.
pub(super) struct Scalars {
    rate: f64,
    step_size: f32,
    root: f32,
    one_minus_b1: f32,
    b2: f32,
    one_minus_b2: f32,
    eps: f32,
    decoupled: bool,
}

impl Scalars {
    /// For step `t`, from 1.
    pub fn new(rate: f64, betas: (f64, f64), eps: f64, t: u64, decoupled: bool) -> Self {
        let correction = |beta: f64| 1.0 - beta.powf(t as f64);
        Self {
            rate,
            step_size: (rate / correction(betas.0)) as f32,
            root: correction(betas.1).sqrt() as f32,
            one_minus_b1: (1.0 - betas.0) as f32,
            b2: betas.1 as f32,
            one_minus_b2: (1.0 - betas.1) as f32,
            eps: eps as f32,
            decoupled,
        }
    }
}

pub(super) fn update(
    values: &mut [f32],
    grads: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    s: &Scalars,
    weight_decay: f64,
) {
    let coupled = if s.decoupled { 0.0 } else { weight_decay as f32 };
    let keep = if s.decoupled { (1.0 - s.rate * weight_decay) as f32 } else { 1.0 };
    for (((p, &g), m), v) in values.iter_mut().zip(grads).zip(first).zip(second) {
        let g = g + coupled * *p;
        *m += s.one_minus_b1 * (g - *m);
        *v = s.b2 * *v + s.one_minus_b2 * g * g;
        let denominator = v.sqrt() / s.root + s.eps;
        *p = keep * *p - s.step_size * (*m / denominator);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same in f64 from the paper's formulas.
    fn reference(grads: &[f64], decay: f64, decoupled: bool) -> f64 {
        let (mut p, mut m, mut v) = (1.0, 0.0, 0.0);
        for (t, g) in grads.iter().enumerate() {
            let t = t as i32 + 1;
            let g = if decoupled { *g } else { g + decay * p };
            if decoupled {
                p -= 0.01 * decay * p;
            }
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let (m_hat, v_hat) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
            p -= 0.01 * m_hat / (v_hat.sqrt() + 1e-8);
        }
        p
    }

    #[test]
    fn follows_the_formulas() {
        let grads = [0.5, -0.25, 0.125, 3.0, -1.0];
        for (decay, decoupled) in [(0.0, false), (0.1, false), (0.1, true)] {
            let (mut p, mut m, mut v) = ([1.0f32], [0.0f32], [0.0f32]);
            for (t, &g) in grads.iter().enumerate() {
                let s = Scalars::new(0.01, (0.9, 0.999), 1e-8, t as u64 + 1, decoupled);
                update(&mut p, &[g as f32], &mut m, &mut v, &s, decay);
            }
            let wanted = reference(&grads, decay, decoupled);
            assert!((f64::from(p[0]) - wanted).abs() < 1e-6, "{decay} {decoupled}: {} {wanted}", p[0]);
        }
    }
}
