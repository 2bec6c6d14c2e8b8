//! Test-time flipping: mirror the input, bring the maps back, average.

/// Mirrors every row of planes `[n, h, w]` in place. Used on inputs; it is its own inverse.
pub fn mirror_planes(data: &mut [f32], width: usize) {
    data.chunks_exact_mut(width).for_each(<[f32]>::reverse);
}

/// Brings maps `[joints, h, w]` of a mirrored input back: mirrors the rows and exchanges the maps of each pair. Its own inverse.
///
/// # Panics
/// When `maps` has not `permutation.len()` maps.
pub fn flip_maps_back(maps: &mut [f32], height: usize, width: usize, permutation: &[usize]) {
    let size = height * width;
    assert_eq!(maps.len(), size * permutation.len(), "one map of {width}x{height} per joint");
    mirror_planes(maps, width);
    for (i, &j) in permutation.iter().enumerate() {
        if i < j {
            let (head, tail) = maps.split_at_mut(j * size);
            head[i * size..(i + 1) * size].swap_with_slice(&mut tail[..size]);
        }
    }
}

/// The official `SHIFT_HEATMAP`: moves every row one pixel to the right; the first column stays.
pub fn shift_maps_right(maps: &mut [f32], width: usize) {
    for row in maps.chunks_exact_mut(width) {
        row.copy_within(0..width - 1, 1);
    }
}

/// The mean of two sets of maps, into the first.
///
/// # Panics
/// When the lengths differ.
pub fn average(maps: &mut [f32], other: &[f32]) {
    assert_eq!(maps.len(), other.len(), "both sets have the same maps");
    for (a, b) in maps.iter_mut().zip(other) {
        *a = (*a + b) * 0.5;
    }
}

/// The flip test of heat maps: the mean of `maps` and of the maps of the mirrored input, brought back. `shift` moves the
/// latter one pixel to the right first, as the official pose code does to make up for its biased resize; maps of unbiased
/// inputs (this crate's default crops, and UDP) need none.
///
/// # Panics
/// When a length does not fit.
pub fn merge_flip(
    maps: &mut [f32],
    mut flipped: Vec<f32>,
    height: usize,
    width: usize,
    permutation: &[usize],
    shift: bool,
) {
    flip_maps_back(&mut flipped, height, width, permutation);
    if shift {
        shift_maps_right(&mut flipped, width);
    }
    average(maps, &flipped);
}
