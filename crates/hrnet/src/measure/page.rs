//! What was measured as one HTML page.

use super::{Curve, Measured, Table, Unit};
use crate::report::{self, Figure, Picture, Report};
use hrnet_data::draw::chart::{Axis, BarSeries, Chart, Series};
use hrnet_image::{Image, ImageError};

/// Longer side of a picture on the page, in pixels.
const PICTURE: usize = 420;
/// The most rows that are also drawn as bars.
const BARS: usize = 60;
/// The most classes of a matrix that can be read.
const MATRIX: usize = 200;

/// The page: settings, figures, where the time went, curves, tables, the confusion matrix, and pictures of the worst samples with
/// their captions.
pub fn page(measured: &Measured, title: &str, worst: &[(Image, String)]) -> Result<Report, ImageError> {
    let figures = measured.figures.iter().map(|f| Figure::new(&f.label, f.unit.show(f.value)));
    let settings = measured.settings.iter().map(|s| (s.key.replace('_', " "), s.value.clone()));
    let time: Vec<(&str, f64)> = measured.time.parts().iter().map(|&(k, t)| (k, t.as_secs_f64())).collect();
    let mut report = Report::new(title)
        .subtitle(format!("{}: {} {}", measured.task.title(), measured.samples, measured.samples_are))
        .figures(figures)
        .heading("How it was measured")
        .settings(settings)
        .times("Time in seconds, all samples together", &time);
    for curve in &measured.curves {
        report = report.chart(chart_of(curve));
    }
    for table in &measured.tables {
        if let Some(chart) = bars_of(table) {
            report = report.chart(chart);
        }
        report = report.table(table_of(table));
    }
    if let Some(confusion) = measured.confusion.as_ref().filter(|c| c.names.len() <= MATRIX) {
        let counts = confusion.counts.iter().map(|&n| n as f64).collect();
        let chart = Chart::matrix("Confusion", confusion.names.clone(), counts);
        report = report.chart(
            chart.note(format!("{} of each labelled class (row) by prediction", confusion.counts_are)),
        );
    }
    if !worst.is_empty() {
        let pictures: Result<Vec<Picture>, ImageError> =
            worst.iter().map(|(image, caption)| Picture::photo(image, PICTURE, caption)).collect();
        report = report.pictures(format!("The worst, by {}", measured.worst_by.0), pictures?);
    }
    if !measured.failed.is_empty() {
        let rows = measured.failed.iter().map(|f| vec![f.image.display().to_string(), f.error.clone()]);
        report = report.table(report::Table::new("Not measured", ["file", "why"]).rows(rows));
    }
    Ok(report)
}

fn chart_of(curve: &Curve) -> Chart {
    let series = Series::new(&curve.label, curve.points.clone());
    Chart::lines(&curve.label, Axis::new(&curve.x), Axis::new(&curve.y), vec![series])
}

/// The first column of shares as bars.
fn bars_of(table: &Table) -> Option<Chart> {
    let column = table.columns.iter().position(|c| c.unit == Unit::Share)?;
    if table.rows.is_empty() || table.rows.len() > BARS {
        return None;
    }
    let names = table.rows.iter().map(|r| r.0.clone()).collect();
    let values = table.rows.iter().map(|r| r.1.get(column).copied().flatten().unwrap_or(f64::NAN)).collect();
    let label = &table.columns[column].label;
    let title = format!("{label} by {}", table.rows_are);
    Some(Chart::bars(title, Axis::new(label).percent(), names, vec![BarSeries::new(label, values)]))
}

fn table_of(table: &Table) -> report::Table {
    let columns =
        std::iter::once(table.rows_are.to_string()).chain(table.columns.iter().map(|c| c.label.clone()));
    let rows = table.rows.iter().map(|(name, values)| {
        let cells = table.columns.iter().zip(values).map(|(c, &v)| c.unit.show(v));
        std::iter::once(name.clone()).chain(cells).collect()
    });
    report::Table::new(format!("By {}", table.label), columns).rows(rows)
}
