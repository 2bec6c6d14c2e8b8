//! What a network is for. The one task type: recipes, configurations, the command line and reports all use it.

use crate::Head;
use serde::{Deserialize, Serialize};

/// What the network is for. The serialised names are those of recipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Points of a person in a box.
    Pose,
    /// Points of all persons in an image.
    BottomUpPose,
    /// Points of a face in a box.
    Face,
    /// A class per pixel.
    Segmentation,
    /// A class per image.
    Classification,
    /// A feature pyramid for detectors.
    Detection,
    /// Branches without a head.
    Features,
}

impl Task {
    /// All of them, in the order of the type.
    pub const ALL: [Self; 7] = [
        Self::Pose,
        Self::BottomUpPose,
        Self::Face,
        Self::Segmentation,
        Self::Classification,
        Self::Detection,
        Self::Features,
    ];

    /// What a head is for.
    pub fn of(head: &Head) -> Self {
        match head {
            Head::Pose { .. } => Self::Pose,
            Head::Higher { .. } => Self::BottomUpPose,
            Head::Landmark { .. } => Self::Face,
            Head::Segment { .. } | Head::Ocr { .. } => Self::Segmentation,
            Head::Classify { .. } => Self::Classification,
            Head::Pyramid { .. } => Self::Detection,
            Head::Features => Self::Features,
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pose => "pose",
            Self::BottomUpPose => "bottom-up",
            Self::Face => "face",
            Self::Segmentation => "segmentation",
            Self::Classification => "classification",
            Self::Detection => "detection",
            Self::Features => "features",
        }
    }

    /// Its name in sentences, tables and reports.
    pub fn title(self) -> &'static str {
        match self {
            Self::Pose => "pose",
            Self::BottomUpPose => "bottom-up pose",
            Self::Face => "faces",
            Self::Segmentation => "segmentation",
            Self::Classification => "classification",
            Self::Detection => "detection",
            Self::Features => "features",
        }
    }

    /// The task of that name, in the spelling of the command line, of configurations or of recipes.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "bottom_up" | "bottom_up_pose" => Some(Self::BottomUpPose),
            name => Self::ALL.into_iter().find(|t| t.name() == name),
        }
    }

    /// Whether the results are points.
    pub fn has_points(self) -> bool {
        match self {
            Self::Pose | Self::BottomUpPose | Self::Face => true,
            Self::Segmentation | Self::Classification | Self::Detection | Self::Features => false,
        }
    }

    /// Whether the results are classes.
    pub fn has_classes(self) -> bool {
        match self {
            Self::Segmentation | Self::Classification => true,
            Self::Pose | Self::BottomUpPose | Self::Face | Self::Detection | Self::Features => false,
        }
    }

    /// Whether the network sees one box at a time.
    pub fn is_top_down(self) -> bool {
        match self {
            Self::Pose | Self::Face => true,
            Self::BottomUpPose
            | Self::Segmentation
            | Self::Classification
            | Self::Detection
            | Self::Features => false,
        }
    }
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for task in Task::ALL {
            assert_eq!(Task::parse(task.name()), Some(task));
            assert_eq!(task.to_string(), task.name());
        }
        // As configurations and recipes spell it.
        assert_eq!(Task::parse("bottom_up"), Some(Task::BottomUpPose));
        assert_eq!(Task::parse("bottom_up_pose"), Some(Task::BottomUpPose));
        assert_eq!(Task::parse("Pose"), None);
    }
}
