//! Layout of curves.

use super::super::colour::accent;
use super::super::text::text_size;
use super::axis::Scale;
use super::scene::{Align, BODY, GAP, Ink, Mark, Scene};
use super::{Chart, Series};

pub fn lay_out(chart: &Chart, series: &[Series]) -> Scene {
    let mut scene = Scene::new();
    let (width, height) = (chart.size[0].clamp(160, 8192) as f64, chart.size[1].clamp(120, 8192) as f64);
    let legend: Vec<_> = series
        .iter()
        .enumerate()
        // The title says what a single curve is.
        .filter(|(_, s)| !s.name.is_empty() && (series.len() > 1 || s.name != chart.title))
        .map(|(i, s)| (s.name.clone(), accent(i), s.dashed))
        .collect();
    let top = scene.head(chart, &legend, width) + GAP;
    let note = chart.note.lines().count() as f64 * (BODY as f64 + 3.0);
    let x_title = if chart.x.label.is_empty() { 0.0 } else { BODY as f64 + GAP };
    let mut bottom = height - GAP - note - x_title - BODY as f64 - GAP;
    bottom = bottom.max(top + 40.0);
    let all = |axis: usize| series.iter().flat_map(|s| s.points.iter()).map(move |p| p[axis]);
    let y = Scale::new(&chart.y, all(1), true, |t| (t.len() as f64) * (BODY as f64 * 2.2) <= bottom - top);
    let y_title = if chart.y.label.is_empty() { 0.0 } else { BODY as f64 + GAP };
    let left = GAP + y_title + y.label_width() + 6.0;
    let right = width - GAP * 3.0;
    let span = (right - left).max(40.0);
    let x = Scale::new(&chart.x, all(0), false, |ticks| {
        let widest = ticks.iter().map(|(_, t)| text_size(t, BODY)[0]).max().unwrap_or(0) as f64;
        ticks.len() as f64 * (widest + 14.0) <= span
    });
    let (plot_x, plot_y) = (
        |v: f64| x.place(v).map(|p| left + p * span),
        |v: f64| y.place(v).map(|p| bottom - p * (bottom - top)),
    );
    for (value, label) in &y.ticks {
        let Some(at) = plot_y(*value) else { continue };
        scene.line(vec![[left, at], [left + span, at]], 1.0, Ink::Text, 0.15);
        scene.faint_text([left - 6.0, at], label, BODY, Align::End, 0.8);
    }
    for (value, label) in &x.ticks {
        let Some(at) = plot_x(*value) else { continue };
        scene.line(vec![[at, top], [at, bottom]], 1.0, Ink::Text, 0.15);
        scene.faint_text([at, bottom + 5.0 + BODY as f64 / 2.0], label, BODY, Align::Middle, 0.8);
    }
    scene.line(vec![[left, top], [left, bottom], [left + span, bottom]], 1.2, Ink::Text, 0.6);
    for (i, s) in series.iter().enumerate() {
        let ink = Ink::Rgb(accent(i));
        let place = |p: &[f64; 2]| Some([plot_x(p[0])?, plot_y(p[1])?]);
        let area = [left, top, left + span, bottom];
        for run in s.points.split(|p| place(p).is_none()) {
            let points: Vec<[f64; 2]> = thinned(run.iter().filter_map(place).collect());
            if points.len() == 1 || s.marks {
                for &at in points.iter().filter(|p| inside(**p, area)) {
                    scene.marks.push(Mark::Dot { at, radius: 3.2, ink });
                }
            }
            for points in clipped(&points, area) {
                scene.marks.push(Mark::Line { points, width: 2.2, ink, alpha: 1.0, dashed: s.dashed });
            }
        }
    }
    if series.iter().all(|s| s.points.iter().all(|p| plot_x(p[0]).is_none() || plot_y(p[1]).is_none())) {
        scene.faint_text([left + span / 2.0, (top + bottom) / 2.0], "no values", BODY, Align::Middle, 0.6);
    }
    if y_title > 0.0 {
        scene.upwards([GAP + BODY as f64 / 2.0, (top + bottom) / 2.0], &chart.y.label, BODY, Align::Middle);
    }
    let mut end = bottom + 5.0 + BODY as f64 + GAP / 2.0;
    if x_title > 0.0 {
        scene.text([left + span / 2.0, end + BODY as f64 / 2.0], &chart.x.label, BODY, Align::Middle);
        end += BODY as f64 + GAP / 2.0;
    }
    end = scene.foot(chart, end, width);
    scene.width = width as usize;
    scene.height = (end.ceil().max(height)) as usize;
    scene
}

fn inside([x, y]: [f64; 2], [x0, y0, x1, y1]: [f64; 4]) -> bool {
    (x0 - 0.5..=x1 + 0.5).contains(&x) && (y0 - 0.5..=y1 + 0.5).contains(&y)
}

/// Long curves keep, for each pixel column, their first, lowest, highest and last point: what is seen does not change.
fn thinned(points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    if points.len() < 4000 || points.windows(2).any(|w| w[1][0] < w[0][0]) {
        return points;
    }
    let mut out = Vec::new();
    for column in points.chunk_by(|a, b| a[0].floor() == b[0].floor()) {
        let extreme = |sign: f64| {
            (0..column.len())
                .max_by(|&a, &b| (sign * column[a][1]).total_cmp(&(sign * column[b][1])))
                .unwrap_or(0)
        };
        let mut kept = [0, extreme(1.0), extreme(-1.0), column.len() - 1];
        kept.sort_unstable();
        let mut last = usize::MAX;
        for i in kept {
            if i != last {
                out.push(column[i]);
                last = i;
            }
        }
    }
    out
}

/// The parts of a line within the area.
fn clipped(points: &[[f64; 2]], [x0, y0, x1, y1]: [f64; 4]) -> Vec<Vec<[f64; 2]>> {
    let mut out: Vec<Vec<[f64; 2]>> = Vec::new();
    for piece in points.windows(2) {
        let (a, b) = (piece[0], piece[1]);
        let d = [b[0] - a[0], b[1] - a[1]];
        let (mut from, mut to) = (0.0f64, 1.0f64);
        for (axis, low, high) in [(0, x0, x1), (1, y0, y1)] {
            if d[axis].abs() < 1e-12 {
                if a[axis] < low - 0.5 || a[axis] > high + 0.5 {
                    to = -1.0;
                }
                continue;
            }
            let (p, q) = ((low - a[axis]) / d[axis], (high - a[axis]) / d[axis]);
            (from, to) = (from.max(p.min(q)), to.min(p.max(q)));
        }
        if from > to {
            continue;
        }
        let at = |t: f64| [a[0] + t * d[0], a[1] + t * d[1]];
        let (start, end) = (at(from), at(to));
        match out.last_mut().filter(|l| l.last().is_some_and(|p| from <= 0.0 && *p == start)) {
            Some(line) => line.push(end),
            None => out.push(vec![start, end]),
        }
    }
    out
}
