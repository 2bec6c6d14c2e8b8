//! Optimisers of the reference.

/// An optimiser by PyTorch's formulas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Adam with PyTorch's defaults.
    Adam {
        /// Learning rate.
        rate: f64,
    },
    /// SGD with momentum.
    Sgd {
        /// Learning rate.
        rate: f64,
        /// Factor on the velocity.
        momentum: f64,
        /// Whether it looks ahead.
        nesterov: bool,
        /// Factor on the parameters that is added to their gradients.
        weight_decay: f64,
    },
}

impl Optimizer {
    /// One parameter: its value, its gradient and its two values of state, at step `steps` from 1.
    pub(super) fn step(self, steps: i32, p: &mut f64, g: f64, m: &mut f64, v: &mut f64) {
        match self {
            Optimizer::Adam { rate } => {
                *m = 0.9 * *m + 0.1 * g;
                *v = 0.999 * *v + 0.001 * g * g;
                let m_hat = *m / (1.0 - 0.9f64.powi(steps));
                let v_hat = *v / (1.0 - 0.999f64.powi(steps));
                *p -= rate * m_hat / (v_hat.sqrt() + 1e-8);
            }
            Optimizer::Sgd { rate, momentum, nesterov, weight_decay } => {
                let g = g + weight_decay * *p;
                *m = momentum * *m + g;
                *p -= rate * if nesterov { g + momentum * *m } else { *m };
            }
        }
    }
}
