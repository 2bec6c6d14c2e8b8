//! Grouping of peaks into persons, joint by joint, by the distance of their tags from the mean tags of the persons so far.

use super::super::Protocol;
use super::munkres::munkres;
use super::peaks::Found;
use super::{Aggregated, Options, assign};

/// A person in the making.
pub(super) struct Group {
    /// Pixel and score per joint.
    pub joints: Vec<Option<(usize, usize, f32)>>,
    /// The first tag's first value: the official code's name of a person.
    key: f32,
    /// Sum and number of the tags.
    sum: Vec<f64>,
    /// The same with 32 bits, as the official code has it: it decides where distances are close to a half.
    short_sum: Vec<f32>,
    count: usize,
}

impl Group {
    fn new(joints: usize, found: &Found) -> Self {
        let n = found.tag.len();
        let (joints, key) = (vec![None; joints], found.tag[0]);
        Self { joints, key, sum: vec![0.0; n], short_sum: vec![0.0; n], count: 0 }
    }

    fn add(&mut self, joint: usize, found: &Found) {
        self.joints[joint] = Some((found.x, found.y, found.score));
        self.sum.iter_mut().zip(&found.tag).for_each(|(s, &t)| *s += f64::from(t));
        self.short_sum.iter_mut().zip(&found.tag).for_each(|(s, &t)| *s += t);
        self.count += 1;
    }

    fn distance(&self, tag: &[f32], protocol: Protocol) -> f64 {
        let mean = |i: usize| match protocol {
            Protocol::Official => f64::from(self.short_sum[i] / self.count as f32),
            Protocol::Default => self.sum[i] / self.count as f64,
        };
        tag.iter().enumerate().map(|(i, &t)| (f64::from(t) - mean(i)).powi(2)).sum::<f64>().sqrt()
    }
}

/// Starts a person, or, in the official protocol, overwrites the one of the same name.
fn start(groups: &mut Vec<Group>, joints: usize, joint: usize, found: &Found, options: &Options) {
    match options.protocol {
        Protocol::Official => {
            if let Some(same) = groups.iter_mut().find(|g| g.key == found.tag[0]) {
                same.sum.fill(0.0);
                same.short_sum.fill(0.0);
                same.count = 0;
                return same.add(joint, found);
            }
        }
        Protocol::Default if groups.len() >= options.max_people => return,
        Protocol::Default => {}
    }
    let mut group = Group::new(joints, found);
    group.add(joint, found);
    groups.push(group);
}

pub(super) fn group(maps: &Aggregated, found: &[Vec<Found>], options: &Options) -> Vec<Group> {
    // Peaks more than persons are paired with places that cost this.
    const NOBODY: f64 = 1e10;
    let mut groups: Vec<Group> = Vec::new();
    for &joint in &options.joint_order {
        let peaks = &found[joint];
        if groups.is_empty() {
            for peak in peaks {
                start(&mut groups, maps.joints, joint, peak, options);
            }
            continue;
        }
        let known = groups.len().min(options.max_people);
        let columns = known.max(peaks.len());
        let mut distances = vec![f64::INFINITY; peaks.len() * columns];
        let mut cost = vec![NOBODY; peaks.len() * columns];
        for (row, peak) in peaks.iter().enumerate() {
            for (column, group) in groups[..known].iter().enumerate() {
                let d = group.distance(&peak.tag, options.protocol);
                let fine = if options.protocol == Protocol::Official { 0.0 } else { d };
                let c = d.round_ties_even() * 100.0 - f64::from(peak.score) + fine;
                distances[row * columns + column] = d;
                // Tags that are not numbers, or nowhere near, are as good as nobody.
                cost[row * columns + column] = if c.abs() < NOBODY { c } else { NOBODY };
            }
        }
        let assigned = match options.protocol {
            Protocol::Official => munkres(&cost, peaks.len(), columns),
            Protocol::Default => assign(&cost, peaks.len(), columns),
        };
        for (row, column) in assigned.into_iter().enumerate() {
            if column < known && distances[row * columns + column] < options.tag_threshold {
                groups[column].add(joint, &peaks[row]);
            } else {
                start(&mut groups, maps.joints, joint, &peaks[row], options);
            }
        }
    }
    groups
}
