//! Curves, bars and matrices: one description, drawn as a picture or as SVG.
//!
//! ```
//! use hrnet_data::draw::chart::{Axis, Chart, Series};
//!
//! let loss = Series::new("train", (1..=9).map(|i| [f64::from(i), 1.0 / f64::from(i)]).collect());
//! let chart = Chart::lines("Loss", Axis::new("epoch"), Axis::new("loss").log(), vec![loss]);
//! let (picture, svg) = (chart.to_image(), chart.to_svg());
//! assert!(picture.width() == 720 && svg.starts_with("<svg"));
//! ```
//!
//! A chart is laid out once, in pixels, as a list of simple marks (`scene`); the picture and the SVG draw that list. The SVG takes
//! its text colour from the page, so it reads on light and dark ground. Values that are not finite are gaps.

mod axis;
mod bars;
mod lines;
mod matrix;
mod raster;
mod scene;
mod svg;
#[cfg(test)]
mod tests;

use hrnet_image::Image;
use scene::Scene;

pub use svg::escape;

/// What one axis says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Axis {
    /// The quantity, with its unit.
    pub label: String,
    /// Logarithmic. Values that are not positive are gaps.
    pub log: bool,
    /// The ends; from the data where absent.
    pub range: Option<[f64; 2]>,
    /// Values are shares and are written in percent.
    pub percent: bool,
}

impl Axis {
    /// A linear axis whose ends come from the data.
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), ..Self::default() }
    }

    /// The same, logarithmic.
    pub fn log(self) -> Self {
        Self { log: true, ..self }
    }

    /// The same with fixed ends.
    pub fn range(self, low: f64, high: f64) -> Self {
        Self { range: Some([low, high]), ..self }
    }

    /// The same with values written in percent.
    pub fn percent(self) -> Self {
        Self { percent: true, ..self }
    }
}

/// A curve.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// Its name in the legend; without a name it is not listed.
    pub name: String,
    /// The points in drawing order. A point that is not finite is a gap.
    pub points: Vec<[f64; 2]>,
    /// Draw the line dashed.
    pub dashed: bool,
    /// Mark each point.
    pub marks: bool,
}

impl Series {
    /// A plain curve.
    pub fn new(name: impl Into<String>, points: Vec<[f64; 2]>) -> Self {
        Self { name: name.into(), points, ..Self::default() }
    }

    /// The same, dashed.
    pub fn dashed(self) -> Self {
        Self { dashed: true, ..self }
    }

    /// The same with marked points.
    pub fn marks(self) -> Self {
        Self { marks: true, ..self }
    }
}

/// One value per name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BarSeries {
    /// Its name in the legend; without a name it is not listed.
    pub name: String,
    /// The values, in the order of the names; what is not finite is written as `n/a`.
    pub values: Vec<f64>,
}

impl BarSeries {
    /// Values with a name.
    pub fn new(name: impl Into<String>, values: Vec<f64>) -> Self {
        Self { name: name.into(), values }
    }
}

/// What a chart shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Curves.
    Lines(Vec<Series>),
    /// Horizontal bars, a row per name; many names fill several columns.
    Bars {
        /// The names.
        names: Vec<String>,
        /// One bar per series in each row.
        series: Vec<BarSeries>,
    },
    /// A square matrix of counts, row by row: rows are labels, columns predictions. Drawn as shares of the row.
    Matrix {
        /// The classes.
        names: Vec<String>,
        /// The counts.
        counts: Vec<f64>,
    },
}

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Shown above.
    pub title: String,
    /// The horizontal axis: of bars their values; of a matrix its columns.
    pub x: Axis,
    /// The vertical axis: unused by bars; of a matrix its rows.
    pub y: Axis,
    /// The data.
    pub body: Body,
    /// A line of text below; may be empty.
    pub note: String,
    /// Width and height of curves in pixels. Bars and matrices take the size they need.
    pub size: [usize; 2],
}

impl Chart {
    fn new(title: impl Into<String>, x: Axis, y: Axis, body: Body) -> Self {
        Self { title: title.into(), x, y, body, note: String::new(), size: [720, 440] }
    }

    /// Curves.
    pub fn lines(title: impl Into<String>, x: Axis, y: Axis, series: Vec<Series>) -> Self {
        Self::new(title, x, y, Body::Lines(series))
    }

    /// Bars, one row per name.
    pub fn bars(title: impl Into<String>, value: Axis, names: Vec<String>, series: Vec<BarSeries>) -> Self {
        Self::new(title, value, Axis::default(), Body::Bars { names, series })
    }

    /// A confusion matrix: `counts[label * classes + predicted]`.
    pub fn matrix(title: impl Into<String>, names: Vec<String>, counts: Vec<f64>) -> Self {
        Self::new(title, Axis::new("predicted"), Axis::new("labelled"), Body::Matrix { names, counts })
    }

    /// Curves of cumulative error: the share of faces with at most an error, for errors up to `cut`. Shares and errors are
    /// fractions, as [`crate::metric::nme::Nme::ced_curve`] gives them.
    pub fn ced(title: impl Into<String>, curves: Vec<Series>, cut: f64) -> Self {
        let x = Axis::new("normalised error").range(0.0, cut).percent();
        Self::lines(title, x, Axis::new("share of faces").range(0.0, 1.0).percent(), curves)
    }

    /// The same with another size (curves).
    pub fn sized(self, width: usize, height: usize) -> Self {
        Self { size: [width, height], ..self }
    }

    /// The same with a line of text below.
    pub fn note(self, text: impl Into<String>) -> Self {
        Self { note: text.into(), ..self }
    }

    /// The chart as a picture on white.
    pub fn to_image(&self) -> Image {
        raster::draw(&self.scene())
    }

    /// The chart as an SVG element, fit for a file or to stand in a page.
    pub fn to_svg(&self) -> String {
        svg::write(&self.scene(), &self.title)
    }

    fn scene(&self) -> Scene {
        match &self.body {
            Body::Lines(series) => lines::lay_out(self, series),
            Body::Bars { names, series } => bars::lay_out(self, names, series),
            Body::Matrix { names, counts } => matrix::lay_out(self, names, counts),
        }
    }
}
