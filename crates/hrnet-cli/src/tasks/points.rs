//! Options of points in boxes, which faces and poses have in common.

use crate::cli::{Protocol, decoders};
use clap::Args;
use hrnet::model::NamedFacts;
use hrnet::tasks::PointOptions;
use hrnet_data::codec::heatmap::SubPixel;
use hrnet_ir::Decoder;

/// Options of points in boxes.
#[derive(Debug, Clone, Args)]
pub struct Points {
    /// The set of the model's points, such as coco17 or ap10k17 (docs/sets.md) [default: what the file says, else a guess]
    #[arg(long, value_name = "SET")]
    pub points: Option<String>,
    /// How points are read off heat maps [default: what the model's recipe says]
    #[arg(long, value_parser = decoders())]
    pub decoder: Option<Decoder>,
    /// Width of the blur of DARK and UDP in heat-map pixels, odd [default: by the recipe]
    #[arg(long, value_name = "N", requires = "decoder", value_parser = parse_kernel)]
    pub blur: Option<usize>,
    /// With --flip: move the maps of the mirrored image by one pixel [default: as the model was trained]
    #[arg(long, value_name = "true|false", requires = "flip")]
    pub shift_heatmap: Option<bool>,
}

impl Points {
    /// What is said about the model.
    pub fn named(&self) -> NamedFacts {
        NamedFacts { points: self.points.clone(), decoder: self.decoder }
    }

    /// The same for the tasks.
    pub fn options(&self, flip: bool, protocol: Protocol) -> PointOptions {
        // The published width: 11 fits the usual deviation of 2 heat-map pixels.
        let kernel = self.blur.unwrap_or(11);
        let decoder = self.decoder.and_then(|decoder| SubPixel::of(decoder, kernel));
        PointOptions { flip, protocol: protocol.into(), decoder, shift: self.shift_heatmap }
    }
}

fn parse_kernel(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if n % 2 == 1 && n <= 99 => Ok(n),
        _ => Err(format!("'{text}' is not an odd number from 1 to 99")),
    }
}
