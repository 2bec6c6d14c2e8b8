//! Properties of charts.

use proptest::prelude::*;

use super::scene::{Align, Mark, Scene};
use super::*;
use crate::draw::text::text_size;

fn parsed(svg: &str) -> roxmltree::Document<'_> {
    roxmltree::Document::parse(svg).unwrap_or_else(|e| panic!("{e}\n{svg}"))
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("class_{i:03} <&\"'>")).collect()
}

/// The boxes of all texts.
fn boxes(scene: &Scene) -> Vec<(String, [f64; 4])> {
    let mut out = Vec::new();
    for mark in &scene.marks {
        if let Mark::Text { at: [x, y], text, size, align, upwards, .. } = mark {
            let [w, h] = text_size(text, *size).map(|v| v as f64);
            let back = match align {
                Align::Start => 0.0,
                Align::Middle => w / 2.0,
                Align::End => w,
            };
            let bbox =
                if *upwards { [x - h / 2.0, y + back - w, h, w] } else { [x - back, y - h / 2.0, w, h] };
            out.push((text.clone(), bbox));
        }
    }
    out
}

fn no_text_overlaps(chart: &Chart) {
    let scene = chart.scene();
    let boxes = boxes(&scene);
    for (i, (a, [ax, ay, aw, ah])) in boxes.iter().enumerate() {
        let (w, h) = (scene.width as f64, scene.height as f64);
        assert!(
            *ax >= -1.0 && *ay >= -1.0 && ax + aw <= w + 1.0 && ay + ah <= h + 1.0,
            "{a} leaves the picture of {w}x{h}"
        );
        for (b, [bx, by, bw, bh]) in &boxes[..i] {
            let apart =
                ax + aw <= bx + 1.0 || bx + bw <= ax + 1.0 || ay + ah <= by + 1.0 || by + bh <= ay + 1.0;
            assert!(apart, "{a:?} lies on {b:?} in {}", chart.title);
        }
    }
}

fn samples() -> Vec<Chart> {
    let curve = |scale: f64| (0..50).map(|i| [f64::from(i), scale * f64::from(i + 1)]).collect::<Vec<_>>();
    let series = |n: usize| {
        (0..n).map(|i| Series::new(format!("series {i}"), curve(10f64.powi(i as i32)))).collect::<Vec<_>>()
    };
    let bars = |n: usize, k: usize| {
        let one = |s: usize| {
            BarSeries::new(format!("run {s}"), (0..n).map(|i| (i + s) as f64 / n as f64).collect())
        };
        Chart::bars(
            format!("bars {n}"),
            Axis::new("IoU").range(0.0, 1.0).percent(),
            names(n),
            (0..k).map(one).collect(),
        )
    };
    let matrix = |n: usize| {
        let counts =
            (0..n * n).map(|i| if i % (n + 1) == 0 { 90.0 } else { f64::from(i as u32 % 3) }).collect();
        Chart::matrix(format!("matrix {n}"), names(n), counts).note("rows are labels")
    };
    vec![
        Chart::lines("one", Axis::new("x"), Axis::new("y"), series(1)).note("a note that is long enough to be broken into two lines of text, at least in a chart as narrow as this one is"),
        Chart::lines("many", Axis::new("x").log(), Axis::new("y").log(), series(12)),
        Chart::lines("small", Axis::new("x"), Axis::new("y"), series(3)).sized(200, 160),
        Chart::lines("tiny values", Axis::new("x"), Axis::new("y"), vec![Series::new("", vec![[0.0, 1e-9], [1e-7, 3e-9]])]),
        Chart::lines("huge values", Axis::new("x"), Axis::new("y"), vec![Series::new("", vec![[0.0, 1e9], [1e12, 3e14]])]),
        Chart::ced("ced", vec![Series::new("a", curve(0.02))], 0.1),
        bars(1, 1),
        bars(17, 2),
        bars(19, 1),
        bars(150, 1),
        matrix(2),
        matrix(11),
        matrix(19),
        matrix(150),
    ]
}

#[test]
fn no_label_lies_on_another_or_leaves_the_picture() {
    samples().iter().for_each(no_text_overlaps);
}

#[test]
fn svg_is_well_formed_and_says_what_the_picture_says() {
    for chart in samples() {
        let (image, svg) = (chart.to_image(), chart.to_svg());
        let document = parsed(&svg);
        let root = document.root_element();
        assert_eq!(root.attribute("width"), Some(image.width().to_string().as_str()));
        assert_eq!(root.attribute("height"), Some(image.height().to_string().as_str()));
        let texts = root.descendants().filter(|n| n.has_tag_name("text")).count();
        assert_eq!(texts, boxes(&chart.scene()).len());
        // Something is drawn.
        assert!(image.data().iter().filter(|v| **v < 200).count() > 200, "{}", chart.title);
    }
    let odd = Chart::lines("<script>&\0\u{1b}\u{ffff}", Axis::new("\"a'"), Axis::default(), vec![]);
    let svg = odd.to_svg();
    assert!(!svg.contains("<script"));
    assert_eq!(
        parsed(&svg).descendants().find(|n| n.has_tag_name("title")).and_then(|n| n.text()),
        Some("<script>&\u{fffd}\u{fffd}\u{fffd}")
    );
}

