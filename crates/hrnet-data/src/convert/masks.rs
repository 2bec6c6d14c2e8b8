//! Masks: class numbers and class colours, and outlines made into masks.

use std::path::Path;

use super::{ConvertError, Output, stem};
use crate::dataset::label_map::{IGNORE, LabelMap};
use crate::dataset::model::{DataError, PoseSet, SegSet, read_bytes};
use crate::dataset::open::Labels;
use crate::draw::palette::Palette;
use crate::sets::naming::normal;
use hrnet_image::mask_png::decode_ids;
use hrnet_image::mask_png::encode_ids;
use hrnet_image::{DecodeOptions, Image, ImageError, decode, encode_png};

pub(super) fn write(out: &mut Output<'_, '_>, colour: bool) -> Result<(), ConvertError> {
    let palette = match (&out.options.palette, &out.options.label_map) {
        (Some(p), _) => p.clone(),
        (None, Some(map)) => Palette::of_map(map),
        (None, None) => Palette::voc(256),
    };
    match &out.set.labels {
        Labels::Masks(masks) => from_masks(out, masks, &palette, colour),
        Labels::Points(pose) => from_outlines(out, pose, &palette, colour),
        Labels::Classes(_) | Labels::Detections(_) => Err(ConvertError::Kind {
            path: out.set.path.clone(),
            found: out.set.kind.content().name().into(),
            wanted: "masks",
            fix: "give label images, or outlines in COCO or LabelMe form",
        }),
    }
}

/// The numbers of a label image: as they are, or by the colours of the palette.
fn numbers(
    path: &Path,
    palette: &Palette,
    map: Option<&LabelMap>,
    out: &Output<'_, '_>,
) -> Result<(usize, usize, Vec<u16>), ConvertError> {
    let limits = &out.options.limits;
    let bytes = read_bytes(path, limits.max_file as u64)?;
    let bad = |e: ImageError| DataError::format(path, e.to_string());
    match decode_ids(&bytes, limits) {
        Ok(labels) => {
            let ids = match map {
                Some(map) => labels.ids.iter().map(|&n| u16::from(map.class(n))).collect(),
                None => labels.ids,
            };
            Ok((labels.width, labels.height, ids))
        }
        Err(ImageError::Unsupported { what }) if what.contains("colour picture") => {
            let image = decode(&bytes, limits, DecodeOptions::default()).map_err(bad)?.image;
            let mut ids = Vec::with_capacity(image.width() * image.height());
            for (i, &rgb) in image.data().as_chunks::<3>().0.iter().enumerate() {
                let class = palette.class(rgb).ok_or_else(|| {
                    let (x, y) = (i % image.width(), i / image.width());
                    let [r, g, b] = rgb;
                    let detail = format!(
                        "the colour ({r}, {g}, {b}) at ({x}, {y}) is not in the palette; give the right one with \
                         --palette or --label-map, and masks without JPEG or smoothing"
                    );
                    ConvertError::Mask { path: path.to_path_buf(), detail }
                })?;
                ids.push(u16::from(class));
            }
            Ok((image.width(), image.height(), ids))
        }
        Err(e) => Err(bad(e).into()),
    }
}

fn from_masks(
    out: &mut Output<'_, '_>,
    masks: &SegSet,
    palette: &Palette,
    colour: bool,
) -> Result<(), ConvertError> {
    let map = out.options.label_map.clone();
    let mut list = String::new();
    for (i, sample) in masks.samples.iter().enumerate() {
        let Some(label) = &sample.label else {
            out.lose("images without a label image");
            continue;
        };
        let (w, h, ids) = numbers(label, palette, map.as_ref(), out)?;
        put(out, i, label, w, h, &ids, palette, colour, &mut list)?;
    }
    finish(out, &list, map.as_ref().map(|m| m.classes.iter().map(ToString::to_string).collect()))
}

