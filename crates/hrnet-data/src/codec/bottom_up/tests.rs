use super::*;
use crate::rng::{Purpose, Rng};

const J: usize = 17;

/// A made-up scene: joints of persons in pixels of the full size, and each person's tag.
struct Scene {
    people: Vec<(Vec<Option<[f64; 2]>>, f32)>,
    low: Vec<f32>,
    high: Vec<f32>,
    /// Side of the low maps; the high ones have twice, the full size four times that.
    side: usize,
}

impl Scene {
    fn new(people: usize, side: usize, seed: u64, missing: f64) -> Self {
        let mut rng = Rng::new(seed, Purpose::Other, 0, 0);
        let full = 4.0 * side as f64;
        let people: Vec<_> = (0..people)
            .map(|p| {
                let joints: Vec<Option<[f64; 2]>> = (0..J)
                    .map(|_| {
                        let at = [rng.range(8.0, full - 8.0), rng.range(8.0, full - 8.0)];
                        (!rng.coin(missing)).then_some(at)
                    })
                    .collect();
                (joints, 2.0 * p as f32 + rng.range(-0.2, 0.2) as f32)
            })
            .collect();
        let mut low = vec![0.0f32; 2 * J * side * side];
        let mut high = vec![0.0f32; J * 4 * side * side];
        for (j, v) in low.iter_mut().enumerate() {
            let tag = j >= J * side * side;
            *v = if tag { -3.0 } else { 0.01 * rng.uniform() as f32 };
        }
        high.iter_mut().for_each(|v| *v = 0.01 * rng.uniform() as f32);
        for (n, (joints, tag)) in people.iter().enumerate() {
            for (j, at) in joints.iter().enumerate() {
                let Some(at) = at else { continue };
                let amplitude = 0.5 + 0.4 * ((n * J + j) as f64 * 0.37).fract();
                for (map, n, stride) in [(&mut low, side, 4.0), (&mut high, 2 * side, 2.0)] {
                    // Pixel i stands for the full positions about stride (i + 1/2) - 1/2.
                    let c = at.map(|v| (v + 0.5) / stride - 0.5);
                    for y in 0..n {
                        for x in 0..n {
                            let d = (x as f64 - c[0]).powi(2) + (y as f64 - c[1]).powi(2);
                            if d < 36.0 {
                                let v = &mut map[(j * n + y) * n + x];
                                *v = v.max((amplitude * (-d / 8.0).exp()) as f32);
                            }
                            if d < 9.0 && n == side {
                                map[((J + j) * n + y) * n + x] = *tag;
                            }
                        }
                    }
                }
            }
        }
        Self { people, low, high, side }
    }

    fn outputs(&self) -> Outputs<'_> {
        let n = self.side;
        Outputs { low: &self.low, low_size: [n, n], high: &self.high, high_size: [2 * n, 2 * n] }
    }

    fn aggregated(&self) -> Aggregated {
        let identity: Vec<usize> = (0..J).collect();
        let mut sum = Aggregator::new([4 * self.side; 2], &identity).unwrap();
        sum.add(self.outputs(), None, true).unwrap();
        sum.finish().unwrap()
    }
}

#[test]
fn people_are_found_and_grouped() {
    for protocol in [Protocol::Default, Protocol::Official] {
        let scene = Scene::new(6, 64, 4, 0.0);
        let mut options = Options::new(J, protocol);
        options.refine = false;
        let found = decode(&scene.aggregated(), &options).unwrap();
        let mut hits = 0;
        for (joints, _) in &scene.people {
            // The person with most joints in place.
            let count = |p: &Person| {
                let near = |(a, b): (&Joint, &Option<[f64; 2]>)| {
                    let b = b.unwrap();
                    a.score > 0.0 && (a.x - 0.5 - b[0]).hypot(a.y - 0.5 - b[1]) < 2.0
                };
                p.joints.iter().zip(joints).filter(|&p| near(p)).count()
            };
            hits += found.iter().map(count).max().unwrap();
        }
        // Some joints of different persons fall onto each other.
        assert!(hits >= 6 * J * 9 / 10, "{protocol:?}: {hits} of {} in {} persons", 6 * J, found.len());
    }
}

/// The name, the pixels and scores, and the tags of a person.
type Named = (f32, Vec<Option<(usize, usize, f32)>>, Vec<f32>);

