//! modules beside it and says the same as the command line, to the bit.

mod evaluation;
mod features;
mod open;
mod picture;
mod predict;
mod prediction;
mod training;
mod video;

pub use features::{FeatureMap, FeatureModel};
pub use open::Builder;
pub use picture::Image;
pub use predict::Model;
pub use prediction::{NamedClass, NamedPoint, Prediction};
pub use training::Training;
pub use video::{Frame, Frames, Predictions, Video};
