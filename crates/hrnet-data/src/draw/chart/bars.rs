//! Layout of horizontal bars: a row per name, so that names are read without turning the head.

use super::super::colour::accent;
use super::super::text::{fitted, text_size};
use super::axis::{Scale, number};
use super::scene::{Align, BODY, GAP, Ink, Scene};
use super::{BarSeries, Chart};

/// Rows of one column.
const ROWS: usize = 50;

pub fn lay_out(chart: &Chart, names: &[String], series: &[BarSeries]) -> Scene {
    let mut scene = Scene::new();
    let columns = names.len().div_ceil(ROWS).max(1);
    let rows = names.len().div_ceil(columns);
    let bars = series.len().max(1);
    let text = if rows > 30 { 10 } else { BODY };
    let row = (text as f64 + 4.0).max(bars as f64 * 7.0 + 4.0) + if rows > 30 { 0.0 } else { 3.0 };
    let all = || series.iter().flat_map(|s| s.values.iter().copied());
    let finite_step = Scale::new(&chart.x, all().chain([0.0]), true, |t| t.len() <= 6);
    let values: Vec<String> = all().map(|v| shown(v, chart)).collect();
    let value_width = values.iter().map(|v| text_size(v, text)[0]).max().unwrap_or(0) as f64 + 6.0;
    let name_room = 26 * text_size("m", text)[0];
    let name_width = names.iter().map(|n| text_size(n, text)[0].min(name_room)).max().unwrap_or(0) as f64;
    let wanted = if columns == 1 { chart.size[0] as f64 } else { name_width + value_width + 260.0 };
    let column = wanted.clamp(name_width + value_width + 120.0, 8192.0);
    let width = column * columns as f64;
    let legend: Vec<_> = series
        .iter()
        .enumerate()
        // What a single row of bars means stands below it.
        .filter(|(_, s)| !s.name.is_empty() && (series.len() > 1 || s.name != chart.x.label))
        .map(|(i, s)| (s.name.clone(), accent(i), false))
        .collect();
    let top = scene.head(chart, &legend, width) + GAP / 2.0;
    let bottom = top + rows as f64 * row;
    for c in 0..columns {
        let left = c as f64 * column + GAP + name_width + 6.0;
        let span = (column - GAP * 2.0 - name_width - 6.0 - value_width).max(40.0);
        let scale = Scale::new(&chart.x, all().chain([0.0]), true, |ticks| {
            let widest = ticks.iter().map(|(_, t)| text_size(t, BODY)[0]).max().unwrap_or(0) as f64;
            ticks.len() as f64 * (widest + 14.0) <= span
        });
        let x = |v: f64| scale.place(v).map(|p| left + p.clamp(0.0, 1.0) * span);
        for (value, label) in &scale.ticks {
            let Some(at) = x(*value) else { continue };
            scene.line(vec![[at, top], [at, bottom]], 1.0, Ink::Text, 0.15);
            scene.faint_text([at, bottom + 5.0 + BODY as f64 / 2.0], label, BODY, Align::Middle, 0.8);
        }
        let zero = x(0.0).unwrap_or(left);
        for r in 0..rows.min(names.len().saturating_sub(c * rows)) {
            let (i, y) = (c * rows + r, top + r as f64 * row);
            let name = fitted(&names[i], text, name_room);
            scene.text([left - 6.0, y + row / 2.0], name, text, Align::End);
            let thick = ((row - 4.0) / bars as f64).max(1.0);
            for (s, one) in series.iter().enumerate() {
                let value = one.values.get(i).copied().unwrap_or(f64::NAN);
                let middle = y + 2.0 + (s as f64 + 0.5) * thick;
                let end = x(value).filter(|_| value.is_finite());
                if let Some(end) = end {
                    let gap = if bars > 1 { 0.5 } else { 1.0 };
                    let at =
                        [zero.min(end), middle - thick / 2.0 + gap, (end - zero).abs(), thick - 2.0 * gap];
                    scene.rect(at, Ink::Rgb(accent(s)), 0.9);
                }
                if bars == 1 || thick >= text as f64 - 1.0 {
                    let at = [end.unwrap_or(zero).max(zero) + 4.0, middle];
                    scene.faint_text(at, shown(value, chart), text, Align::Start, 0.85);
                }
            }
        }
        scene.line(vec![[zero, top], [zero, bottom]], 1.2, Ink::Text, 0.6);
    }
    if names.is_empty() || series.is_empty() || finite_step.ticks.is_empty() {
        scene.faint_text([width / 2.0, top + row], "no values", BODY, Align::Middle, 0.6);
    }
    let mut end = bottom.max(top + row * 2.0) + 5.0 + BODY as f64 + GAP / 2.0;
    if !chart.x.label.is_empty() {
        scene.text([width / 2.0, end + BODY as f64 / 2.0], &chart.x.label, BODY, Align::Middle);
        end += BODY as f64 + GAP / 2.0;
    }
    end = scene.foot(chart, end, width);
    scene.width = width.ceil() as usize;
    scene.height = end.ceil() as usize;
    scene
}

/// What is written at the end of a bar: three digits.
fn shown(value: f64, chart: &Chart) -> String {
    if !value.is_finite() {
        return "n/a".into();
    }
    let size = if chart.x.percent { value.abs() * 100.0 } else { value.abs() };
    let step = match size {
        s if s >= 100.0 => 1.0,
        s if s >= 1.0 => 0.1,
        0.0 => 1.0,
        _ => 0.001,
    };
    number(
        value,
        if chart.x.percent { if size >= 100.0 { 0.01 } else { 0.001 } } else { step },
        chart.x.percent,
    )
}
