//! Boxes of images and of video frames as a table.
//!
//! ```text
//! image,x,y,w,h,score,frame       the columns by name, in any order; score and frame may be left out, others are passed over
//! a.jpg,10,20,200,220,0.9,
//! ```
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::path::Path;

use super::format::{Content, Fit, Format, Glance, Labels, Opened, Where};
use super::model::{DataError, Detection, Detections, Place, ReadOptions, Reader, read_bytes, short, text};
use super::table::{Row, Table};

pub(crate) static FORMAT: Format = Format {
    name: "box-csv",
    aliases: &["boxes"],
    content: Content::Detections,
    recognise,
    read: |path, how| Ok(Opened::from(Labels::Detections(read(path, &how.read)?))),
    images: Where::Named(&[]),
    takes_one: false,
    has_splits: false,
    place: |sample, image| format!("line {} ({image})", sample.id),
};

/// The names that a column is known by.
const IMAGE: &[&str] = &["image", "image_name", "file", "file_name", "input"];
const SIDES: [&[&str]; 4] =
    [&["x", "box_x"], &["y", "box_y"], &["w", "width", "box_w"], &["h", "height", "box_h"]];

fn recognise(at: &Glance<'_>) -> Fit {
    if at.is_folder || at.text.starts_with(['[', '{', '<']) {
        return Fit::No;
    }
    let names = Table::columns_of(at.text.lines().next().unwrap_or(""));
    let has = |list: &[&str]| names.iter().any(|n| list.contains(&n.as_str()));
    match has(IMAGE) && SIDES.iter().all(|s| has(s)) {
        true => Fit::Surely,
        // The reader says which column is missing.
        false if at.options.want.contains(&Content::Detections) => Fit::Loosely,
        false => Fit::No,
    }
}

/// Reads a table.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Detections, DataError> {
    parse(&read_bytes(path, options.limits.max_bytes)?, path, options)
}

/// Reads a table from memory.
pub fn parse(bytes: &[u8], path: &Path, options: &ReadOptions) -> Result<Detections, DataError> {
    let mut table = Table::new(text(bytes, path)?.as_bytes(), path, true)?;
    let find = |names: &[&str]| {
        table.find(names).ok_or_else(|| {
            let name = names.first().copied().unwrap_or("");
            let problem = format!("no column '{name}'");
            let fix = "the first line must name the columns image,x,y,w,h";
            DataError::entry(path, Place::Line(1), problem, fix)
        })
    };
    if table.header().is_empty() {
        return Err(DataError::format(path, "empty; want a CSV with columns image,x,y,w,h"));
    }
    let image = find(IMAGE)?;
    let [x, y, w, h] = SIDES.map(find);
    let sides = [x?, y?, w?, h?];
    let (score, frame) = (table.find(&["score"]), table.find(&["frame"]));
    let mut reader = Reader::new(path, options);
    let mut entries = Vec::new();
    while let Some(row) = table.next_row()? {
        reader.count(entries.len().saturating_add(1), "boxes")?;
        let result = entry(&row, image, sides, score, frame, &reader);
        entries.extend(reader.keep(result)?);
    }
    Ok(Detections { path: path.to_path_buf(), entries, skipped: reader.skipped })
}

fn entry(
    row: &Row,
    image: usize,
    sides: [usize; 4],
    score: Option<usize>,
    frame: Option<usize>,
    reader: &Reader<'_>,
) -> Result<Detection, DataError> {
    let bad = |problem: String, fix| DataError::entry(reader.path, row.place(), problem, fix);
    let number = |column: usize| -> Result<f64, DataError> {
        let field = row
            .fields
            .get(column)
            .ok_or_else(|| bad("too few columns".into(), "give image, x, y, w and h"))?;
        field.parse().map_err(|_| bad(format!("'{}' is no number", short(field)), "write a number"))
    };
    let [x, y, w, h] = sides;
    let bbox = reader.bbox([number(x)?, number(y)?, number(w)?, number(h)?], &row.place())?;
    let filled = |column: Option<usize>| column.filter(|&c| !row.field(c).is_empty());
    let frame = filled(frame).map(|c| {
        row.field(c)
            .parse::<u64>()
            .map_err(|_| bad(format!("'{}' is no frame number", short(row.field(c))), "frames count from 0"))
    });
    let name = row.fields.get(image).ok_or_else(|| bad("too few columns".into(), "name the image"))?;
    Ok(Detection {
        file_name: Some(name.to_string()),
        category_id: 1,
        score: filled(score).map(number).transpose()?,
        bbox: Some(bbox),
        frame: frame.transpose()?,
        place: row.place(),
        ..Detection::default()
    })
}
