//! Annotations of a COCO-style file.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use serde::Deserialize;
use serde_json::value::RawValue;

use super::category::Categories;
use super::{CocoOptions, Id, ImageIndex, Notes, WholeBody, duplicate, entry, four};
use crate::dataset::coco_mask;
use crate::dataset::model::{
    DataError, Place, PoseImage, PosePoint, PoseSample, Reader, Seen, Visibility, short, whole,
};

#[derive(Deserialize)]
#[serde(untagged, expecting = "iscrowd is 0 or 1")]
enum Flag {
    Bool(bool),
    Number(f64),
    Text(String),
}

#[derive(Deserialize)]
struct RawAnnotation<'a> {
    id: Option<Id>,
    image_id: Id,
    category_id: Option<Id>,
    bbox: Option<Vec<f64>>,
    keypoints: Option<Vec<f64>>,
    num_keypoints: Option<f64>,
    area: Option<f64>,
    iscrowd: Option<Flag>,
    #[serde(borrow)]
    segmentation: Option<&'a RawValue>,
    center: Option<[f64; 2]>,
    scale: Option<f64>,
    foot_kpts: Option<Vec<f64>>,
    face_kpts: Option<Vec<f64>>,
    lefthand_kpts: Option<Vec<f64>>,
    righthand_kpts: Option<Vec<f64>>,
}

pub(super) fn annotation(
    item: &RawValue,
    index: usize,
    image_index: &ImageIndex,
    images: &[PoseImage],
    categories: &mut Categories,
    ids: &mut Seen<i64>,
    options: &CocoOptions,
    reader: &Reader<'_>,
    notes: &mut Notes,
) -> Result<Option<PoseSample>, DataError> {
    let place = Place::Item { list: "annotations", index };
    let bad = |problem: String, fix| DataError::entry(reader.path, place.clone(), problem, fix);
    let raw: RawAnnotation<'_> = entry(item, reader.path, &place)?;
    let ids_are = "ids are whole numbers";
    let id = raw.id.as_ref().map_or(Ok(index as i64), Id::get).map_err(|e| bad(e, ids_are))?;
    if raw.id.is_some()
        && let Some(first) = ids.before(id, index as u64)
    {
        return Err(duplicate(reader.path, &place, format!("annotation id {id}"), first));
    }
    let image_id = raw.image_id.get().map_err(|e| bad(e, ids_are))?;
    let image = match image_index.get(&image_id) {
        Some(Some(i)) => *i,
        Some(None) => {
            notes.add("left out with its image", &place);
            return Ok(None);
        }
        None => {
            return Err(bad(
                format!("there is no image with id {image_id}"),
                "correct image_id or add the image",
            ));
        }
    };
    let category_id = raw.category_id.as_ref().map_or(Ok(1), Id::get).map_err(|e| bad(e, ids_are))?;
    let category = *categories.index.get(&category_id).ok_or_else(|| {
        bad(format!("there is no category with id {category_id}"), "correct category_id or add it")
    })?;
    let bbox = four(raw.bbox, &place, reader.path)?;
    let bbox = bbox.map(|b| reader.bbox(b, &place)).transpose()?;
    if let Some(area) = raw.area
        && !(area.is_finite() && area >= 0.0)
    {
        return Err(bad(format!("the area is {area}"), "areas are square pixels, not below 0"));
    }
    let mut numbers = raw.keypoints.unwrap_or_default();
    if options.whole_body == WholeBody::Join && numbers.len() == 51 {
        let parts =
            [(raw.foot_kpts, 18), (raw.face_kpts, 204), (raw.lefthand_kpts, 63), (raw.righthand_kpts, 63)];
        for (part, wanted) in parts {
            let part = part.unwrap_or_default();
            if part.len() != wanted {
                let problem =
                    format!("a part of the whole body has {} numbers instead of {wanted}", part.len());
                return Err(bad(problem, "give foot_kpts, face_kpts, lefthand_kpts and righthand_kpts"));
            }
            numbers.extend(part);
        }
    }
    let points = points(&numbers, reader, &place, notes)?;
    if !points.is_empty() && !categories.fits(category, points.len()) {
        let named = categories.list.get(category).map_or(0, |c| c.points.len());
        let problem = format!("keypoints has {} numbers, its category has {named} points", numbers.len());
        return Err(bad(problem, "give x, y, v for every point of the category; absent points are 0, 0, 0"));
    }
    let labelled = points.iter().filter(|p| p.visibility.labelled()).count();
    let num_keypoints = match raw.num_keypoints {
        Some(v) => {
            let n = whole(v).and_then(|n| usize::try_from(n).ok()).ok_or_else(|| {
                bad(format!("num_keypoints is {v}"), "write the number of points with v > 0")
            })?;
            if n != labelled && !numbers.is_empty() {
                notes.add(
                    "num_keypoints is not the number of points with v > 0; kept, since COCO's metric uses it",
                    &place,
                );
            }
            n
        }
        None => labelled,
    };
    let crowd = match raw.iscrowd {
        None => false,
        Some(Flag::Bool(b)) => b,
        Some(Flag::Number(0.0)) => false,
        Some(Flag::Number(1.0)) => true,
        Some(Flag::Text(t)) if ["0", "false"].contains(&t.trim()) => false,
        Some(Flag::Text(t)) if ["1", "true"].contains(&t.trim()) => true,
        Some(Flag::Text(t)) => {
            return Err(bad(format!("iscrowd is {:?}", short(&t)), "iscrowd is 0 or 1"));
        }
        Some(Flag::Number(n)) => return Err(bad(format!("iscrowd is {n}"), "iscrowd is 0 or 1")),
    };
    let centre_scale = match (raw.center, raw.scale) {
        (Some([x, y]), Some(scale)) => {
            let centre = [reader.coordinate(x, "center", &place)?, reader.coordinate(y, "center", &place)?];
            if !(scale.is_finite() && scale > 0.0) {
                return Err(bad(format!("scale is {scale}"), "scale is the size over 200 pixels, above 0"));
            }
            Some((centre, scale))
        }
        _ => None,
    };
    let segmentation = match raw.segmentation.filter(|s| options.segmentation && s.get() != "null") {
        None => None,
        Some(s) => {
            let size = images.get(image).and_then(|i| i.size);
            let raw: coco_mask::Raw = serde_json::from_str(s.get()).map_err(|_| {
                bad(
                    "segmentation is neither polygons nor run lengths".into(),
                    "give [[x, y, ...]] or {size, counts}",
                )
            })?;
            let limit = reader.options.limits.max_coordinate;
            Some(raw.check(size, limit).map_err(|e| {
                bad(format!("segmentation: {e}"), "correct the outline, or leave segmentation out")
            })?)
        }
    };
    Ok(Some(PoseSample {
        id,
        image,
        category,
        bbox,
        points,
        num_keypoints,
        area: raw.area,
        crowd,
        head_size: None,
        box_size: centre_scale
            .map(|c| 200.0 * c.1)
            .or_else(|| bbox.map(|b| b[2].max(b[3])))
            .filter(|v| *v > 0.0),
        centre_scale,
        segmentation,
    }))
}

