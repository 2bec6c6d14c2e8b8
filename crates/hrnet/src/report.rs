//! A report as one HTML page that needs nothing else: style, curves and pictures are inside, there are no scripts, and it follows the
//! reader's choice of light or dark.
//!
//! ```
//! use hrnet::report::{Figure, Report, Table};
//!
//! let page = Report::new("Pose, val")
//!     .settings([("box source", "annotations"), ("flip test", "yes")])
//!     .figures([Figure::new("AP", "0.744").note("OKS 0.50:0.95")])
//!     .times("Time per image", &[("network", 0.031), ("post", 0.002)])
//!     .table(Table::new("Joints", ["joint", "PCK"]).row(["left_knee", "0.91"]).bar(1))
//!     .to_html();
//! assert!(page.starts_with("<!DOCTYPE html>") && page.contains("left_knee"));
//! ```
//!
//! A pure function of its data: nothing is read or written. All text is escaped.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hrnet_data::draw::chart::{Chart, escape};
use hrnet_data::draw::resized;
use hrnet_image::{Image, ImageError, encode_jpeg, encode_png};

/// A figure that should be seen first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    name: String,
    value: String,
    note: String,
}

impl Figure {
    /// A name and a value that is written as it is given.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into(), note: String::new() }
    }

    /// The same with a line of explanation.
    pub fn note(self, text: impl Into<String>) -> Self {
        Self { note: text.into(), ..self }
    }
}

/// A table of text. Columns of numbers are set flush right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    bar: Option<usize>,
}

impl Table {
    /// A table without rows.
    pub fn new<S: Into<String>>(title: impl Into<String>, columns: impl IntoIterator<Item = S>) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        Self { title: title.into(), columns, rows: Vec::new(), bar: None }
    }

    /// The same with a row more. Cells beyond the columns are left out, missing ones are empty.
    pub fn row<S: Into<String>>(mut self, cells: impl IntoIterator<Item = S>) -> Self {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }

    /// The same with many rows more.
    pub fn rows(mut self, rows: impl IntoIterator<Item = Vec<String>>) -> Self {
        self.rows.extend(rows);
        self
    }

    /// The same with the values of a column shown as bars too, the largest one full.
    pub fn bar(self, column: usize) -> Self {
        Self { bar: Some(column), ..self }
    }
}

/// A picture with words below it, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    data: String,
    width: usize,
    height: usize,
    caption: String,
}

impl Picture {
    /// A photo, as JPEG; larger ones are scaled down to `side` pixels on the longer side.
    pub fn photo(image: &Image, side: usize, caption: impl Into<String>) -> Result<Self, ImageError> {
        let longer = image.width().max(image.height());
        let small = (longer > side.max(1)).then(|| resized(image, side.max(1) as f64 / longer as f64));
        let image = small.as_ref().unwrap_or(image);
        Ok(Self::encoded(image, "image/jpeg", &encode_jpeg(image, 88)?, caption.into()))
    }

    /// A drawing, as PNG in its own size: sheets, masks, text.
    pub fn drawing(image: &Image, caption: impl Into<String>) -> Result<Self, ImageError> {
        Ok(Self::encoded(image, "image/png", &encode_png(image)?, caption.into()))
    }

    fn encoded(image: &Image, kind: &str, bytes: &[u8], caption: String) -> Self {
        let data = format!("data:{kind};base64,{}", STANDARD.encode(bytes));
        Self { data, width: image.width(), height: image.height(), caption }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Section {
    Heading(String),
    Text(String),
    Settings(Vec<(String, String)>),
    Figures(Vec<Figure>),
    Times(String, Vec<(String, f64)>),
    Charts(Vec<Chart>),
    Table(Table),
    Pictures(String, Vec<Picture>),
}

/// A page under construction. Sections appear in the order in which they are added.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    title: String,
    subtitle: String,
    sections: Vec<Section>,
}

impl Report {
    /// A page with a title.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), subtitle: String::new(), sections: Vec::new() }
    }

    fn with(mut self, section: Section) -> Self {
        self.sections.push(section);
        self
    }

