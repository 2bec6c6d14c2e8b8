//! Peaks of the heat maps. Most of a map lies below the threshold: maxima of blocks of 32 pixels of a row tell where to look,
//! and serve the search of missing joints again.

use super::super::Protocol;
use super::aggregate::BLOCK;
use super::{Aggregated, Options};

/// A peak.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub x: usize,
    pub y: usize,
    pub score: f32,
    pub tag: Vec<f32>,
}

/// The best peaks of every joint, best first; of equal ones the first of the map.
pub(super) fn find(maps: &Aggregated, options: &Options) -> Vec<Vec<Found>> {
    let mut candidates: Vec<(f32, usize)> = Vec::new();
    let per_row = maps.width.div_ceil(BLOCK);
    (0..maps.joints)
        .map(|joint| {
            candidates.clear();
            let heat = maps.heat(joint);
            for (i, &maximum) in maps.maxima(joint).iter().enumerate() {
                if maximum > options.detection_threshold {
                    let (y, first) = (i / per_row, i % per_row * BLOCK);
                    for x in first..(first + BLOCK).min(maps.width) {
                        let v = heat[y * maps.width + x];
                        if v > options.detection_threshold
                            && v.is_finite()
                            && is_peak(maps, heat, x, y, options)
                        {
                            candidates.push((v, y * maps.width + x));
                        }
                    }
                }
            }
            let better = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
            if candidates.len() > options.max_people {
                candidates.select_nth_unstable_by(options.max_people - 1, better);
                candidates.truncate(options.max_people);
            }
            candidates.sort_unstable_by(better);
            let found = candidates.iter().map(|&(score, i)| {
                let (x, y) = (i % maps.width, i / maps.width);
                Found { x, y, score, tag: (0..maps.tag_len()).map(|t| maps.tag(t, joint, x, y)).collect() }
            });
            found.collect()
        })
        .collect()
}

/// Whether no pixel of the window is larger; in the default also none before it is equal.
fn is_peak(maps: &Aggregated, heat: &[f32], x: usize, y: usize, options: &Options) -> bool {
    let reach = options.nms_kernel / 2;
    let here = y * maps.width + x;
    let v = heat[here];
    let once = options.protocol == Protocol::Default;
    let columns = x.saturating_sub(reach)..(x + reach + 1).min(maps.width);
    (y.saturating_sub(reach)..(y + reach + 1).min(maps.height)).all(|row| {
        columns.clone().all(|column| {
            let i = row * maps.width + column;
            !(heat[i] > v || (once && i < here && heat[i] == v))
        })
    })
}