/// Outlines become masks: 0 where nothing is, then the categories in their order from 1; or the classes of a label map by name.
fn from_outlines(
    out: &mut Output<'_, '_>,
    pose: &PoseSet,
    palette: &Palette,
    colour: bool,
) -> Result<(), ConvertError> {
    if !pose.samples.iter().any(|s| s.segmentation.is_some()) {
        return Err(ConvertError::Kind {
            path: out.set.path.clone(),
            found: "no outlines".into(),
            wanted: "masks",
            fix: "give a COCO file with segmentation, or LabelMe files with polygons",
        });
    }
    let map = out.options.label_map.clone();
    let with_outline = |c: usize| pose.samples.iter().any(|s| s.category == c && s.segmentation.is_some());
    // LabelMe's first category is that of its points.
    let outlined: Vec<usize> = (0..pose.categories.len())
        .filter(|&c| with_outline(c) || out.set.kind == crate::dataset::open::Kind::Coco)
        .collect();
    let class_of = |category: usize| -> Option<u16> {
        let name = &pose.categories.get(category)?.name;
        match &map {
            Some(map) => {
                let at = map.classes.iter().position(|c| normal(c) == normal(name))?;
                u16::try_from(at).ok()
            }
            None => u16::try_from(outlined.iter().position(|&c| c == category)? + 1).ok(),
        }
    };
    let background = match &map {
        Some(map) => {
            let at = map.classes.iter().position(|c| normal(c) == "background");
            at.and_then(|i| u16::try_from(i).ok()).unwrap_or(u16::from(IGNORE))
        }
        None => 0,
    };
    let mut list = String::new();
    for (i, samples) in pose.by_image().iter().enumerate() {
        let [w, h] = out.size(pose, i)?;
        let limits = &out.options.limits;
        let file = pose.images.get(i).map(|image| image.file.clone()).unwrap_or_default();
        if (w as u64).saturating_mul(h as u64) > limits.max_pixels {
            let detail = format!("a mask of {w}x{h} is above the limit of {} pixels", limits.max_pixels);
            return Err(ConvertError::Mask { path: file, detail });
        }
        let mut ids = vec![background; w * h];
        let mut parts = Vec::new();
        for s in samples.iter().filter_map(|&k| pose.samples.get(k)) {
            let Some(segmentation) = &s.segmentation else {
                out.lose("samples without an outline");
                continue;
            };
            let class = if s.crowd { Some(u16::from(IGNORE)) } else { class_of(s.category) };
            let Some(class) = class else {
                out.lose("outlines whose category is no class of the label map");
                continue;
            };
            let Some(mask) = segmentation.mask(w, h) else {
                out.lose("masks of another size than their image");
                continue;
            };
            parts.push((mask.iter().filter(|&&m| m).count(), class, mask));
        }
        // Small things lie on large ones.
        parts.sort_by_key(|(area, _, _)| std::cmp::Reverse(*area));
        for (_, class, mask) in &parts {
            for (id, _) in ids.iter_mut().zip(mask).filter(|(_, inside)| **inside) {
                *id = *class;
            }
        }
        put(out, i, &file, w, h, &ids, palette, colour, &mut list)?;
    }
    let names = match &map {
        Some(map) => map.classes.iter().map(ToString::to_string).collect(),
        None => std::iter::once("background".to_string())
            .chain(outlined.iter().filter_map(|&c| pose.categories.get(c)).map(|c| c.name.clone()))
            .collect(),
    };
    finish(out, &list, Some(names))
}

#[allow(clippy::too_many_arguments)] // One call from each of two places.
fn put(
    out: &mut Output<'_, '_>,
    index: usize,
    source: &Path,
    w: usize,
    h: usize,
    ids: &[u16],
    palette: &Palette,
    colour: bool,
    list: &mut String,
) -> Result<(), ConvertError> {
    let image = out.set.image_name(index);
    let label = format!("labels/{}.png", stem(&image));
    let bytes = if colour {
        if let Some(n) = ids.iter().find(|&&n| !palette.knows(usize::from(n))) {
            let detail = format!("number {n} has no colour; give --palette or --label-map");
            return Err(ConvertError::Mask { path: source.to_path_buf(), detail });
        }
        let data = ids.iter().flat_map(|&n| palette.colour(usize::from(n))).collect();
        encode_png(&Image::new(w, h, data)?)?
    } else {
        encode_ids(w, h, ids)?
    };
    out.put(&label, &bytes)?;
    out.copy_image(index, &format!("images/{image}"))?;
    list.push_str(&format!("images/{image}\t{label}\n"));
    out.done.images += 1;
    out.done.samples += 1;
    Ok(())
}

fn finish(out: &mut Output<'_, '_>, list: &str, names: Option<Vec<String>>) -> Result<(), ConvertError> {
    out.put("list.lst", list.as_bytes())?;
    if let Some(names) = names.filter(|n| !n.is_empty()) {
        let text: String = names.iter().enumerate().map(|(i, n)| format!("{i},{n}\n")).collect();
        out.put("classes.csv", text.as_bytes())?;
    }
    Ok(())
}