    /// A line under the title: the command, the model, the date.
    pub fn subtitle(self, text: impl Into<String>) -> Self {
        Self { subtitle: text.into(), ..self }
    }

    /// A heading.
    pub fn heading(self, text: impl Into<String>) -> Self {
        self.with(Section::Heading(text.into()))
    }

    /// A paragraph.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.with(Section::Text(text.into()))
    }

    /// How the figures came about: box source, flip, decoder, protocol, metric and so on.
    pub fn settings<K: Into<String>, V: Into<String>>(self, rows: impl IntoIterator<Item = (K, V)>) -> Self {
        self.with(Section::Settings(rows.into_iter().map(|(k, v)| (k.into(), v.into())).collect()))
    }

    /// The figures that matter most.
    pub fn figures(self, rows: impl IntoIterator<Item = Figure>) -> Self {
        self.with(Section::Figures(rows.into_iter().collect()))
    }

    /// Seconds of each part, as one divided bar.
    pub fn times<S: AsRef<str>>(self, title: impl Into<String>, parts: &[(S, f64)]) -> Self {
        let parts = parts.iter().map(|(name, s)| (name.as_ref().to_string(), *s)).collect();
        self.with(Section::Times(title.into(), parts))
    }

    /// A chart. Charts in a row stand side by side where the page is wide enough.
    pub fn chart(mut self, chart: Chart) -> Self {
        if let Some(Section::Charts(row)) = self.sections.last_mut() {
            row.push(chart);
            return self;
        }
        self.with(Section::Charts(vec![chart]))
    }

    /// A table.
    pub fn table(self, table: Table) -> Self {
        self.with(Section::Table(table))
    }

    /// Pictures under a heading.
    pub fn pictures(self, title: impl Into<String>, pictures: impl IntoIterator<Item = Picture>) -> Self {
        self.with(Section::Pictures(title.into(), pictures.into_iter().collect()))
    }

    /// The page.
    pub fn to_html(&self) -> String {
        let title = escape(&self.title);
        let mut out = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <meta name=\"color-scheme\" content=\"light dark\"/>\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
             <body>\n<main>\n<h1>{title}</h1>\n"
        );
        if !self.subtitle.is_empty() {
            let _ = writeln!(out, "<p class=\"sub\">{}</p>", escape(&self.subtitle));
        }
        for section in &self.sections {
            section.write(&mut out);
        }
        out.push_str("</main>\n</body>\n</html>\n");
        out
    }
}