/// Points from x, y, v. COCO-WholeBody labels some hands by machine and writes a confidence for v.
fn points(
    numbers: &[f64],
    reader: &Reader<'_>,
    place: &Place,
    notes: &mut Notes,
) -> Result<Vec<PosePoint>, DataError> {
    let (triples, rest) = numbers.as_chunks::<3>();
    if !rest.is_empty() {
        let problem = format!("keypoints has {} numbers, which are not x, y, v of each point", numbers.len());
        return Err(DataError::entry(reader.path, place.clone(), problem, "give three numbers per point"));
    }
    let mut out = Vec::with_capacity(triples.len());
    for (i, &[x, y, v]) in triples.iter().enumerate() {
        let visibility = match v {
            0.0 => Visibility::Absent,
            1.0 => Visibility::Hidden,
            2.0 => Visibility::Visible,
            _ if numbers.len() == 399 && v > 0.0 && v < 2.0 => {
                notes.add("v is a confidence, not 0, 1 or 2; the point counts as hidden", place);
                Visibility::Hidden
            }
            _ => {
                let problem = format!("point {i} has the flag {v}");
                return Err(DataError::entry(reader.path, place.clone(), problem, "v is 0, 1 or 2"));
            }
        };
        let at = [reader.coordinate(x, "x of a point", place)?, reader.coordinate(y, "y of a point", place)?];
        out.push(PosePoint { at: if visibility.labelled() { at } else { [0.0; 2] }, visibility });
    }
    Ok(out)
}
