//! The one table of facts about point sets and class sets: names, mirror pairs, lines, constants, colours, and where they come from.
//!
//! Everything else asks here: recipes, readers of data sets, metrics, drawing, the command line. A set is chosen by its name, by the
//! names of its points or classes, or, said aloud, by a guess ([`PointSet::guess`], [`ClassSet::guess`]); a number of points alone
//! never decides silently.
//!
//! | file | sets |
//! |---|---|
//! | `body`, `whole_body`, `face`, `hand`, `animal`, `fashion` | points |
//! | `street`, `scene` | classes |

mod animal;
mod body;
mod class;
mod face;
mod fashion;
mod hand;
pub mod naming;
mod point;
mod scene;
mod street;
mod whole_body;

pub use animal::*;
pub use body::*;
pub use class::{ClassColours, ClassSet, voc_colour};
pub use face::*;
pub use fashion::*;
pub use hand::*;
pub use point::{Outline, PointKind, PointSet, SigmaSource, flip_permutation};
pub use scene::*;
pub use street::*;
pub use whole_body::*;
