//! Layout of a confusion matrix: shares of each row, names on both sides, numbers where they fit.

use super::super::text::{fitted, text_size};
use super::Chart;
use super::scene::{Align, BODY, GAP, Ink, Mark, Scene};

/// The colour of a full cell; less is fainter, which works on light and dark ground.
const FULL: [u8; 3] = [0, 92, 175];
/// A full cell off the diagonal.
const WRONG: [u8; 3] = [205, 62, 20];
/// Classes that are drawn; a picture of more could not be read.
const MOST: usize = 400;

pub fn lay_out(chart: &Chart, names: &[String], counts: &[f64]) -> Scene {
    let mut scene = Scene::new();
    let n = (counts.len() as f64).sqrt().floor() as usize;
    let full = n;
    let n = n.min(MOST);
    let (cell, text) = match n {
        0..=12 => (44.0, BODY),
        13..=20 => (34.0, BODY),
        21..=40 => (22.0, 12),
        41..=80 => (14.0, 10),
        _ => (11.0, 9),
    };
    let name = |i: usize| fitted(names.get(i).map_or("", String::as_str), text, 22 * text_size("m", text)[0]);
    let name_width = (0..n).map(|i| text_size(&name(i), text)[0]).max().unwrap_or(0) as f64;
    let left = GAP + BODY as f64 + GAP + name_width + 6.0;
    let side = cell * n as f64;
    let bar = 60.0;
    let width = (left + side + bar + GAP).max(240.0);
    let top = scene.head(chart, &[], width) + GAP / 2.0;
    for row in 0..n {
        let y = top + row as f64 * cell;
        let line = &counts[row * full..row * full + full];
        let usable = |v: f64| if v.is_finite() && v > 0.0 { v } else { 0.0 };
        let total: f64 = line.iter().copied().map(usable).sum();
        scene.text([left - 6.0, y + cell / 2.0], name(row), text, Align::End);
        for (column, &count) in line.iter().take(n).enumerate() {
            let share = if total > 0.0 { usable(count) / total } else { 0.0 };
            if share < 0.0005 {
                continue;
            }
            let at = [left + column as f64 * cell, y, cell, cell];
            // Small shares stay visible: alpha grows with the root off the diagonal.
            let (rgb, alpha) = if row == column { (FULL, share) } else { (WRONG, share.sqrt() * 0.9) };
            scene.rect(at, Ink::Rgb(rgb), alpha);
            if cell >= 22.0 && share >= 0.005 {
                let ink = if alpha > 0.55 { Ink::Rgb([255; 3]) } else { Ink::Text };
                let label = format!("{:.0}", share * 100.0);
                let at = [at[0] + cell / 2.0, y + cell / 2.0];
                let size = if cell >= 30.0 { BODY } else { 9 };
                scene.marks.push(Mark::Text {
                    at,
                    text: label,
                    size,
                    align: Align::Middle,
                    upwards: false,
                    bold: false,
                    ink,
                    alpha: 1.0,
                });
            }
        }
        if total <= 0.0 {
            let middle = y + cell / 2.0;
            scene.line(vec![[left, middle], [left + side, middle]], 1.0, Ink::Text, 0.3);
        }
    }
    // Fine lines lead the eye from a name to its cell.
    for i in 0..=n {
        let strong = if n > 20 && i % 5 != 0 { 0.08 } else { 0.2 };
        let at = i as f64 * cell;
        scene.line(vec![[left, top + at], [left + side, top + at]], 1.0, Ink::Text, strong);
        scene.line(vec![[left + at, top], [left + at, top + side]], 1.0, Ink::Text, strong);
    }
    for column in 0..n {
        let at = [left + (column as f64 + 0.5) * cell, top + side + 6.0];
        scene.upwards(at, name(column), text, Align::End);
    }
    colour_bar(&mut scene, left + side + GAP * 1.5, top, side.clamp(80.0, 240.0));
    let mut end = top + side + 6.0 + name_width + GAP;
    if n == 0 {
        scene.faint_text([width / 2.0, top + 20.0], "no values", BODY, Align::Middle, 0.6);
        end = end.max(top + 40.0);
    }
    scene.upwards([GAP + BODY as f64 / 2.0, top + side / 2.0], &chart.y.label, BODY, Align::Middle);
    scene.text([left + side / 2.0, end + BODY as f64 / 2.0], &chart.x.label, BODY, Align::Middle);
    end = scene.foot(chart, end + BODY as f64 + GAP / 2.0, width);
    if full > n {
        let text = format!("the first {n} of {full} classes");
        scene.faint_text([width / 2.0, end + BODY as f64 / 2.0], text, BODY, Align::Middle, 0.75);
        end += BODY as f64 + GAP;
    }
    scene.width = width.ceil() as usize;
    scene.height = end.ceil() as usize;
    scene
}

/// What the colours mean: right on the left, wrong on the right.
fn colour_bar(scene: &mut Scene, x: f64, top: f64, height: f64) {
    const STEPS: usize = 32;
    for i in 0..STEPS {
        let share = 1.0 - (i as f64 + 0.5) / STEPS as f64;
        let (y, h) = (top + i as f64 / STEPS as f64 * height, height / STEPS as f64);
        scene.rect([x, y, 7.0, h], Ink::Rgb(FULL), share);
        scene.rect([x + 7.0, y, 7.0, h], Ink::Rgb(WRONG), share.sqrt() * 0.9);
    }
    for share in [0.0, 0.5, 1.0] {
        let y = top + (1.0 - share) * height;
        let y = y.clamp(top + 5.0, top + height - 5.0);
        scene.faint_text([x + 17.0, y], format!("{:.0}%", share * 100.0), 10, Align::Start, 0.8);
    }
}
