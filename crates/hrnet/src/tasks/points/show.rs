//! What passed between the steps of points in boxes, as pictures.

use super::Stages;
use crate::result::Schema;
use hrnet_data::draw::heat::{HeatMaps, heat_sheet};
use hrnet_formats::Recipe;
use hrnet_image::Image;

/// Longer side of a tile of a heat-map sheet.
const HEAT_CELL: usize = 224;

/// All heat maps of a box over its crop.
pub fn heat_maps(stages: &Stages, recipe: &Recipe, schema: &Schema, maps: [usize; 2]) -> Option<Image> {
    let [height, width] = maps;
    let maps = HeatMaps::new(&stages.heatmaps, height, width)?;
    heat_sheet(&crop_image(stages, recipe), &maps, &schema.names, "", HEAT_CELL)
}

/// The network's input as a picture.
pub fn crop_image(stages: &Stages, recipe: &Recipe) -> Image {
    let (h, w) = recipe.input_size;
    let mut crop = Image::filled(w, h, [0; 3]);
    for (i, rgb) in crop.data_mut().chunks_exact_mut(3).enumerate() {
        for (c, v) in rgb.iter_mut().enumerate() {
            let value = f64::from(stages.input[c * h * w + i]) * recipe.std[c] + recipe.mean[c];
            *v = (value * 255.0).round().clamp(0.0, 255.0) as u8;
        }
    }
    crop
}
