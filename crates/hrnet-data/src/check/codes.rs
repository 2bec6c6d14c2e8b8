//! What can be found, with what it does to a training and how it is put right. The names are stable: they are in the JSON
//! report and in `docs/data.md`.

use serde::{Serialize, Serializer};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Probably wrong, or right and rare.
    Warning,
    /// Wrong: training or measuring on it gives wrong results.
    Defect,
}

macro_rules! codes {
    ($($variant:ident $name:literal $severity:ident $title:literal $fix:literal;)*) => {
        /// A kind of finding.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $title] $variant,)* }

        impl Code {
            /// All of them.
            pub const ALL: &[Code] = &[$(Code::$variant),*];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(Code::$variant => Severity::$severity,)* }
            }

            /// In words, to follow a count.
            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }

            /// What to do, in one sentence.
            pub fn fix(self) -> &'static str {
                match self { $(Code::$variant => $fix,)* }
            }
        }
    };
}

codes! {
    // Files.
    MissingImage "missing-image" Defect "image files that are not there"
        "Give the folder of the images with --images, or remove the entries.";
    MissingLabel "missing-label" Defect "label images that are not there"
        "Give every image of the list a label image, or remove its line.";
    UnreadableImage "unreadable-image" Defect "images that cannot be decoded"
        "Replace the files or convert them to PNG or JPEG; the example says why one was refused.";
    TruncatedImage "truncated-image" Defect "images that are cut off"
        "Copy or download the files again.";
    DuplicateEntry "duplicate-entry" Defect "entries that repeat another"
        "Remove or rename one of the two.";
    DuplicateFile "duplicate-file" Warning "image files that are listed more than once"
        "List every image once and give all of its samples that one entry.";
    DuplicateImage "duplicate-image" Warning "images that are byte for byte the same as another of the set"
        "Keep one copy, or the sample counts double.";
    Leak "leak" Defect "images that are in more than one of the sets"
        "Remove them from one set: results on images that were trained on say nothing.";
    BrokenEntry "broken-entry" Defect "entries that cannot be read"
        "Correct or remove them; the example says what is wrong.";
    NotANumber "not-a-number" Defect "values that are NaN or infinite"
        "Write numbers, or mark the points as not labelled; one such value makes the whole training NaN.";
    SizeMismatch "size-mismatch" Defect "images of another size than their labels say"
        "Label the images that are used: after resizing an image its points have to be scaled too.";
    TurnedImage "turned-image" Defect "photos whose labels belong to the picture before its EXIF rotation"
        "Save the photos upright without EXIF orientation, or label them as they are shown.";
    // Points.
    NoLabels "no-labels" Defect "sets without a single labelled sample"
        "Check that this is the right file, and that its flags say which points are labelled.";
    UnlabelledSample "unlabelled-sample" Note "samples without a labelled point"
        "Nothing to do if they are meant: training leaves them out.";
    AllAtOrigin "all-at-origin" Defect "samples whose labelled points are all at (0, 0)"
        "Mark points that are not labelled with v = 0, or they teach the network to look into the corner.";
    PointAtOrigin "point-at-origin" Warning "labelled points at exactly (0, 0)"
        "Mark points that are not labelled with v = 0.";
    Collapsed "collapsed" Defect "samples whose labelled points are all at one place"
        "Label them again or remove them.";
    PointOutside "point-outside" Warning "labelled points outside of their image"
        "Correct them, or mark them as not labelled; a few at a cut-off border are usual.";
    SampleOutside "sample-outside" Defect "samples that lie wholly outside of their image"
        "Their labels belong to another image or another size; find the rule and correct all of them.";
    NormalisedCoordinates "normalised-coordinates" Defect "sets whose coordinates are all between 0 and 1"
        "Multiply by width and height: this format wants pixels.";
    OneBased "one-based" Warning "points one pixel beyond the right or lower border, while none is in the first row or column"
        "If the file counts pixels from 1 (MATLAB), subtract 1 from every coordinate.";
    ZeroBased "zero-based" Warning "points at -1 after the format's own 1 was subtracted, while none is in the last row or column"
        "The file seems to count from 0 already: read it with --base 0.";
    EmptyBox "empty-box" Defect "boxes without area"
        "Correct or remove the boxes; boxes are x, y, width, height.";
    BoxOutside "box-outside" Defect "boxes that lie wholly outside of their image"
        "Correct or remove the boxes.";
    BoxIsCorners "box-is-corners" Defect "boxes that reach beyond the image but would fit as two corners"
        "Write width and height in the place of the second corner.";
    PointsOutsideBox "points-outside-box" Warning "samples with most of their points outside of their box"
        "Check that box and points belong to the same object.";
    ScaleMismatch "scale-mismatch" Warning "faces whose scale does not fit their points"
        "Scale is the longer side of the face over 200 pixels, without padding.";
    FlipPairs "flip-pairs" Defect "categories whose flip pairs are no involution"
        "Name every point at most once in flip_pairs, 0-based: [[1, 2], [3, 4]] swaps 1 with 2 and 3 with 4.";
    FlipPairsDisagree "flip-pairs-disagree" Defect "flip pairs that join other points than left and right of the names"
        "Correct flip_pairs (0-based) or the names; mirrored images would teach the wrong sides.";
    UnpairedSide "unpaired-side" Warning "points of a left or right side without the other side"
        "Name both sides the same but for left and right, or train without mirroring.";
    NoFlipPairs "no-flip-pairs" Warning "categories without flip pairs"
        "Add flip_pairs if the object has a left and a right side, or train without mirroring.";
    SkeletonIndex "skeleton-index" Warning "skeletons that name points that do not exist"
        "Skeleton lines are 1-based in COCO files.";
    PointNeverLabelled "point-never-labelled" Warning "points of the category that no sample has"
        "Remove them from the category, or nothing is learnt for them.";
    EmptyCategory "empty-category" Warning "categories without a sample"
        "Remove them, or add samples.";
    PointsDiffer "points-differ" Defect "sets whose points are not the same in the same order"
        "Bring the categories into the same order: the network knows points by their place.";
    ReaderNote "reader-note" Note "oddities of the file that were put right while reading"
        "Correct the file if other programs shall read it too.";
    // Masks.
    LabelFormat "label-format" Defect "label images that are no PNG"
        "Make them again from their source: JPEG blurs the numbers.";
    ColourMask "colour-mask" Defect "label images in colour instead of class numbers"
        "Turn them into numbers: hrnet data convert IN OUT --to id-masks --label-map NAME, or --palette FILE.";
    Binary255 "binary-255" Defect "sets of masks that hold nothing but 0 and 255"
        "Write 1 for the object: 255 means ignored, so the network would only ever see background.";
    OutOfRange "out-of-range" Defect "class numbers that are no class"
        "Give the label map of the files with --label-map, or correct the numbers; 255 is for pixels to ignore.";
    LabelBase "label-base" Defect "sets whose class numbers run from 1 instead of 0"
        "Subtract 1 from the numbers, and write 255 for pixels to ignore.";
    BlurredLabels "blurred-labels" Defect "label images with stray in-between numbers"
        "Make them again without interpolation or JPEG: resize label images with nearest neighbour only.";
    LabelSize "label-size" Defect "label images of another size than their image"
        "Give both the same size; resize labels with nearest neighbour.";
    AllIgnored "all-ignored" Warning "label images in which every pixel is ignored"
        "Remove them, or correct their labels.";
    ClassNeverSeen "class-never-seen" Warning "classes that no pixel has"
        "Check the number of classes and the label map; nothing is learnt for these classes.";
    ClassesUnknown "classes-unknown" Note "sets whose classes are not known to this check"
        "Give --classes N or --label-map NAME to have the numbers checked.";
    // Classes.
    EmptyClass "empty-class" Warning "classes without an image"
        "Add images, or keep the class in mind: its number stays in use.";
    ClassBase "class-base" Defect "sets whose class numbers run from 1 instead of 0"
        "Subtract 1 from the class numbers.";
    ConflictingLabel "conflicting-label" Defect "images that occur under more than one class"
        "Decide for one class.";
    ClassesDiffer "classes-differ" Defect "sets whose classes are not the same in the same order"
        "Use the same class folders in both sets, empty ones included: numbers are places in the sorted list.";
}

impl Code {
    /// Defects of single samples that a training bears where they are few: readers leave the sample out, or it is one wrong
    /// example among many. The others stop the readers, or spoil all samples or what is measured.
    pub fn is_bearable(self) -> bool {
        use Code::*;
        let wrong_label = matches!(self, AllAtOrigin | Collapsed | SampleOutside | EmptyBox | BoxOutside);
        wrong_label || matches!(self, SizeMismatch | TurnedImage | Leak | ConflictingLabel)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
