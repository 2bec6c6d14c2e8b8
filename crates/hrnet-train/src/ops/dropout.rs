//! Dropout of whole channels.

use super::ctx::{Ctx, Grads};
use hrnet_kernels as k;

/// A dropout with what it drew in the last forward pass.
#[derive(Default)]
pub(crate) struct DropoutLayer {
    /// Factors by image and channel.
    pub factors: Vec<f32>,
}

impl DropoutLayer {
    pub fn forward(&mut self, ctx: &Ctx, p: f64, dst: &mut [f32]) {
        let shape = ctx.x_shape();
        self.factors.clear();
        match &ctx.mode.draw {
            Some(draw) => draw.factors(&ctx.unit.name, p, shape.n, shape.c, &mut self.factors),
            None => self.factors.resize(shape.n * shape.c, 1.0),
        }
        k::scale_channels(ctx.pool, ctx.x(), shape, &self.factors, dst, false);
    }

    pub fn backward(&self, ctx: &Ctx, dy: &[f32], grads: &mut Grads) {
        if let Some((dx, accumulate)) = grads.first() {
            k::scale_channels(ctx.pool, dy, ctx.x_shape(), &self.factors, dx, accumulate);
        }
    }
}
