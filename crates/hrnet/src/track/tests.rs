//! Trajectories made by formula: ids, gaps, crossings, smoothing.

use super::*;
use crate::result::{Instance, Point};
use crate::timing::TimeSplit;

/// A person of about 60 x 120 pixels at a place: 17 points, not symmetric, so that two differ where they meet.
fn person(x: f64, y: f64, lean: f64) -> Instance {
    let points = (0..17)
        .map(|i| {
            let i = f64::from(i);
            Point { at: [x + 20.0 * (i * 1.7).sin() + lean * i, y + 7.0 * i], score: 0.9 }
        })
        .collect();
    Instance { bbox: [x - 30.0, y, 60.0, 120.0], score: 0.9, points, track: None, raw: None }
}

fn ids(instances: &[Instance]) -> Vec<u64> {
    instances.iter().map(|i| i.track.unwrap()).collect()
}

#[test]
fn ids_stay_whatever_the_order() {
    for by in [Likeness::Oks, Likeness::Iou] {
        let mut tracker = Tracker::new(TrackOptions { by, ..Default::default() });
        for frame in 0..40u64 {
            let t = frame as f64;
            let mut people = vec![
                person(100.0 + 4.0 * t, 50.0, 0.0),
                person(400.0, 60.0 + 3.0 * t, 0.0),
                person(800.0, 80.0, 1.0),
            ];
            people.rotate_left(frame as usize % 3);
            tracker.update(frame, &mut people);
            let mut found = ids(&people);
            found.rotate_right(frame as usize % 3);
            assert_eq!(found, [1, 2, 3], "{by:?}, frame {frame}");
        }
    }
}

#[test]
fn ids_stay_through_a_crossing() {
    // Two walk towards each other, pass through one another in the middle, and go on; also when both vanish behind one
    // another for some frames.
    for by in [Likeness::Oks, Likeness::Iou] {
        for hidden in [0..0u64, 28..33] {
            let mut tracker = Tracker::new(TrackOptions { by, ..Default::default() });
            for frame in 0..60u64 {
                let t = frame as f64;
                let mut people = vec![person(100.0 + 5.0 * t, 50.0, 0.0), person(400.0 - 5.0 * t, 56.0, 0.0)];
                if hidden.contains(&frame) {
                    people.truncate(1);
                }
                let swapped = people.len() == 2 && frame % 2 == 1;
                if swapped {
                    people.swap(0, 1);
                }
                tracker.update(frame, &mut people);
                if swapped {
                    people.swap(0, 1);
                }
                let want = if people.len() == 2 { vec![1, 2] } else { vec![1] };
                assert_eq!(ids(&people), want, "{by:?}, frame {frame}, hidden {hidden:?}");
            }
        }
    }
}

#[test]
fn memory_ends() {
    let options = TrackOptions { memory: 5, ..Default::default() };
    for (missing, want) in [(5, 1), (6, 2)] {
        let mut tracker = Tracker::new(options.clone());
        tracker.update(0, &mut [person(100.0, 50.0, 0.0)]);
        for frame in 1..=missing {
            tracker.update(frame, &mut []);
        }
        let mut back = [person(100.0, 50.0, 0.0)];
        tracker.update(missing + 1, &mut back);
        assert_eq!(ids(&back), [want], "missing for {missing} frames");
    }
    // After a cut nobody is known, and no id comes twice.
    let mut tracker = Tracker::new(options);
    let mut people = [person(100.0, 50.0, 0.0)];
    tracker.update(0, &mut people);
    tracker.cut();
    tracker.update(0, &mut people);
    assert_eq!(ids(&people), [2]);
}

#[test]
fn far_and_unusual_instances() {
    let mut tracker = Tracker::new(TrackOptions::default());
    let mut none = person(100.0, 50.0, 0.0);
    none.points.iter_mut().for_each(|p| p.at = [f64::NAN; 2]);
    let mut people = vec![person(100.0, 50.0, 0.0), none, person(1e5, 50.0, 0.0)];
    tracker.update(0, &mut people);
    assert_eq!(ids(&people), [1, 2, 3]);
    tracker.update(1, &mut people);
    let found = ids(&people);
    assert_eq!((found[0], found[2]), (1, 3));
    // Somebody elsewhere is somebody else.
    let mut other = vec![person(3000.0, 50.0, 0.0)];
    tracker.update(2, &mut other);
    assert!(ids(&other)[0] > 3);
    assert_eq!(iou([0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 2.0, 2.0]), 2.0 / 6.0);
    assert_eq!(iou([0.0; 4], [0.0; 4]), 0.0);
}

fn result(clip_frame: u64, instances: Vec<Instance>) -> ImageResult {
    ImageResult {
        input: "film.y4m".into(),
        stem: format!("film_{clip_frame:06}"),
        frame: Some(FrameTime { index: clip_frame, seconds: clip_frame as f64 / 25.0 }),
        width: 1000,
        height: 500,
        exif_orientation: 1,
        predicted: Predicted::Instances(instances),
        time: TimeSplit::default(),
    }
}

#[test]
fn switched_off_it_changes_nothing() {
    let mut off = Follow::new(None, None);
    assert!(!off.is_on());
    let before = result(3, vec![person(1.0, 2.0, 0.0)]);
    let mut after = before.clone();
    off.update(Some(0), &mut after);
    assert_eq!(before, after);
    // Images of no video are left alone even when it is on.
    let mut on = Follow::new(Some(TrackOptions::default()), Some(Smoothing::default()));
    let mut photo = ImageResult { frame: None, ..before.clone() };
    let same = photo.clone();
    on.update(None, &mut photo);
    assert_eq!(photo, same);
    // Tracking alone moves no point.
    let mut follow = Follow::new(Some(TrackOptions::default()), None);
    let mut tracked = before.clone();
    follow.update(Some(0), &mut tracked);
    let (Predicted::Instances(a), Predicted::Instances(b)) = (&before.predicted, &tracked.predicted) else {
        unreachable!()
    };
    assert_eq!((&a[0].points, b[0].track, &b[0].raw), (&b[0].points, Some(1), &None));
}

