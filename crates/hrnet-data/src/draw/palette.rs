//! Colours of classes: those that the data sets publish, and generated ones for any number.

use std::borrow::Cow;

use super::colour::from_oklch;
use crate::dataset::label_map::{IGNORE, LabelMap};
use crate::sets::{ClassColours, ClassSet, voc_colour};

/// A colour for each class id. Ids beyond the list take a generated colour, so every id has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Palette {
    colours: Cow<'static, [[u8; 3]]>,
    /// The colour of pixels to ignore; black.
    ignored: [u8; 3],
}

impl Palette {
    /// A palette of these colours.
    pub fn new(colours: Vec<[u8; 3]>) -> Self {
        Self { colours: colours.into(), ignored: [0; 3] }
    }

    /// The published colours of a data set, by the names that the label tables use; the bit-interleaved colours for sets that have
    /// none of their own (PASCAL-Context, COCO-Stuff), as the official code does.
    pub fn named(name: &str) -> Option<Self> {
        ClassSet::by_name(name).map(Self::of_set)
    }

    /// The colours of a set.
    pub fn of_set(set: &ClassSet) -> Self {
        match set.colours {
            ClassColours::Own(colours) => Self { colours: Cow::Borrowed(colours), ignored: [0; 3] },
            ClassColours::Bits => Self::voc(256),
        }
    }

    /// The colours by which the masks of a set are told apart: its own, PASCAL VOC's where it has none, or where two of its
    /// classes have the same one (ADE20K).
    pub fn of_map(map: &LabelMap) -> Self {
        let tells = |p: &Self| (0..p.colours.len()).all(|c| p.class(p.colour(c)).map(usize::from) == Some(c));
        Self::named(&map.name).filter(tells).unwrap_or_else(|| Self::voc(256))
    }

    /// The colours of PASCAL VOC: the bits of the number, dealt out to red, green and blue from the highest bit down. 0 is black,
    /// 255, for pixels to ignore, (224, 224, 192).
    pub fn voc(count: usize) -> Self {
        let ignored = voc_colour(usize::from(IGNORE));
        Self { colours: (0..count).map(voc_colour).collect(), ignored }
    }

    /// Colours that differ as much as their number allows, none near black or white.
    pub fn distinct(count: usize) -> Self {
        Self::new((0..count).map(distinct_colour).collect())
    }

    /// Reads `id,red,green,blue` per line; further fields (a name) are passed over, and so is a header. 255 is the colour to
    /// ignore, black where there is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut found: Vec<(usize, [u8; 3])> = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim().trim_start_matches('\u{feff}');
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fields: Vec<&str> = line.split([',', ';', '\t']).map(str::trim).collect();
            let number = |k: usize| fields.get(k).and_then(|f| f.parse::<u8>().ok());
            let (Some(id), Some(r), Some(g), Some(b)) = (number(0), number(1), number(2), number(3)) else {
                if i == 0 && number(1).is_none() {
                    continue;
                }
                return Err(format!(
                    "line {}: {line:?} is not id,red,green,blue, numbers from 0 to 255",
                    i + 1
                ));
            };
            let (id, rgb) = (usize::from(id), [r, g, b]);
            if found.iter().any(|&(other, c)| other == id || c == rgb) {
                return Err(format!("line {}: id {id} or its colour occurs before", i + 1));
            }
            found.push((id, rgb));
        }
        let classes = found.iter().filter(|(id, _)| *id != usize::from(IGNORE));
        let count = classes.map(|&(id, _)| id + 1).max().ok_or("there is no colour in it")?;
        let mut out = Self::distinct(count);
        for (id, rgb) in found {
            match out.colours.to_mut().get_mut(id) {
                Some(slot) => *slot = rgb,
                None => out.ignored = rgb,
            }
        }
        Ok(out)
    }

    /// The colour of a class, or of pixels to ignore.
    pub fn colour(&self, class: usize) -> [u8; 3] {
        let listed = self.colours.get(class).copied();
        let other = || if class == usize::from(IGNORE) { self.ignored } else { distinct_colour(class) };
        listed.unwrap_or_else(other)
    }

    /// The class of a listed colour, or [`IGNORE`]; the class where both have it.
    pub fn class(&self, rgb: [u8; 3]) -> Option<u8> {
        let listed = self.colours.iter().position(|&c| c == rgb).and_then(|i| u8::try_from(i).ok());
        listed.or_else(|| (rgb == self.ignored).then_some(IGNORE))
    }

    /// Whether a class has a listed colour; pixels to ignore have.
    pub fn knows(&self, class: usize) -> bool {
        class < self.colours.len() || class == usize::from(IGNORE)
    }

    /// The listed colours.
    pub fn colours(&self) -> &[[u8; 3]] {
        &self.colours
    }
}

