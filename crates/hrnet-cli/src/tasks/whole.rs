//! What models for whole images have in common in `eval`: segmentation and classification.

use crate::cli::Eval;
use crate::cmd::eval::{Evaluated, flip, protocol};
use hrnet::error::Result;
use hrnet::measure::{Measured, Setting, read_labelled};
use hrnet::tasks::{Predictor, Request};
use hrnet_image::{Image, Limits};

/// What was measured, with the settings of the verb and the worst samples.
pub(super) fn evaluated(
    args: &Eval,
    mut measured: Measured,
    predictor: &mut Predictor,
    pictures: bool,
) -> Result<Evaluated> {
    for (key, value) in [("flip", flip(args.flip).to_string()), ("protocol", protocol(args))] {
        if !measured.settings.iter().any(|s| s.key == key) {
            measured.settings.push(Setting { key, value });
        }
    }
    let worst = if pictures { pictures_of(&measured, predictor)? } else { Vec::new() };
    Ok(Evaluated { measured, worst })
}

/// The worst images with what was found in them.
fn pictures_of(measured: &Measured, predictor: &mut Predictor) -> Result<Vec<(Image, String)>> {
    let mut out = Vec::new();
    for worst in &measured.worst {
        let image = read_labelled(&worst.image, None, &Limits::default())?;
        let predicted =
            predictor.predict(&[Request { image: &image, boxes: None }])?.swap_remove(0).predicted;
        let picture = match predicted.is_seen() {
            true => predicted.overlay(&image, predictor.schema(), true),
            false => image,
        };
        let name = worst.image.file_name().unwrap_or_default().to_string_lossy();
        let value = measured.worst_by.1.show(Some(worst.value));
        out.push((picture, format!("{value}  {name}\n{}", worst.note)));
    }
    Ok(out)
}
