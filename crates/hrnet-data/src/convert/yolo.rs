//! YOLO-pose.

use std::fmt::Write;

use super::{ConvertError, Output, bbox, stem};
use crate::dataset::model::PoseSet;

pub(super) fn write(out: &mut Output<'_, '_>, pose: &PoseSet) -> Result<(), ConvertError> {
    // All categories share the points: that of most samples decides.
    let first = pose.categories.iter().find(|c| !c.points.is_empty());
    let Some(points) = first.map(|c| c.points.clone()) else {
        return Err(ConvertError::Kind {
            path: out.set.path.clone(),
            found: "no points".into(),
            wanted: "YOLO-pose",
            fix: "give a set with key points",
        });
    };
    let used: Vec<usize> = (0..pose.categories.len())
        .filter(|&i| pose.categories.get(i).is_some_and(|c| c.points == points))
        .collect();
    for (i, list) in pose.by_image().iter().enumerate() {
        let [w, h] = out.size(pose, i)?;
        let (w, h) = (w as f64, h as f64);
        let mut text = String::new();
        for s in list.iter().filter_map(|&k| pose.samples.get(k)) {
            let class = used.iter().position(|&c| c == s.category);
            let (Some(class), Some([x, y, bw, bh]), false) = (class, bbox(s), s.crowd) else {
                out.lose("samples of another kind: crowds, other points, or without box and points");
                continue;
            };
            let middle = [(x + bw / 2.0) / w, (y + bh / 2.0) / h];
            let _ = write!(text, "{class} {} {} {} {}", middle[0], middle[1], bw / w, bh / h);
            for k in 0..points.len() {
                let p = s.points.get(k).copied().unwrap_or_default();
                let _ = write!(text, " {} {} {}", p.at[0] / w, p.at[1] / h, p.visibility.flag());
            }
            text.push('\n');
            out.done.samples += 1;
        }
        let name = out.set.image_name(i);
        out.put(&format!("labels/{}.txt", stem(&name)), text.as_bytes())?;
        out.copy_image(i, &format!("images/{name}"))?;
        out.done.images += 1;
    }
    let flip = first.map(crate::dataset::model::Category::flip_permutation).unwrap_or_default();
    let quoted = |s: &String| format!("\"{}\"", s.replace(['"', '\\', ',', '[', ']', '{', '}', ':'], "_"));
    let names: Vec<String> = used
        .iter()
        .enumerate()
        .filter_map(|(i, &c)| Some(format!("  {i}: {}\n", quoted(&pose.categories.get(c)?.name))))
        .collect();
    let joints: Vec<String> = points.iter().map(quoted).collect();
    let yaml = format!(
        "path: .\ntrain: images\nval: images\nkpt_shape: [{}, 3]\nflip_idx: {flip:?}\nnames:\n{}kpt_names:\n  0: [{}]\n",
        points.len(),
        names.concat(),
        joints.join(", ")
    );
    out.put("data.yaml", yaml.as_bytes())
}