/// The published steps in plain form, on maps made beforehand: everything at full size, every pixel searched, assignments by
/// trying all of them.
fn plain(maps: &Aggregated) -> Vec<Person> {
    let [h, w] = maps.size();
    let heat: Vec<Vec<f32>> = (0..J).map(|j| maps.heat(j)).collect();
    let at = |j: usize, x: i64, y: i64| {
        heat[j][y.clamp(0, h as i64 - 1) as usize * w + x.clamp(0, w as i64 - 1) as usize]
    };
    let mut people: Vec<Named> = Vec::new();
    for j in Options::new(J, Protocol::Official).joint_order {
        let mut peaks = Vec::new();
        for y in 0..h as i64 {
            for x in 0..w as i64 {
                let v = at(j, x, y);
                let all = (-2..=2).all(|dy| (-2..=2).all(|dx| at(j, x + dx, y + dy) <= v));
                if v > 0.1 && all {
                    peaks.push((x as usize, y as usize, v, maps.tag(0, j, x as usize, y as usize)));
                }
            }
        }
        peaks.sort_by(|a, b| b.2.total_cmp(&a.2));
        peaks.truncate(30);
        let known = people.len();
        let distance = |p: usize, tag: f32| {
            let tags = &people[p].2;
            (f64::from(tag) - tags.iter().map(|&t| f64::from(t)).sum::<f64>() / tags.len() as f64).abs()
        };
        let n = known.max(peaks.len());
        let cost = |row: usize, column: usize| match known {
            0 => 0.0,
            _ if column >= known => 1e10,
            _ => distance(column, peaks[row].3).round_ties_even() * 100.0 - f64::from(peaks[row].2),
        };
        let (best, _) = try_all(&cost, peaks.len(), n, &mut vec![false; n], 0);
        let distances: Vec<f64> = best
            .1
            .iter()
            .enumerate()
            .map(|(row, &c)| if c < known { distance(c, peaks[row].3) } else { 9e9 })
            .collect();
        for (row, &(x, y, v, tag)) in peaks.iter().enumerate() {
            if distances[row] < 1.0 {
                let person = &mut people[best.1[row]];
                person.1[j] = Some((x, y, v));
                person.2.push(tag);
            } else if let Some(same) = people.iter_mut().find(|p| p.0 == tag) {
                same.1[j] = Some((x, y, v));
                same.2 = vec![tag];
            } else {
                let mut joints = vec![None; J];
                joints[j] = Some((x, y, v));
                people.push((tag, joints, vec![tag]));
            }
        }
    }
    let quarter = |a: f32, b: f32| if b > a { 0.25 } else { -0.25 };
    let place = |j: usize, x: usize, y: usize, score: f32| {
        let (ix, iy) = (x as i64, y as i64);
        Joint {
            x: x as f64 + 0.5 + quarter(at(j, ix - 1, iy), at(j, ix + 1, iy)),
            y: y as f64 + 0.5 + quarter(at(j, ix, iy - 1), at(j, ix, iy + 1)),
            score,
        }
    };
    let finish = |(_, joints, _): &Named| {
        let tags: Vec<f32> =
            joints.iter().enumerate().filter_map(|(j, p)| p.map(|(x, y, _)| maps.tag(0, j, x, y))).collect();
        let mean = tags.iter().sum::<f32>() / tags.len() as f32;
        let score = joints.iter().flatten().map(|p| f64::from(p.2)).sum::<f64>() / J as f64;
        let complete = joints.iter().enumerate().map(|(j, p)| {
            if let &Some((x, y, v)) = p {
                return place(j, x, y, v);
            }
            let mut best = (f32::NEG_INFINITY, 0);
            for i in 0..h * w {
                let d = (maps.tag(0, j, i % w, i / w) - mean).powi(2).sqrt();
                let v = heat[j][i] - d.round_ties_even();
                if v > best.0 {
                    best = (v, i);
                }
            }
            let v = heat[j][best.1];
            if v > 0.0 { place(j, best.1 % w, best.1 / w, v) } else { Joint::default() }
        });
        Person { joints: complete.collect(), score: score as f32 }
    };
    people.iter().map(finish).collect()
}

type Try = (f64, Vec<usize>);

