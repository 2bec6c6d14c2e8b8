//! Colours by lightness, chroma and hue, in the OKLab space of Björn Ottosson (2020): equal steps look equal.

/// The sRGB colour of an OKLCh triple, hue in degrees. Chroma is lowered until the colour exists.
pub fn from_oklch(lightness: f64, chroma: f64, hue: f64) -> [u8; 3] {
    let (sin, cos) = hue.to_radians().sin_cos();
    let mut chroma = chroma;
    for _ in 0..160 {
        let linear = linear_rgb(lightness, chroma * cos, chroma * sin);
        if linear.iter().all(|v| (-1e-4..=1.0001).contains(v)) {
            break;
        }
        chroma *= 0.985;
    }
    linear_rgb(lightness, chroma * cos, chroma * sin).map(|v| {
        let v = v.clamp(0.0, 1.0);
        let gamma = if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
        (gamma * 255.0).round() as u8
    })
}

/// Linear sRGB of an OKLab triple; the numbers are those of the definition.
fn linear_rgb(lightness: f64, a: f64, b: f64) -> [f64; 3] {
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548 * b).powi(3);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701 * s,
    ]
}

/// Colours of persons, curves and bars: as different as their number allows, none too light for a white ground.
pub fn accent(index: usize) -> [u8; 3] {
    const FIRST: [[u8; 3]; 8] = [
        [0, 114, 206],
        [230, 97, 1],
        [0, 150, 110],
        [200, 30, 110],
        [120, 80, 200],
        [150, 110, 0],
        [0, 160, 190],
        [190, 40, 30],
    ];
    FIRST.get(index).copied().unwrap_or_else(|| {
        let turn = (index - FIRST.len()) as f64;
        from_oklch(0.55 + 0.1 * (turn * 0.5).fract(), 0.16, turn * 137.507_764)
    })
}

/// A map from 0..=1 to colours whose lightness rises evenly from near black over violet, red and orange to pale yellow.
pub fn heat(value: f64) -> [u8; 3] {
    let v = if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 };
    let chroma = 0.03 + 0.2 * (std::f64::consts::PI * v.powf(0.8)).sin();
    from_oklch(0.14 + 0.82 * v, chroma, 285.0 + 185.0 * v)
}
