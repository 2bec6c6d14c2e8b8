//! Colours of classes.

use crate::dataset::label_map::{IGNORE, LabelMap};

/// A colour for every class, and one for pixels to ignore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Palette {
    colours: Vec<[u8; 3]>,
    ignore: [u8; 3],
}

const CITYSCAPES: [[u8; 3]; 19] = [
    [128, 64, 128],
    [244, 35, 232],
    [70, 70, 70],
    [102, 102, 156],
    [190, 153, 153],
    [153, 153, 153],
    [250, 170, 30],
    [220, 220, 0],
    [107, 142, 35],
    [152, 251, 152],
    [70, 130, 180],
    [220, 20, 60],
    [255, 0, 0],
    [0, 0, 142],
    [0, 0, 70],
    [0, 60, 100],
    [0, 80, 100],
    [0, 0, 230],
    [119, 11, 32],
];

const CAMVID: [[u8; 3]; 11] = [
    [128, 128, 128],
    [128, 0, 0],
    [192, 192, 128],
    [128, 64, 128],
    [60, 40, 222],
    [128, 128, 0],
    [192, 128, 128],
    [64, 64, 128],
    [64, 0, 128],
    [64, 64, 0],
    [0, 128, 192],
];

impl Palette {
    /// PASCAL VOC's: three bits of the number to each channel, from the highest bit down. 255 classes, and (224, 224, 192)
    /// for 255.
    pub fn voc() -> Self {
        let colour = |number: usize| {
            let mut rgb = [0u8; 3];
            let mut rest = number;
            for shift in (0..8).rev() {
                for (c, v) in rgb.iter_mut().enumerate() {
                    *v |= u8::from(rest >> c & 1 == 1) << shift;
                }
                rest >>= 3;
            }
            rgb
        };
        Self { colours: (0..usize::from(IGNORE)).map(colour).collect(), ignore: colour(usize::from(IGNORE)) }
    }

    /// The colours of a set: its own for Cityscapes and CamVid, PASCAL VOC's for all others.
    pub fn of_map(map: &LabelMap) -> Self {
        match map.name.as_ref() {
            "cityscapes" => Self { colours: CITYSCAPES.to_vec(), ignore: [0; 3] },
            "camvid" => Self { colours: CAMVID.to_vec(), ignore: [0; 3] },
            _ => Self::voc(),
        }
    }

    /// Reads `id,red,green,blue` per line; further fields (a name) are passed over, and so is a header. 255 is the colour to
    /// ignore, black where there is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut found: Vec<(usize, [u8; 3])> = Vec::new();
        let mut ignore = [0; 3];
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
            let rgb = [r, g, b];
            if found.iter().any(|&(other, c)| other == usize::from(id) || c == rgb) {
                return Err(format!("line {}: id {id} or its colour occurs before", i + 1));
            }
            if id == IGNORE {
                ignore = rgb;
            } else {
                found.push((id.into(), rgb));
            }
        }
        let count = found.iter().map(|&(id, _)| id + 1).max().ok_or("there is no colour in it")?;
        let mut colours = vec![ignore; count];
        for (id, rgb) in found {
            colours[id] = rgb;
        }
        Ok(Self { colours, ignore })
    }

    /// The colour of a class; the one to ignore for numbers beyond.
    pub fn colour(&self, class: usize) -> [u8; 3] {
        self.colours.get(class).copied().unwrap_or(self.ignore)
    }

    /// Whether a number has a colour of its own.
    pub fn knows(&self, class: usize) -> bool {
        class < self.colours.len() || class == usize::from(IGNORE)
    }

    /// The class of a colour.
    pub fn class(&self, rgb: [u8; 3]) -> Option<u8> {
        if rgb == self.ignore {
            return Some(IGNORE);
        }
        self.colours.iter().position(|&c| c == rgb).and_then(|i| u8::try_from(i).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::label_map::{CAMVID as CAMVID_MAP, CITYSCAPES as CITYSCAPES_MAP};

    #[test]
    fn colours_tell_their_class() {
        let voc = Palette::voc();
        // The first rows of the VOC development kit's table.
        let first = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128]];
        assert_eq!((0..6).map(|i| voc.colour(i)).collect::<Vec<_>>(), first);
        assert_eq!(voc.colour(255), [224, 224, 192]);
        for p in [voc, Palette::of_map(&CITYSCAPES_MAP), Palette::of_map(&CAMVID_MAP)] {
            for c in 0..p.colours.len() {
                assert_eq!(p.class(p.colour(c)).map(usize::from), Some(c));
            }
            assert_eq!(p.class(p.colour(255)), Some(IGNORE));
            assert_eq!(p.class([1, 2, 3]), None);
        }
    }

    #[test]
    fn palette_files() {
        let p = Palette::parse("id,r,g,b,name\n0,0,0,0,road\n2,10,20,30\n255,9,9,9\n").unwrap();
        assert_eq!(
            (p.colour(0), p.colour(2), p.colour(1), p.colour(7)),
            ([0; 3], [10, 20, 30], [9; 3], [9; 3])
        );
        assert_eq!((p.class([10, 20, 30]), p.class([9; 3])), (Some(2), Some(IGNORE)));
        for bad in ["", "id,r,g,b", "0,1,2,3\n0,4,5,6", "0,1,2,3\n1,1,2,3", "0,1,2", "0,0,0,0\n1,300,0,0"] {
            assert!(Palette::parse(bad).is_err(), "{bad:?}");
        }
    }
}