/// The cheapest assignment of the rows from `row` on.
fn try_all(
    cost: &dyn Fn(usize, usize) -> f64,
    rows: usize,
    n: usize,
    used: &mut Vec<bool>,
    row: usize,
) -> (Try, ()) {
    if row == rows {
        return ((0.0, Vec::new()), ());
    }
    let mut best: Try = (f64::INFINITY, Vec::new());
    for column in 0..n {
        if !used[column] {
            used[column] = true;
            let (rest, ()) = try_all(cost, rows, n, used, row + 1);
            used[column] = false;
            let total = rest.0 + cost(row, column);
            if total < best.0 {
                best = (total, std::iter::once(column).chain(rest.1).collect());
            }
        }
    }
    (best, ())
}

#[test]
fn official_persons_are_those_of_the_plain_search() {
    for seed in 0..4 {
        let scene = Scene::new(3, 32, 100 + seed, 0.25);
        let maps = scene.aggregated();
        let want = plain(&maps);
        let got = decode(&maps, &Options::new(J, Protocol::Official)).unwrap();
        assert_eq!(got.len(), want.len());
        for (a, b) in got.iter().zip(&want) {
            assert_eq!(a.joints, b.joints);
            assert!((a.score - b.score).abs() < 1e-6);
        }
    }
}

#[test]
fn aggregation_averages_resolutions_flips_and_scales() {
    let n = 2;
    let permutation = [1, 0];
    // Constant maps: heat 1 and 3 -> 2; mirrored 5 and 7 with exchanged joints.
    let maps = |low: [f32; 4], high: [f32; 2]| -> (Vec<f32>, Vec<f32>) {
        (low.iter().flat_map(|&v| [v; 4]).collect(), high.iter().flat_map(|&v| [v; 16]).collect())
    };
    let (low, high) = maps([1.0, 2.0, 0.3, 0.4], [3.0, 6.0]);
    let (flip_low, flip_high) = maps([4.0, 5.0, 0.7, 0.9], [8.0, 7.0]);
    let outputs = |low, high| Outputs { low, low_size: [n, n], high, high_size: [2 * n, 2 * n] };
    let mut sum = Aggregator::new([8, 8], &permutation).unwrap();
    sum.add(outputs(&low, &high), Some(outputs(&flip_low, &flip_high)), true).unwrap();
    sum.add(outputs(&low, &high), None, false).unwrap();
    let got = sum.finish().unwrap();
    // Joint 0: (2 + 6) / 2 = 4, then 2: mean 3. Joint 1: (4 + 6) / 2 = 5, then 4: mean 4.5.
    assert!(got.heat(0).iter().all(|&v| v == 3.0) && got.heat(1).iter().all(|&v| v == 4.5));
    assert_eq!(got.tag_len(), 2);
    assert_eq!((got.tag(0, 0, 7, 0), got.tag(1, 0, 3, 3), got.tag(1, 1, 0, 7)), (0.3, 0.9, 0.7));

    let mut sum = Aggregator::new([8, 8], &permutation).unwrap();
    assert!(matches!(sum.add(outputs(&low[1..], &high), None, true), Err(BottomUpError::Shape { .. })));
    assert!(matches!(sum.clone().finish(), Err(BottomUpError::NoTags)));
    let other = Outputs { low: &low, low_size: [n, n], high: &high, high_size: [8, 2] };
    assert!(matches!(sum.add(outputs(&low, &high), Some(other), true), Err(BottomUpError::Options(_))));
    assert!(matches!(Aggregator::new([0, 8], &permutation), Err(BottomUpError::Size { .. })));
    assert!(matches!(Aggregator::new([usize::MAX, 8], &permutation), Err(BottomUpError::Size { .. })));
    assert!(matches!(Aggregator::new([8, 8], &[0, 0]), Err(BottomUpError::Options(_))));
}

#[test]
fn assignments_are_the_cheapest() {
    let mut rng = Rng::new(2, Purpose::Other, 0, 0);
    for (rows, columns) in [(0, 0), (0, 3), (1, 1), (2, 5), (4, 4), (5, 6), (6, 6)] {
        for _ in 0..30 {
            // Whole numbers, so that ties occur; some places that cost much.
            let cost: Vec<f64> =
                (0..rows * columns).map(|_| if rng.coin(0.1) { 1e10 } else { rng.below(9) as f64 }).collect();
            let got = assign(&cost, rows, columns);
            let mut sorted = got.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), rows);
            let ((best, _), ()) =
                try_all(&|r, c| cost[r * columns + c], rows, columns, &mut vec![false; columns], 0);
            for (got, by) in [(got, "paths"), (munkres::munkres(&cost, rows, columns), "zeros")] {
                let total: f64 = got.iter().enumerate().map(|(r, &c)| cost[r * columns + c]).sum();
                assert!(got.len() == rows && (total - best).abs() < 1e-3, "{by}: {total} {best}");
            }
        }
    }
    // Costs that are no numbers still give every row a column of its own.
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0, f64::MAX, f64::MIN, 0.0, f64::NAN, 2.0];
    let mut got = assign(&odd, 3, 3);
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2]);
}

