//! COCO, CVAT, LabelMe.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{ConvertError, Output, bbox, stem};
use crate::dataset::coco_mask::Segmentation;
use crate::dataset::model::{Category, PoseSample, PoseSet, Visibility};
use crate::dataset::open::Kind;

pub(super) fn coco(out: &mut Output<'_, '_>, pose: &PoseSet) -> Result<(), ConvertError> {
    // Ids of other formats are line numbers or the like; they are made anew unless they are COCO's own.
    let own = out.set.kind == Kind::Coco;
    let mut images = Vec::with_capacity(pose.images.len());
    for (i, image) in pose.images.iter().enumerate() {
        let [w, h] = out.size(pose, i)?;
        let id = if own { image.id } else { i as i64 + 1 };
        let mut entry = json!({"id": id, "file_name": out.set.image_name(i), "width": w, "height": h});
        if let Some(c) = image.crowd_index {
            entry["crowdIndex"] = c.into();
        }
        images.push(entry);
    }
    let categories: Vec<Value> = pose
        .categories
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let mut entry = json!({"id": if own { c.id } else { i as i64 + 1 }, "name": c.name});
            if !c.points.is_empty() {
                entry["keypoints"] = json!(c.points);
                entry["skeleton"] = c
                    .skeleton
                    .iter()
                    .map(|l| l.map(|p| p + 1))
                    .collect::<Vec<_>>()
                    .into_iter()
                    .map(|l| json!(l))
                    .collect();
                entry["flip_pairs"] = c.flip_pairs.iter().map(|&(a, b)| json!([a, b])).collect();
            }
            if let Some(s) = &c.sigmas {
                entry["sigmas"] = json!(s);
            }
            entry
        })
        .collect();
    let mut annotations = Vec::with_capacity(pose.samples.len());
    for (i, s) in pose.samples.iter().enumerate() {
        let id = |list: &[Value], at: usize| list.get(at).map_or(Value::Null, |v| v["id"].clone());
        let b = s.bbox.or_else(|| bbox(s));
        let mut entry = json!({
            "id": if own { s.id } else { i as i64 + 1 },
            "image_id": id(&images, s.image),
            "category_id": id(&categories, s.category),
            "iscrowd": u8::from(s.crowd),
        });
        if let Some([x, y, w, h]) = b {
            entry["bbox"] = json!([x, y, w, h]);
            entry["area"] = json!(s.area.unwrap_or(w * h));
        }
        if !s.points.is_empty() {
            let flat: Vec<f64> =
                s.points.iter().flat_map(|p| [p.at[0], p.at[1], f64::from(p.visibility.flag())]).collect();
            entry["keypoints"] = flat.into_iter().map(number).collect();
            entry["num_keypoints"] = s.num_keypoints.into();
        } else if own {
            entry["num_keypoints"] = s.num_keypoints.into();
        }
        if let Some((centre, scale)) = s.centre_scale {
            entry["center"] = json!(centre);
            entry["scale"] = json!(scale);
        }
        if let Some(segmentation) = &s.segmentation {
            entry["segmentation"] = match segmentation {
                Segmentation::Polygons(list) => {
                    list.iter().map(|p| p.iter().flatten().map(|&v| number(v)).collect::<Value>()).collect()
                }
                Segmentation::Runs { width, height, counts } => {
                    json!({"size": [height, width], "counts": counts})
                }
            };
        }
        if s.head_size.is_some() {
            out.lose("head sizes (COCO has no place for them)");
        }
        annotations.push(entry);
    }
    out.done.images = images.len();
    out.done.samples = annotations.len();
    let file = json!({"images": images, "categories": categories, "annotations": annotations});
    out.put("", file.to_string().as_bytes())
}