/// Hues a golden angle apart, in five lightnesses: hues come near each other again after 8, 13, 21, 34 and 55 steps.
fn distinct_colour(class: usize) -> [u8; 3] {
    let lightness = [0.66, 0.5, 0.8, 0.58, 0.73][class % 5];
    let chroma = [0.17, 0.14][class / 5 % 2];
    from_oklch(lightness, chroma, 25.0 + class as f64 * 137.507_764)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::label_map;

    #[test]
    fn published_colours() {
        assert_eq!(
            Palette::voc(6).colours(),
            [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128]]
        );
        assert_eq!((voc_colour(21), voc_colour(255)), ([128, 64, 128], [224, 224, 192]));
        assert_eq!(Palette::named("Cityscapes").unwrap().colour(13), [0, 0, 142]);
        let ade = Palette::named("ade20k").unwrap();
        assert_eq!((ade.colour(0), ade.colour(149), ade.colours().len()), ([120; 3], [92, 0, 255], 150));
        assert_eq!(Palette::named("pets"), None);
        for name in
            ["cityscapes", "camvid", "lip", "ade20k", "pascal-context-59", "pascal-context-60", "coco-stuff"]
        {
            let classes = label_map::by_name(name).unwrap().classes.len();
            assert!(Palette::named(name).unwrap().colours().len() >= classes, "{name}");
        }
    }

    #[test]
    fn generated_colours_differ() {
        let palette = Palette::distinct(24);
        for a in 0..24 {
            for b in 0..a {
                let apart: u32 =
                    (0..3).map(|c| u32::from(palette.colour(a)[c].abs_diff(palette.colour(b)[c]))).sum();
                assert!(apart > 24, "{a} {b}: {:?} {:?}", palette.colour(a), palette.colour(b));
            }
        }
        assert_eq!(palette.colour(1000), Palette::distinct(1001).colour(1000));
    }

    #[test]
    fn colours_tell_their_class() {
        for map in [&label_map::CITYSCAPES, &label_map::CAMVID, &label_map::LIP, &label_map::ADE20K] {
            let p = Palette::of_map(map);
            for c in 0..map.classes.len() {
                assert_eq!(p.class(p.colour(c)).map(usize::from), Some(c), "{}", map.name);
            }
            assert_eq!(p.class([1, 2, 3]), None);
            // Black is the background of LIP.
            let ignored = if map.name == "lip" { 0 } else { IGNORE };
            assert_eq!(p.class(p.colour(255)), Some(ignored), "{}", map.name);
        }
        assert_eq!(Palette::of_map(&label_map::ADE20K), Palette::voc(256));
        assert_eq!(Palette::of_map(&label_map::CAMVID), Palette::named("camvid").unwrap());
    }

    #[test]
    fn palette_files() {
        let p = Palette::parse("id,r,g,b,name\n0,0,0,0,road\n2,10,20,30\n255,9,9,9\n").unwrap();
        assert_eq!((p.colour(0), p.colour(2), p.colour(255)), ([0; 3], [10, 20, 30], [9; 3]));
        assert_eq!((p.class([10, 20, 30]), p.class([9; 3])), (Some(2), Some(IGNORE)));
        assert!(p.knows(255) && !p.knows(3));
        // A black class stays one where no colour is ignored.
        assert_eq!(Palette::parse("0,0,0,0\n1,255,255,255").unwrap().class([0; 3]), Some(0));
        for bad in ["", "id,r,g,b", "0,1,2,3\n0,4,5,6", "0,1,2,3\n1,1,2,3", "0,1,2", "0,0,0,0\n1,300,0,0"] {
            assert!(Palette::parse(bad).is_err(), "{bad:?}");
        }
    }
}