#[test]
fn quirks_are_official_only() {
    let identity: Vec<usize> = (0..2).collect();
    let n = 4;
    // A plateau in joint 0: every pixel of the map, one tag.
    let (mut low, high) = (vec![0.5f32; 4 * n * n], vec![0.5f32; 2 * 4 * n * n]);
    low[2 * n * n..].fill(1.0);
    let mut sum = Aggregator::new([16, 16], &identity).unwrap();
    let outputs = Outputs { low: &low, low_size: [n, n], high: &high, high_size: [2 * n, 2 * n] };
    sum.add(outputs, None, true).unwrap();
    let maps = sum.finish().unwrap();
    let people = |protocol| decode(&maps, &Options::new(2, protocol)).unwrap();
    // Default: the first pixel of each plateau, not moved. Official: equal tags are one person, overwritten; a quarter to the
    // left and up although the neighbours are equal.
    let default = people(Protocol::Default);
    assert_eq!(default.len(), 1);
    assert_eq!(default[0].joints[0], Joint { x: 0.5, y: 0.5, score: 0.5 });
    let official = people(Protocol::Official);
    assert_eq!(official.len(), 1);
    let j = official[0].joints[0];
    assert_eq!((j.x.fract(), j.y.fract()), (0.25, 0.25));
}

#[test]
fn hostile_maps_end_with_finite_persons() {
    let identity: Vec<usize> = (0..J).collect();
    let n = 16;
    let mut rng = Rng::new(1, Purpose::Other, 0, 0);
    for case in 0..8 {
        let value = |rng: &mut Rng| match case {
            0 => f32::NAN,
            1 => 0.0,
            2 => -1.0,
            3 => f32::INFINITY,
            4 => 1.0,
            // Thousands of peaks with tags all over the place.
            5 => rng.uniform() as f32 * 100.0,
            6 => [f32::NAN, 1.0, f32::MAX, -f32::MAX, f32::INFINITY][rng.below(5) as usize],
            _ => 1e30 * rng.normal() as f32,
        };
        let low: Vec<f32> = (0..2 * J * n * n).map(|_| value(&mut rng)).collect();
        let high: Vec<f32> = (0..J * 4 * n * n).map(|_| value(&mut rng)).collect();
        let outputs = Outputs { low: &low, low_size: [n, n], high: &high, high_size: [2 * n, 2 * n] };
        let mut sum = Aggregator::new([4 * n, 4 * n], &identity).unwrap();
        sum.add(outputs, Some(outputs), true).unwrap();
        let maps = sum.finish().unwrap();
        for protocol in [Protocol::Default, Protocol::Official] {
            let people = decode(&maps, &Options::new(J, protocol)).unwrap();
            assert!(people.len() <= 30 * J, "{}", people.len());
            assert!(protocol == Protocol::Official || people.len() <= 30);
            assert!(case > 2 || people.is_empty());
            let joints = people.iter().flat_map(|p| &p.joints);
            assert!(joints.into_iter().all(|j| j.x.is_finite() && j.y.is_finite() && j.score.is_finite()));
        }
    }
    let maps = Scene::new(1, 16, 1, 0.0).aggregated();
    let mut options = Options::new(J, Protocol::Default);
    options.joint_order[3] = 99;
    assert!(matches!(decode(&maps, &options), Err(BottomUpError::Options(_))));
    let changes: [fn(&mut Options); 3] =
        [|o| o.nms_kernel = 4, |o| o.max_people = 0, |o| o.tag_threshold = f64::NAN];
    for change in changes {
        let mut options = Options::new(J, Protocol::Default);
        change(&mut options);
        assert!(matches!(decode(&maps, &options), Err(BottomUpError::Options(_))));
    }
}