impl Section {
    // Writing to a string cannot fail.
    fn write(&self, out: &mut String) {
        match self {
            Self::Heading(text) => drop(writeln!(out, "<h2>{}</h2>", escape(text))),
            Self::Text(text) => drop(writeln!(out, "<p>{}</p>", escape(text))),
            Self::Settings(rows) => {
                out.push_str("<dl>\n");
                for (name, value) in rows {
                    let _ = writeln!(out, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
                }
                out.push_str("</dl>\n");
            }
            Self::Figures(figures) => {
                out.push_str("<div class=\"figures\">\n");
                for f in figures {
                    let (name, value, note) = (escape(&f.name), escape(&f.value), escape(&f.note));
                    let _ = writeln!(
                        out,
                        "<div><span class=\"name\">{name}</span><span class=\"value\">{value}</span><span class=\"note\">{note}</span></div>"
                    );
                }
                out.push_str("</div>\n");
            }
            Self::Times(title, parts) => times(out, title, parts),
            Self::Charts(charts) => {
                out.push_str("<div class=\"charts\">\n");
                for chart in charts {
                    let svg = chart.to_svg();
                    // A matrix of many classes keeps its size and is scrolled: shrunk, its names could not be read.
                    let wide = svg_width(&svg) > 800;
                    let _ = writeln!(
                        out,
                        "<figure class=\"{}\">{svg}</figure>",
                        if wide { "chart wide" } else { "chart" }
                    );
                }
                out.push_str("</div>\n");
            }
            Self::Table(table) => table.write(out),
            Self::Pictures(title, pictures) => {
                if !title.is_empty() {
                    let _ = writeln!(out, "<h2>{}</h2>", escape(title));
                }
                out.push_str("<div class=\"pictures\">\n");
                for p in pictures {
                    let caption = escape(&p.caption);
                    let _ = writeln!(
                        out,
                        "<figure><img src=\"{}\" width=\"{}\" height=\"{}\" alt=\"{caption}\" loading=\"lazy\"/><figcaption>{}</figcaption></figure>",
                        p.data,
                        p.width,
                        p.height,
                        caption.replace('\n', "<br/>")
                    );
                }
                out.push_str("</div>\n");
            }
        }
    }
}

/// The width that an SVG element of ours states.
fn svg_width(svg: &str) -> usize {
    svg.split("width=\"").nth(1).and_then(|s| s.split('"').next()).and_then(|s| s.parse().ok()).unwrap_or(0)
}

/// A bar divided by shares of time, with what each part is.
fn times(out: &mut String, title: &str, parts: &[(String, f64)]) {
    let usable: Vec<(&str, f64)> = parts
        .iter()
        .map(|(name, s)| (name.as_str(), if s.is_finite() && *s > 0.0 { *s } else { 0.0 }))
        .collect();
    let total: f64 = usable.iter().map(|p| p.1).sum();
    if !title.is_empty() {
        let _ = writeln!(out, "<h2>{}</h2>", escape(title));
    }
    out.push_str("<div class=\"bar\">");
    for (i, (name, seconds)) in usable.iter().enumerate() {
        let share = if total > 0.0 { seconds / total * 100.0 } else { 0.0 };
        let _ = write!(
            out,
            "<span class=\"c{}\" style=\"width:{share:.2}%\" title=\"{}\"></span>",
            i % 6,
            escape(name)
        );
    }
    out.push_str("</div>\n<ul class=\"key\">\n");
    for (i, (name, seconds)) in usable.iter().enumerate() {
        let share = if total > 0.0 { seconds / total * 100.0 } else { 0.0 };
        let _ = writeln!(
            out,
            "<li><i class=\"c{}\"></i>{} <b>{}</b> <small>{share:.1} %</small></li>",
            i % 6,
            escape(name),
            duration(*seconds)
        );
    }
    let _ = writeln!(out, "<li>total <b>{}</b></li>\n</ul>", duration(total));
}

/// Seconds in a unit that suits them.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 100.0 => format!("{s:.0} s"),
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 0.1 => format!("{:.0} ms", s * 1e3),
        s if s >= 0.001 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.0} µs", s * 1e6),
    }
}

impl Table {
    fn cell(&self, row: usize, column: usize) -> &str {
        self.rows.get(row).and_then(|r| r.get(column)).map_or("", String::as_str)
    }

    /// The number a cell holds; a percent sign or a unit after a blank may follow it.
    fn value(&self, row: usize, column: usize) -> Option<f64> {
        let text = self.cell(row, column).trim();
        let text = text.split_whitespace().next().unwrap_or("").trim_end_matches('%');
        text.parse::<f64>().ok().filter(|v| v.is_finite())
    }

