//! WFLW, `.pts`, landmark CSV: all points of a face, without flags.

use std::fmt::Write;

use super::{ConvertError, Output, bbox, stem};
use crate::dataset::model::{PoseSample, PoseSet, face_centre_scale};

/// The points of a sample when all are labelled.
fn complete(out: &mut Output<'_, '_>, s: &PoseSample, count: usize) -> Option<Vec<[f64; 2]>> {
    if s.points.len() != count || s.labelled() != count {
        out.lose("samples left out, since not all of their points are labelled");
        return None;
    }
    Some(s.points.iter().map(|p| p.at).collect())
}

/// The number of points of the faces of a set.
fn count(out: &Output<'_, '_>, pose: &PoseSet, wanted: &'static str) -> Result<usize, ConvertError> {
    let mut counts = pose.categories.iter().map(|c| c.points.len()).filter(|&n| n > 0);
    let first = counts.next().unwrap_or(0);
    let found = match (first, counts.find(|&n| n != first)) {
        (0, _) => "no points".to_string(),
        (_, Some(other)) => format!("samples of {first} and of {other} points"),
        (n, None) => return Ok(n),
    };
    let fix = "give a set whose samples all have the same points";
    Err(ConvertError::Kind { path: out.set.path.clone(), found, wanted, fix })
}

/// Nothing was left.
fn none(out: &Output<'_, '_>, wanted: &'static str) -> Result<(), ConvertError> {
    if out.done.samples > 0 {
        return Ok(());
    }
    Err(ConvertError::Kind {
        path: out.set.path.clone(),
        found: "no sample with all of its points labelled".into(),
        wanted,
        fix: "use coco, cvat, labelme or yolo-pose, which know absent points",
    })
}

pub(super) fn wflw(out: &mut Output<'_, '_>, pose: &PoseSet) -> Result<(), ConvertError> {
    let n = count(out, pose, "a WFLW list")?;
    if n != 98 {
        return Err(ConvertError::Kind {
            path: out.set.path.clone(),
            found: format!("faces of {n} points"),
            wanted: "a WFLW list",
            fix: "WFLW has 98; landmark-csv and pts take any number",
        });
    }
    let mut text = String::new();
    for s in &pose.samples {
        let name = out.set.image_name(s.image);
        if name.contains(char::is_whitespace) {
            out.lose("samples left out, since the name of their image has a blank");
            continue;
        }
        let Some(points) = complete(out, s, n) else { continue };
        for [x, y] in points {
            let _ = write!(text, "{x} {y} ");
        }
        let [x, y, w, h] = bbox(s).unwrap_or_default();
        let _ = writeln!(text, "{x} {y} {} {} 0 0 0 0 0 0 {name}", x + w, y + h);
        out.done.samples += 1;
    }
    none(out, "a WFLW list")?;
    out.done.images = pose.images.len();
    out.done.notes.push("the six attributes of WFLW are written as 0".into());
    out.put("", text.as_bytes())
}

pub(super) fn pts(out: &mut Output<'_, '_>, pose: &PoseSet) -> Result<(), ConvertError> {
    let n = count(out, pose, ".pts files")?;
    for (i, list) in pose.by_image().iter().enumerate() {
        let name = out.set.image_name(i);
        let ending = name.strip_prefix(stem(&name)).unwrap_or("").to_string();
        let mut written = 0;
        for &k in list {
            let Some(s) = pose.samples.get(k) else { continue };
            let Some(points) = complete(out, s, n) else { continue };
            written += 1;
            // A .pts file is of one face: further faces of an image get a number, and the image a copy with it.
            let stem =
                if written == 1 { stem(&name).to_string() } else { format!("{}_{written}", stem(&name)) };
            let mut text = format!("version: 1\nn_points: {n}\n{{\n");
            for [x, y] in points {
                let _ = writeln!(text, "{} {}", x + 1.0, y + 1.0);
            }
            text.push_str("}\n");
            out.put(&format!("{stem}.pts"), text.as_bytes())?;
            out.copy_image(i, &format!("{stem}{ending}"))?;
            out.done.samples += 1;
        }
        out.done.images += usize::from(written > 0);
    }
    none(out, ".pts files")
}

pub(super) fn csv(out: &mut Output<'_, '_>, pose: &PoseSet) -> Result<(), ConvertError> {
    let n = count(out, pose, "a landmark CSV")?;
    let mut text = String::from("image_name,scale,center_w,center_h");
    for i in 0..n {
        let _ = write!(text, ",original_{i}_x,original_{i}_y");
    }
    text.push('\n');
    for s in &pose.samples {
        let Some(points) = complete(out, s, n) else { continue };
        let Some(([cx, cy], scale)) =
            s.centre_scale.or_else(|| face_centre_scale(&points)).filter(|(_, s)| *s > 0.0)
        else {
            out.lose("samples left out, since their points are at one place");
            continue;
        };
        let name = out.set.image_name(s.image);
        let quoted = name.contains([',', '"', '\n']);
        let name = if quoted { format!("\"{}\"", name.replace('"', "\"\"")) } else { name };
        let _ = write!(text, "{name},{scale},{cx},{cy}");
        for [x, y] in points {
            let _ = write!(text, ",{x},{y}");
        }
        text.push('\n');
        out.done.samples += 1;
    }
    none(out, "a landmark CSV")?;
    out.done.images = pose.images.len();
    out.put("", text.as_bytes())
}