#[test]
fn smoothing_keeps_the_raw_points_and_begins_anew_with_each_video() {
    let mut follow = Follow::new(None, Some(Smoothing::default()));
    for (clip, frame, x) in [(0, 0, 100.0), (0, 1, 103.0), (0, 2, 101.0), (1, 0, 104.0)] {
        let given = person(x, 50.0, 0.0);
        let mut found = result(frame, vec![given.clone()]);
        follow.update(Some(clip), &mut found);
        let Predicted::Instances(instances) = &found.predicted else { unreachable!() };
        let raw: Vec<[f64; 2]> = given.points.iter().map(|p| p.at).collect();
        assert_eq!(instances[0].raw.as_ref(), Some(&raw));
        let moved = instances[0].points != given.points;
        assert_eq!(moved, frame > 0, "the first frame of a video is as it is");
        assert_eq!(instances[0].track, Some(clip as u64 + 1));
    }
}

#[test]
fn one_euro_by_the_formulas() {
    // Casiez et al. 2012, algorithm 1, written out: rate 25, mincutoff 1, beta 0.5, dcutoff 1.
    let how = Smoothing { min_cutoff: 1.0, beta: 0.5, speed_cutoff: 1.0, max_gap: 1.0 };
    let values = [10.0, 12.0, 11.0, 30.0, 31.0];
    let rate = 25.0f64;
    let alpha = |cutoff: f64| {
        let tau = 1.0 / (2.0 * std::f64::consts::PI * cutoff);
        let te = 1.0 / rate;
        1.0 / (1.0 + tau / te)
    };
    let (mut hat, mut dhat) = (values[0], 0.0);
    let mut filter = OneEuro::default();
    assert_eq!(filter.next(0.0, values[0], 1.0, &how), values[0]);
    for (i, &x) in values.iter().enumerate().skip(1) {
        let dx = (x - hat) * rate;
        dhat = alpha(1.0) * dx + (1.0 - alpha(1.0)) * dhat;
        let a = alpha(1.0 + 0.5 * f64::abs(dhat));
        hat = a * x + (1.0 - a) * hat;
        let got = filter.next(i as f64 / rate, x, 1.0, &how);
        assert!((got - hat).abs() < 1e-9, "{i}: {got}, want {hat}");
    }
}

#[test]
fn a_constant_stays_the_same_to_the_bit() {
    for value in [0.1, -3.7, 1234.567, 1e-9] {
        let mut filter = OneEuro::default();
        for i in 0..100 {
            let seconds = f64::from(i) / 29.97;
            assert_eq!(filter.next(seconds, value, 80.0, &Smoothing::default()), value);
        }
    }
}

#[test]
fn gaps_nan_and_absurd_settings() {
    let how = Smoothing::default();
    let mut filter = OneEuro::default();
    filter.next(0.0, 10.0, 1.0, &how);
    assert!(filter.next(0.04, f64::NAN, 1.0, &how).is_nan());
    let after = filter.next(0.08, 12.0, 1.0, &how);
    assert!(after > 10.0 && after <= 12.0, "the filter goes on after a hole: {after}");
    assert_eq!(filter.next(5.0, 90.0, 1.0, &how), 90.0, "after a gap it begins anew");
    assert_eq!(filter.next(5.0, 91.0, 1.0, &how), 91.0, "time stands still");
    assert_eq!(filter.next(4.0, 92.0, 1.0, &how), 92.0, "time goes back");
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let how = Smoothing { min_cutoff: bad, beta: bad, speed_cutoff: bad, max_gap: 1.0 };
        let mut filter = OneEuro::default();
        for i in 0..5 {
            assert!(filter.next(f64::from(i) * 0.04, f64::from(i), bad, &how).is_finite(), "{bad}");
        }
    }
}

#[test]
fn still_points_get_steadier_and_moving_ones_do_not_lag_far() {
    let mut rng = hrnet_data::rng::Rng::new(7, hrnet_data::rng::Purpose::Other, 0, 0);
    let how = Smoothing::default();
    // A person of 120 pixels, points off by 1 pixel (standard deviation), 30 frames per second.
    let (mut filter, mut before, mut after) = (OneEuro::default(), 0.0, 0.0);
    let mut last: Option<(f64, f64)> = None;
    for i in 0..600 {
        let raw = 300.0 + rng.normal();
        let smooth = filter.next(f64::from(i) / 30.0, raw, 120.0, &how);
        if let Some((r, s)) = last.filter(|_| i > 30) {
            before += (raw - r).powi(2);
            after += (smooth - s).powi(2);
        }
        last = Some((raw, smooth));
    }
    let calmer = (after / before).sqrt();
    assert!(calmer < 0.4, "steps from frame to frame are {calmer} of what they were");
    // Running across its own size in half a second.
    let mut filter = OneEuro::default();
    let mut lag = 0.0f64;
    for i in 0..90 {
        let t = f64::from(i) / 30.0;
        let x = 240.0 * t;
        lag = x - filter.next(t, x, 120.0, &how);
    }
    assert!((0.0..0.05 * 120.0).contains(&lag), "{lag} pixels behind");
}