/// Whole numbers without a point, as COCO writes them.
fn number(v: f64) -> Value {
    if v.fract() == 0.0 && v.abs() < 9e15 { json!(v as i64) } else { json!(v) }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            // No other control character can be written in XML.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

pub(super) fn cvat(out: &mut Output<'_, '_>, pose: &PoseSet) -> Result<(), ConvertError> {
    let mut xml =
        String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<annotations>\n  <version>1.1</version>\n");
    xml.push_str("  <meta>\n    <job>\n      <labels>\n");
    for c in pose.categories.iter().filter(|c| !c.points.is_empty()) {
        let name = escaped(&c.name);
        let _ = writeln!(xml, "        <label><name>{name}</name><type>skeleton</type></label>");
        for p in &c.points {
            let p = escaped(p);
            let _ = writeln!(
                xml,
                "        <label><name>{p}</name><type>points</type><parent>{name}</parent></label>"
            );
        }
    }
    xml.push_str("      </labels>\n    </job>\n  </meta>\n");
    for (i, list) in pose.by_image().iter().enumerate() {
        let [w, h] = out.size(pose, i)?;
        let name = escaped(&out.set.image_name(i));
        let _ = writeln!(xml, "  <image id=\"{i}\" name=\"{name}\" width=\"{w}\" height=\"{h}\">");
        for (group, s) in (1..).zip(list.iter().filter_map(|&k| pose.samples.get(k))) {
            let Some(c) = pose.categories.get(s.category) else { continue };
            if s.points.is_empty() {
                out.lose("samples without points (CVAT's boxes and outlines are not written)");
                continue;
            }
            if s.segmentation.is_some() {
                out.lose("outlines");
            }
            skeleton(&mut xml, s, c, group);
            out.done.samples += 1;
        }
        xml.push_str("  </image>\n");
        out.done.images += 1;
    }
    xml.push_str("</annotations>\n");
    out.put("", xml.as_bytes())
}

fn skeleton(xml: &mut String, s: &PoseSample, c: &Category, group: usize) {
    let label = escaped(&c.name);
    let _ = writeln!(
        xml,
        "    <skeleton label=\"{label}\" source=\"manual\" z_order=\"0\" group_id=\"{group}\">"
    );
    for (p, name) in s.points.iter().zip(&c.points) {
        let flag = |v: Visibility| u8::from(p.visibility == v);
        let (outside, occluded) = (flag(Visibility::Absent), flag(Visibility::Hidden));
        let (x, y, name) = (p.at[0], p.at[1], escaped(name));
        let _ = writeln!(
            xml,
            "      <points label=\"{name}\" source=\"manual\" outside=\"{outside}\" occluded=\"{occluded}\" points=\"{x},{y}\"/>"
        );
    }
    xml.push_str("    </skeleton>\n");
    if let Some([x, y, w, h]) = s.bbox {
        let _ = writeln!(
            xml,
            "    <box label=\"{label}\" source=\"manual\" occluded=\"0\" xtl=\"{x}\" ytl=\"{y}\" xbr=\"{}\" ybr=\"{}\" z_order=\"0\" group_id=\"{group}\"/>",
            x + w,
            y + h
        );
    }
}

pub(super) fn labelme(out: &mut Output<'_, '_>, pose: &PoseSet) -> Result<(), ConvertError> {
    for (i, list) in pose.by_image().iter().enumerate() {
        let [w, h] = out.size(pose, i)?;
        let name = out.set.image_name(i);
        let mut shapes = Vec::new();
        let mut shape = |label: &str, kind: &str, points: Value, group: Option<usize>, hidden: bool| {
            let flags = if hidden { json!({"occluded": true}) } else { json!({}) };
            shapes.push(json!({
                "label": label, "points": points, "group_id": group, "shape_type": kind, "flags": flags,
            }));
        };
        for (group, s) in (1..).zip(list.iter().filter_map(|&k| pose.samples.get(k))) {
            let Some(c) = pose.categories.get(s.category) else { continue };
            let group = Some(group);
            for (p, joint) in s.points.iter().zip(&c.points).filter(|(p, _)| p.visibility.labelled()) {
                shape(joint, "point", json!([p.at]), group, p.visibility == Visibility::Hidden);
            }
            if let Some([x, y, w, h]) = s.bbox.filter(|_| s.segmentation.is_none() || !s.points.is_empty()) {
                shape(&c.name, "rectangle", json!([[x, y], [x + w, y + h]]), group, false);
            }
            match &s.segmentation {
                Some(Segmentation::Polygons(polygons)) => {
                    for p in polygons {
                        shape(&c.name, "polygon", json!(p), group, false);
                    }
                }
                Some(Segmentation::Runs { .. }) => {
                    out.lose("masks of run lengths (LabelMe has polygons only)")
                }
                None => {}
            }
            out.done.samples += 1;
        }
        let file = json!({
            "version": "5.0.1", "flags": {}, "shapes": shapes, "imagePath": name, "imageData": null,
            "imageHeight": h, "imageWidth": w,
        });
        let text = serde_json::to_string_pretty(&file).unwrap_or_default();
        out.put(&format!("{}.json", stem(&name).replace('/', "__")), text.as_bytes())?;
        out.copy_image(i, &name)?;
        out.done.images += 1;
    }
    Ok(())
}
