//! Colours of classes: those that the data sets publish, and generated ones for any number.

use std::borrow::Cow;

use super::colour::from_oklch;
use crate::dataset::label_map::{IGNORE, LabelMap};

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
        let colours: &'static [[u8; 3]] = match name.to_lowercase().replace(['-', ' '], "_").as_str() {
            "cityscapes" => &CITYSCAPES,
            "camvid" => &CAMVID,
            "ade20k" => &ADE20K,
            "lip" => &LIP,
            n if n == "voc" || n.starts_with("pascal") || n.starts_with("coco_stuff") || n == "cocostuff" => {
                return Some(Self::voc(256));
            }
            _ => return None,
        };
        Some(Self { colours: Cow::Borrowed(colours), ignored: [0; 3] })
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

fn voc_colour(class: usize) -> [u8; 3] {
    let mut rgb = [0u8; 3];
    let mut rest = class;
    for shift in (0..8).rev() {
        for (c, channel) in rgb.iter_mut().enumerate() {
            *channel |= u8::from(rest >> c & 1 == 1) << shift;
        }
        rest >>= 3;
    }
    rgb
}

/// Hues a golden angle apart, in five lightnesses: hues come near each other again after 8, 13, 21, 34 and 55 steps.
fn distinct_colour(class: usize) -> [u8; 3] {
    let lightness = [0.66, 0.5, 0.8, 0.58, 0.73][class % 5];
    let chroma = [0.17, 0.14][class / 5 % 2];
    from_oklch(lightness, chroma, 25.0 + class as f64 * 137.507_764)
}

/// Cityscapes, by train id.
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

/// CamVid with the 11 classes of SegNet: sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist.
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

/// LIP: background and 19 parts of clothing and body.
const LIP: [[u8; 3]; 20] = [
    [0, 0, 0],
    [128, 0, 0],
    [255, 0, 0],
    [0, 85, 0],
    [170, 0, 51],
    [255, 85, 0],
    [0, 0, 85],
    [0, 119, 221],
    [85, 85, 0],
    [0, 85, 85],
    [85, 51, 0],
    [52, 86, 128],
    [0, 128, 0],
    [0, 0, 255],
    [51, 170, 221],
    [0, 255, 255],
    [85, 255, 170],
    [170, 255, 85],
    [255, 255, 0],
    [255, 170, 0],
];

/// ADE20K: 150 classes in the order of their ids, as red, green and blue bytes.
const ADE20K: [[u8; 3]; 150] = bytes([
    0x787878, 0xb47878, 0x06e6e6, 0x503232, 0x04c803, 0x787850, 0x8c8c8c, 0xcc05ff, 0xe6e6e6, 0x04fa07,
    0xe005ff, 0xebff07, 0x96053d, 0x787846, 0x08ff33, 0xff0652, 0x8fff8c, 0xccff04, 0xff3307, 0xcc4603,
    0x0066c8, 0x3de6fa, 0xff0633, 0x0b66ff, 0xff0747, 0xff09e0, 0x0907e6, 0xdcdcdc, 0xff095c, 0x7009ff,
    0x08ffd6, 0x07ffe0, 0xffb806, 0x0aff47, 0xff290a, 0x07ffff, 0xe0ff08, 0x6608ff, 0xff3d06, 0xffc207,
    0xff7a08, 0x00ff14, 0xff0829, 0xff0599, 0x0633ff, 0xeb0cff, 0xa09614, 0x00a3ff, 0x8c8c8c, 0xfa0a0f,
    0x14ff00, 0x1fff00, 0xff1f00, 0xffe000, 0x99ff00, 0x0000ff, 0xff4700, 0x00ebff, 0x00adff, 0x1f00ff,
    0x0bc8c8, 0xff5200, 0x00fff5, 0x003dff, 0x00ff70, 0x00ff85, 0xff0000, 0xffa300, 0xff6600, 0xc2ff00,
    0x008fff, 0x33ff00, 0x0052ff, 0x00ff29, 0x00ffad, 0x0a00ff, 0xadff00, 0x00ff99, 0xff5c00, 0xff00ff,
    0xff00f5, 0xff0066, 0xffad00, 0xff0014, 0xffb8b8, 0x001fff, 0x00ff3d, 0x0047ff, 0xff00cc, 0x00ffc2,
    0x00ff52, 0x000aff, 0x0070ff, 0x3300ff, 0x00c2ff, 0x007aff, 0x00ffa3, 0xff9900, 0x00ff0a, 0xff7000,
    0x8fff00, 0x5200ff, 0xa3ff00, 0xffeb00, 0x08b8aa, 0x8500ff, 0x00ff5c, 0xb800ff, 0xff001f, 0x00b8ff,
    0x00d6ff, 0xff0070, 0x5cff00, 0x00e0ff, 0x70e0ff, 0x46b8a0, 0xa300ff, 0x9900ff, 0x47ff00, 0xff00a3,
    0xffcc00, 0xff008f, 0x00ffeb, 0x85ff00, 0xff00eb, 0xf500ff, 0xff007a, 0xfff500, 0x0abed4, 0xd6ff00,
    0x00ccff, 0x1400ff, 0xffff00, 0x0099ff, 0x0029ff, 0x00ffcc, 0x2900ff, 0x29ff00, 0xad00ff, 0x00f5ff,
    0x4700ff, 0x7a00ff, 0x00ffb8, 0x005cff, 0xb8ff00, 0x0085ff, 0xffd600, 0x19c2c2, 0x66ff00, 0x5c00ff,
]);

const fn bytes<const N: usize>(numbers: [u32; N]) -> [[u8; 3]; N] {
    let mut out = [[0; 3]; N];
    let mut i = 0;
    while i < N {
        let [_, r, g, b] = numbers[i].to_be_bytes();
        out[i] = [r, g, b];
        i += 1;
    }
    out
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
