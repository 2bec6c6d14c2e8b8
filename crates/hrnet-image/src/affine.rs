//! Affine maps of the plane.

/// An affine map of the plane: `[[a, b, c], [d, e, f]]` sends (x, y) to (a x + b y + c, d x + e y + f).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine(pub [[f64; 3]; 2]);

impl Affine {
    /// The map that changes nothing.
    pub const IDENTITY: Self = Self([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);

    /// The image of a point.
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [[a, b, c], [d, e, f]] = self.0;
        [a * x + b * y + c, d * x + e * y + f]
    }

    /// The area of the image of a unit square; negative for a map that mirrors.
    pub fn determinant(&self) -> f64 {
        let [[a, b, _], [d, e, _]] = self.0;
        a * e - b * d
    }

    /// The map back; `None` when the plane collapses or a coefficient is not finite.
    pub fn inverse(&self) -> Option<Self> {
        let [[a, b, c], [d, e, f]] = self.0;
        let det = self.determinant();
        let scale = 1.0 / det;
        if det == 0.0 || !scale.is_finite() || !self.0.iter().flatten().all(|v| v.is_finite()) {
            return None;
        }
        let (ia, ib, id, ie) = (e * scale, -b * scale, -d * scale, a * scale);
        Some(Self([[ia, ib, -(ia * c + ib * f)], [id, ie, -(id * c + ie * f)]]))
    }

    /// This map first, then `next`.
    pub fn then(&self, next: &Self) -> Self {
        let [[a, b, c], [d, e, f]] = self.0;
        let linear = |[p, q, r]: [f64; 3]| [p * a + q * d, p * b + q * e, p * c + q * f + r];
        Self(next.0.map(linear))
    }

    /// The map that sends three points to three others; `None` when the sources lie on one line.
    pub fn from_points(source: [[f64; 2]; 3], target: [[f64; 2]; 3]) -> Option<Self> {
        let [p, q, r] = source;
        let (ux, uy, vx, vy) = (q[0] - p[0], q[1] - p[1], r[0] - p[0], r[1] - p[1]);
        let det = ux * vy - uy * vx;
        if det == 0.0 || !det.is_finite() {
            return None;
        }
        let row = |i: usize| {
            let (du, dv) = (target[1][i] - target[0][i], target[2][i] - target[0][i]);
            let a = (du * vy - dv * uy) / det;
            let b = (dv * ux - du * vx) / det;
            [a, b, target[0][i] - a * p[0] - b * p[1]]
        };
        Some(Self([row(0), row(1)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: [f64; 2], b: [f64; 2], tolerance: f64) -> bool {
        (a[0] - b[0]).abs() <= tolerance && (a[1] - b[1]).abs() <= tolerance
    }

    #[test]
    fn degenerate_maps_have_no_inverse() {
        assert_eq!(Affine([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]]).inverse(), None);
        assert_eq!(Affine([[f64::NAN, 0.0, 0.0], [0.0, 1.0, 0.0]]).inverse(), None);
        let line = [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]];
        assert_eq!(Affine::from_points(line, line), None);
    }

    proptest! {
        #[test]
        fn three_points_define_the_map(coefficients in prop::array::uniform6(-3.0..3.0f64)) {
            let [a, b, c, d, e, f] = coefficients;
            let t = Affine([[a, b, c], [d, e, f]]);
            let source = [[3.0, 4.0], [50.0, 7.0], [11.0, 90.0]];
            let found = Affine::from_points(source, source.map(|p| t.apply(p))).unwrap();
            prop_assert!(close(found.apply([77.0, -5.0]), t.apply([77.0, -5.0]), 1e-9));
        }
    }
}
