//! A laid-out chart as SVG.

use std::fmt::Write as _;

use super::scene::{Align, Ink, Mark, Scene};

/// Text as it may stand in XML and HTML, in content and in quoted attributes. Characters that XML forbids become U+FFFD.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' => out.push(c),
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A coordinate with at most two decimals.
fn n(v: f64) -> String {
    let text = format!("{v:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" || text.is_empty() { "0".into() } else { text.into() }
}

fn colour(ink: Ink) -> String {
    match ink {
        Ink::Text => "currentColor".into(),
        Ink::Rgb([r, g, b]) => format!("#{r:02x}{g:02x}{b:02x}"),
    }
}

/// ` name="alpha"`, or nothing when it is 1.
fn opacity(name: &str, alpha: f64) -> String {
    if alpha >= 1.0 { String::new() } else { format!(" {name}=\"{}\"", n(alpha.max(0.0))) }
}

pub fn write(scene: &Scene, title: &str) -> String {
    let (w, h) = (scene.width.max(1), scene.height.max(1));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" role=\"img\" \
         font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\">\n<title>{}</title>\n",
        escape(title)
    );
    for mark in &scene.marks {
        // Writing to a string cannot fail.
        let _ = match mark {
            Mark::Rect { at: [x, y, w, h], ink, alpha } => writeln!(
                out,
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"{}/>",
                n(*x),
                n(*y),
                n(w.max(0.0)),
                n(h.max(0.0)),
                colour(*ink),
                opacity("fill-opacity", *alpha)
            ),
            Mark::Line { points, width, ink, alpha, dashed } => {
                let points: Vec<String> =
                    points.iter().map(|[x, y]| format!("{},{}", n(*x), n(*y))).collect();
                let dash = if *dashed { " stroke-dasharray=\"6 5\"" } else { "" };
                writeln!(
                    out,
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"{dash}{}/>",
                    points.join(" "),
                    colour(*ink),
                    n(*width),
                    opacity("stroke-opacity", *alpha)
                )
            }
            Mark::Dot { at: [x, y], radius, ink } => {
                writeln!(
                    out,
                    "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{}\"/>",
                    n(*x),
                    n(*y),
                    n(*radius),
                    colour(*ink)
                )
            }
            Mark::Text { at: [x, y], text, size, align, upwards, bold, ink, alpha } => {
                // Proportional letters of this size are narrower than the fixed ones that the layout counted with.
                let size = *size as f64 * 0.86;
                let anchor = match align {
                    Align::Start => "start",
                    Align::Middle => "middle",
                    Align::End => "end",
                };
                // The middle of small letters, without relying on the support of baselines.
                let down = size * 0.35;
                let place = if *upwards {
                    format!("transform=\"translate({} {}) rotate(-90)\"", n(x + down), n(*y))
                } else {
                    format!("x=\"{}\" y=\"{}\"", n(*x), n(y + down))
                };
                writeln!(
                    out,
                    "<text {place} font-size=\"{}\" text-anchor=\"{anchor}\"{} fill=\"{}\"{}>{}</text>",
                    n(size),
                    if *bold { " font-weight=\"600\"" } else { "" },
                    colour(*ink),
                    opacity("fill-opacity", *alpha),
                    escape(text)
                )
            }
        };
    }
    out.push_str("</svg>\n");
    out
}