#[test]
fn ticks_are_round_numbers() {
    let ticks = |low: f64, high: f64, axis: Axis| -> Vec<String> {
        let scale = axis::Scale::new(&axis, [low, high].into_iter(), true, |t| t.len() <= 6);
        scale.ticks.into_iter().map(|t| t.1).collect()
    };
    assert_eq!(ticks(0.0, 1.0, Axis::new("")), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    assert_eq!(ticks(0.03, 0.93, Axis::new("").percent()), ["0%", "20%", "40%", "60%", "80%", "100%"]);
    assert_eq!(ticks(-3.0, 14.0, Axis::new("")), ["-5", "0", "5", "10", "15"]);
    assert_eq!(ticks(0.0, 5e7, Axis::new("")), ["0", "1e7", "2e7", "3e7", "4e7", "5e7"]);
    assert_eq!(ticks(1e-4, 1.0, Axis::new("").log()), ["0.0001", "0.001", "0.01", "0.1", "1"]);
    assert_eq!(ticks(7.0, 7.0, Axis::new("")).len(), 5);
    assert!(!ticks(f64::NAN, f64::INFINITY, Axis::new("")).is_empty());
}

#[test]
fn gaps_and_ends_are_kept() {
    let points = vec![[0.0, 0.0], [1.0, 1.0], [2.0, f64::NAN], [3.0, 1.0], [4.0, 0.0], [9.0, 50.0]];
    let chart = Chart::lines("", Axis::new(""), Axis::new("").range(0.0, 1.0), vec![Series::new("", points)]);
    let scene = chart.scene();
    let coloured: Vec<&Vec<[f64; 2]>> = scene
        .marks
        .iter()
        .filter_map(|m| match m {
            Mark::Line { points, ink: scene::Ink::Rgb(_), .. } => Some(points),
            _ => None,
        })
        .collect();
    assert_eq!(coloured.len(), 2);
    assert!(coloured.iter().all(|l| l.iter().all(|p| p[1] >= 0.0 && p[1] <= scene.height as f64)));
    // A long curve is thinned without losing its spike.
    let spike = |i: u32| if i == 33_333 { 5.0 } else { 1.0 };
    let long = (0..100_000).map(|i| [f64::from(i), spike(i)]).collect();
    let svg = Chart::lines("", Axis::new(""), Axis::new(""), vec![Series::new("", long)]).to_svg();
    assert!(svg.len() < 80_000, "{}", svg.len());
    let lowest = |svg: &str| {
        let document = parsed(svg);
        let lines = document.descendants().filter(|n| n.attribute("stroke") == Some("#0072ce"));
        let values: Vec<f64> = lines
            .flat_map(|n| {
                n.attribute("points")
                    .unwrap_or("")
                    .split([' ', ','])
                    .skip(1)
                    .step_by(2)
                    .map(|v| v.parse().unwrap())
                    .collect::<Vec<f64>>()
            })
            .collect();
        values.into_iter().fold(f64::INFINITY, f64::min)
    };
    assert!(lowest(&svg) < 40.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_numbers_can_be_drawn(
        values in prop::collection::vec(prop_oneof![prop::num::f64::ANY, -10.0..10.0f64, Just(0.0)], 0..40),
        count in 0usize..9,
        log in any::<bool>(),
        size in 0usize..900,
    ) {
        let points: Vec<[f64; 2]> = values.chunks(2).map(|c| [c[0], c[c.len() - 1]]).collect();
        let axis = || Axis { log, range: values.get(..2).map(|v| [v[0], v[1]]), ..Axis::new("v") };
        let series = vec![Series::new("s", points.clone()).dashed(), Series::new("t", points).marks()];
        let charts = [
            Chart::lines("a", axis(), Axis { log, ..Axis::default() }, series).sized(size, size),
            Chart::bars("b", axis(), names(count), vec![BarSeries::new("s", values.clone())]),
            Chart::matrix("c", names(count), values.clone()),
        ];
        for chart in charts {
            let image = chart.to_image();
            prop_assert!(image.width() < 9000 && image.height() < 9000);
            let svg = chart.to_svg();
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"));
            parsed(&svg);
        }
    }
}
