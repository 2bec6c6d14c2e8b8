//! A chart as a list of marks, in pixels from the upper left corner; x to the right, y down.

use super::super::text::{fitted, text_size};
use super::Chart;

/// A colour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ink {
    /// The colour of text; follows the page in SVG.
    Text,
    /// A fixed colour.
    Rgb([u8; 3]),
}

/// Which part of a text lies at its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Start,
    Middle,
    End,
}

/// Something to draw.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    Rect {
        at: [f64; 4],
        ink: Ink,
        alpha: f64,
    },
    Line {
        points: Vec<[f64; 2]>,
        width: f64,
        ink: Ink,
        alpha: f64,
        dashed: bool,
    },
    Dot {
        at: [f64; 2],
        radius: f64,
        ink: Ink,
    },
    /// Text; `at` is on its middle line. Upwards text is turned to the left.
    Text {
        at: [f64; 2],
        text: String,
        size: usize,
        align: Align,
        upwards: bool,
        bold: bool,
        ink: Ink,
        alpha: f64,
    },
}

/// A laid-out chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    pub width: usize,
    pub height: usize,
    pub marks: Vec<Mark>,
}

/// Sizes of text.
pub const TITLE: usize = 18;
pub const BODY: usize = 13;
/// Distance between things.
pub const GAP: f64 = 8.0;

impl Scene {
    pub fn new() -> Self {
        Self { width: 0, height: 0, marks: Vec::new() }
    }

    pub fn text(&mut self, at: [f64; 2], text: impl Into<String>, size: usize, align: Align) {
        self.faint_text(at, text, size, align, 1.0);
    }

    pub fn faint_text(
        &mut self,
        at: [f64; 2],
        text: impl Into<String>,
        size: usize,
        align: Align,
        alpha: f64,
    ) {
        let (text, ink) = (text.into(), Ink::Text);
        self.marks.push(Mark::Text { at, text, size, align, upwards: false, bold: false, ink, alpha });
    }

    pub fn upwards(&mut self, at: [f64; 2], text: impl Into<String>, size: usize, align: Align) {
        let (text, ink) = (text.into(), Ink::Text);
        self.marks.push(Mark::Text { at, text, size, align, upwards: true, bold: false, ink, alpha: 1.0 });
    }

    pub fn rect(&mut self, at: [f64; 4], ink: Ink, alpha: f64) {
        self.marks.push(Mark::Rect { at, ink, alpha });
    }

    pub fn line(&mut self, points: Vec<[f64; 2]>, width: f64, ink: Ink, alpha: f64) {
        self.marks.push(Mark::Line { points, width, ink, alpha, dashed: false });
    }

    /// The title, then the legend in as many rows as it needs. Returns where the plot may begin.
    pub fn head(&mut self, chart: &Chart, legend: &[(String, [u8; 3], bool)], width: f64) -> f64 {
        let mut y = GAP;
        if !chart.title.is_empty() {
            let text = fitted(&chart.title, TITLE, (width - 2.0 * GAP).max(0.0) as usize);
            let at = [width / 2.0, y + TITLE as f64 / 2.0];
            let (align, ink) = (Align::Middle, Ink::Text);
            self.marks.push(Mark::Text {
                at,
                text,
                size: TITLE,
                align,
                upwards: false,
                bold: true,
                ink,
                alpha: 1.0,
            });
            y += TITLE as f64 + GAP;
        }
        let swatch = 22.0;
        let entry = |name: &str| swatch + 6.0 + text_size(name, BODY)[0] as f64 + 18.0;
        let names: Vec<String> = legend
            .iter()
            .map(|(name, ..)| fitted(name, BODY, (width - swatch - 6.0 - 4.0 * GAP).max(0.0) as usize))
            .collect();
        let mut start = 0;
        while start < names.len() {
            let (mut end, mut row) = (start, 0.0);
            while end < names.len() && (end == start || row + entry(&names[end]) <= width - 2.0 * GAP) {
                row += entry(&names[end]);
                end += 1;
            }
            let mut x = ((width - row + 18.0) / 2.0).max(GAP);
            for i in start..end {
                let (colour, dashed) = (Ink::Rgb(legend[i].1), legend[i].2);
                let middle = y + BODY as f64 / 2.0;
                let points = vec![[x, middle], [x + swatch, middle]];
                self.marks.push(Mark::Line { points, width: 4.0, ink: colour, alpha: 1.0, dashed });
                self.text([x + swatch + 6.0, middle], names[i].clone(), BODY, Align::Start);
                x += entry(&names[i]);
            }
            y += BODY as f64 + 6.0;
            start = end;
        }
        y + if legend.is_empty() { 0.0 } else { 2.0 }
    }

    /// The note, in lines that fit. Returns where it ends.
    pub fn foot(&mut self, chart: &Chart, mut y: f64, width: f64) -> f64 {
        for line in wrapped(&chart.note, (width - 2.0 * GAP).max(0.0)) {
            self.faint_text([width / 2.0, y + BODY as f64 / 2.0], line, BODY, Align::Middle, 0.75);
            y += BODY as f64 + 3.0;
        }
        y + GAP / 2.0
    }
}

/// A text in lines of at most `width` pixels, broken between words.
fn wrapped(text: &str, width: f64) -> Vec<String> {
    let room = ((width / text_size("m", BODY)[0] as f64) as usize).max(4);
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(fitted(&line, BODY, width as usize));
    }
    lines
}