    fn write(&self, out: &mut String) {
        let none = |c: &str| matches!(c.trim(), "" | "-" | "n/a" | "NaN");
        let numeric: Vec<bool> = (0..self.columns.len())
            .map(|c| {
                let cells = 0..self.rows.len();
                cells.clone().all(|r| none(self.cell(r, c)) || self.value(r, c).is_some())
                    && cells.into_iter().any(|r| self.value(r, c).is_some())
            })
            .collect();
        let class = |c: usize| if numeric[c] { " class=\"n\"" } else { "" };
        if !self.title.is_empty() {
            let _ = writeln!(out, "<h2>{}</h2>", escape(&self.title));
        }
        // Many short rows stand side by side.
        let long = self.rows.len() >= LONG && self.columns.len() <= 3;
        let kind = if long { "scroll long" } else { "scroll" };
        let _ = write!(out, "<div class=\"{kind}\"><table>\n<thead><tr>");
        for (c, name) in self.columns.iter().enumerate() {
            let _ = write!(out, "<th{}>{}</th>", class(c), escape(name));
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        let largest = self.bar.map_or(0.0, |c| {
            (0..self.rows.len()).filter_map(|r| self.value(r, c)).fold(0.0f64, |a, b| a.max(b.abs()))
        });
        for r in 0..self.rows.len() {
            out.push_str("<tr>");
            for c in 0..self.columns.len() {
                let bar = self.bar.filter(|b| *b == c && largest > 0.0).and_then(|_| self.value(r, c));
                let style = bar.map_or(String::new(), |v| {
                    format!(" style=\"--share:{:.1}%\"", (v.abs() / largest * 100.0).clamp(0.0, 100.0))
                });
                let kind = match (bar.is_some(), numeric[c]) {
                    (true, _) => " class=\"n with-bar\"",
                    (false, true) => " class=\"n\"",
                    _ => "",
                };
                let _ = write!(out, "<td{kind}{style}>{}</td>", escape(self.cell(r, c)));
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody>\n</table></div>\n");
    }
}

/// Rows from which a narrow table is set in columns.
const LONG: usize = 24;

/// No `<` or `&`, so that the page is well-formed as XML too.
const STYLE: &str = "
:root { color-scheme: light dark; --paper: #ffffff; --card: #f5f6f8; --ink: #1b1f24; --soft: #59636e; --line: #d9dee4; --tint: #0072ce2e; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --card: #1d2127; --ink: #e6e9ed; --soft: #9aa4af; --line: #323943; --tint: #3d9bea40; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 28px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 36px 0 12px; }
p { max-width: 75ch; }
.sub { color: var(--soft); margin: 0 0 20px; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); gap: 0; margin: 20px 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
dl div { padding: 8px 12px; box-shadow: 1px 1px 0 var(--line); }
dt { color: var(--soft); font-size: 12.5px; }
dd { margin: 0; overflow-wrap: anywhere; }
.figures { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0; }
.figures div { flex: 1 1 140px; max-width: 260px; background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; }
.figures span { display: block; }
.figures .name, .figures .note { color: var(--soft); font-size: 12.5px; }
.figures .value { white-space: nowrap; font-size: clamp(19px, 4.5vw, 26px); font-weight: 650; line-height: 1.3; font-variant-numeric: tabular-nums; }
.bar { display: flex; height: 22px; border-radius: 6px; overflow: hidden; background: var(--card); }
.key { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 22px; padding: 0; margin: 10px 0; }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 7px; }
.key small { color: var(--soft); }
.c0 { background: #0072ce; } .c1 { background: #e66101; } .c2 { background: #00966e; }
.c3 { background: #c81e6e; } .c4 { background: #7850c8; } .c5 { background: #966e00; }
.charts { display: flex; flex-wrap: wrap; gap: 16px; margin: 20px 0; }
figure { margin: 0; }
.chart { flex: 1 1 480px; min-width: 0; border: 1px solid var(--line); border-radius: 8px; padding: 8px; text-align: center; overflow-x: auto; }
.chart svg { max-width: 100%; height: auto; }
.wide { flex-basis: 100%; }
.wide svg { max-width: none; }
.scroll { overflow-x: auto; }
.long { columns: 16em; column-gap: 32px; }
.long table { width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 14px 5px 8px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: 13px; }
tbody tr:hover { background: var(--card); }
.n { text-align: right; }
.with-bar { min-width: 140px; background: linear-gradient(to right, var(--tint) var(--share), transparent var(--share)); }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); gap: 16px; }
.pictures img { max-width: 100%; height: auto; border-radius: 6px; display: block; margin: 0 auto; }
.pictures figcaption { color: var(--soft); font-size: 13px; margin-top: 6px; overflow-wrap: anywhere; }
@media print { .chart, .figures div, figure { break-inside: avoid; } }
";

#[cfg(test)]
mod tests {
    use super::*;
    use hrnet_data::draw::chart::{Axis, BarSeries, Series};

    const HOSTILE: &str = "</style><script>alert('x')</script>&\"\0";

    fn page() -> Report {
        let image = Image::filled(90, 60, [200, 30, 30]);
        let points = vec![[0.0, 0.1], [1.0, 0.9], [2.0, f64::NAN]];
        Report::new(HOSTILE)
            .subtitle(HOSTILE)
            .settings([("box source", HOSTILE), (HOSTILE, "yes")])
            .figures([Figure::new(HOSTILE, "0.744").note(HOSTILE)])
            .times(HOSTILE, &[(HOSTILE, 0.03), ("post", f64::NAN), ("none", -1.0)])
            .heading(HOSTILE)
            .text(HOSTILE)
            .chart(Chart::lines(
                HOSTILE,
                Axis::new(HOSTILE),
                Axis::new("y"),
                vec![Series::new(HOSTILE, points)],
            ))
            .chart(Chart::bars(
                "bars",
                Axis::new("v"),
                vec![HOSTILE.into()],
                vec![BarSeries::new("", vec![1.0])],
            ))
            .table(
                Table::new(HOSTILE, [HOSTILE, "PCK", "note"])
                    .row([HOSTILE, "41.0%", "a"])
                    .row(["x", "n/a"])
                    .row(["y", "82.0%", "b", "c"])
                    .bar(1),
            )
            .pictures(
                HOSTILE,
                [Picture::photo(&image, 48, HOSTILE).unwrap(), Picture::drawing(&image, "").unwrap()],
            )
    }

    fn parsed(html: &str) -> roxmltree::Document<'_> {
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        roxmltree::Document::parse_with_options(html, options).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn the_page_is_well_formed_and_all_text_is_escaped() {
        let html = page().to_html();
        let document = parsed(&html);
        assert!(!document.descendants().any(|n| n.has_tag_name("script")));
        let count = |name: &str| document.descendants().filter(|n| n.tag_name().name() == name).count();
        assert_eq!(
            (count("style"), count("svg"), count("img"), count("table"), count("tr")),
            (1, 2, 2, 1, 4)
        );
        let shown = HOSTILE.replace('\0', "\u{fffd}");
        let heading = document.descendants().find(|n| n.has_tag_name("h1")).and_then(|n| n.text());
        assert_eq!(heading, Some(shown.as_str()));
        // Nothing is fetched from elsewhere.
        for node in document.descendants().filter(|n| n.is_element()) {
            for attribute in node.attributes().filter(|a| matches!(a.name(), "src" | "href")) {
                assert!(attribute.value().starts_with("data:image/"), "{}", attribute.value());
            }
        }
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
        parsed(&Report::new("").to_html());
    }

    #[test]
    fn pictures_are_inside_and_not_larger_than_asked() {
        let html = page().to_html();
        let document = parsed(&html);
        let image = document.descendants().find(|n| n.tag_name().name() == "img").unwrap();
        let (kind, data) = image.attribute("src").unwrap().split_once(";base64,").unwrap();
        assert_eq!(
            (kind, image.attribute("width"), image.attribute("height")),
            ("data:image/jpeg", Some("48"), Some("32"))
        );
        let bytes = STANDARD.decode(data).unwrap();
        let size = hrnet_image::dimensions(&bytes, &hrnet_image::Limits::default());
        assert_eq!(size, Ok((48, 32)));
    }

    #[test]
    fn numbers_are_flush_right_and_bars_are_shares_of_the_largest() {
        let html = page().to_html();
        let document = parsed(&html);
        let cells: Vec<_> = document.descendants().filter(|n| n.has_tag_name("td")).collect();
        assert_eq!(cells.len(), 9);
        assert_eq!(cells[0].attribute("class"), None);
        assert_eq!(
            (cells[1].attribute("class"), cells[1].attribute("style")),
            (Some("n with-bar"), Some("--share:50.0%"))
        );
        assert_eq!((cells[4].attribute("class"), cells[4].attribute("style")), (Some("n"), None));
        assert_eq!(cells[7].attribute("style"), Some("--share:100.0%"));
        let times: Vec<_> = [0.0, 2e-5, 0.0042, 0.5, 3.0, 250.0].map(duration).to_vec();
        assert_eq!(times, ["0 µs", "20 µs", "4.2 ms", "500 ms", "3.00 s", "250 s"]);
    }
}
