//! Unusual but honest images: decoded as documented, or refused by a message that names what they are.
#![forbid(unsafe_code)]

mod support;

use hrnet_image::{
    DecodeOptions, Decoded, Format, Image, ImageError, Limits, decode, dimensions, encode_jpeg, encode_png,
};

fn read(bytes: &[u8]) -> Result<Decoded, ImageError> {
    decode(bytes, &Limits::default(), DecodeOptions::default())
}

fn png(width: u32, height: u32, colour: png::ColorType, depth: png::BitDepth, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    writer.finish().unwrap();
    out
}

#[test]
fn sixteen_bits_grey_and_alpha() {
    use png::{BitDepth, ColorType};
    // 16 bits keep their high byte.
    let file = png(2, 1, ColorType::Rgb, BitDepth::Sixteen, &[1, 255, 2, 0, 3, 128, 250, 1, 251, 1, 252, 1]);
    assert_eq!(read(&file).unwrap().image.data(), [1, 2, 3, 250, 251, 252]);
    let file = png(2, 1, ColorType::Grayscale, BitDepth::Sixteen, &[7, 200, 90, 3]);
    assert_eq!(read(&file).unwrap().image.data(), [7, 7, 7, 90, 90, 90]);
    // Grey is repeated; alpha is dropped, also where it hides the pixel.
    let file = png(2, 1, ColorType::GrayscaleAlpha, BitDepth::Eight, &[7, 0, 90, 255]);
    assert_eq!(read(&file).unwrap().image.data(), [7, 7, 7, 90, 90, 90]);
    let file = png(2, 1, ColorType::Rgba, BitDepth::Eight, &[1, 2, 3, 0, 4, 5, 6, 128]);
    assert_eq!(read(&file).unwrap().image.data(), [1, 2, 3, 4, 5, 6]);
    let file = png(8, 1, ColorType::Grayscale, BitDepth::One, &[0b1010_0001]);
    let ones: Vec<u8> = read(&file).unwrap().image.data().chunks(3).map(|p| p[0]).collect();
    assert_eq!(ones, [255, 0, 255, 0, 0, 0, 0, 255]);
}

/// A JPEG of four components made of one: the header and the scan name the same coefficients four times. Baseline, 8x8.
fn four_components(adobe: bool) -> Vec<u8> {
    let grey = {
        let mut out = Vec::new();
        let data = [128u8; 64];
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, 90)
            .encode(&data, 8, 8, image::ExtendedColorType::L8)
            .unwrap();
        out
    };
    let at = |code: u8| grey.windows(2).position(|w| w == [0xff, code]).unwrap();
    let (sof, sos) = (at(0xc0), at(0xda));
    let mut out = grey[..2].to_vec();
    if adobe {
        out.extend(*b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00");
    }
    out.extend(&grey[2..sof]);
    out.extend([0xff, 0xc0, 0, 8 + 12, 8, 0, 8, 0, 8, 4]);
    for id in 1..=4 {
        out.extend([id, 0x11, 0]);
    }
    out.extend(&grey[sof + 2 + 11..sos]);
    out.extend([0xff, 0xda, 0, 6 + 8, 4]);
    for id in 1..=4 {
        out.extend([id, 0]);
    }
    out.extend([0, 63, 0]);
    // A flat block is the code of DC 0 and the end of the block: 00 and 1010 by the usual tables, four times.
    out.extend([0b0010_1000, 0b1010_0010, 0b1000_1010, 0xff, 0xd9]);
    out
}

#[test]
fn cmyk() {
    let decoded = read(&four_components(true)).unwrap();
    // Adobe stores inverted inks: half of each ink is a quarter of the light.
    let [r, g, b] = decoded.image.pixel(3, 3);
    assert!(r == g && g == b && (60..=68).contains(&r), "{r} {g} {b}");
    let message = read(&four_components(false)).unwrap_err().to_string();
    assert!(message.contains("CMYK JPEG"), "{message}");
}

#[test]
fn the_usual_huffman_tables_may_be_left_out() {
    let data = (0..40 * 24 * 3).map(|i| (i * i / 97 % 256) as u8).collect();
    let whole = encode_jpeg(&Image::new(40, 24, data).unwrap(), 85).unwrap();
    let mut lean = whole.clone();
    while let Some(at) = lean.windows(2).position(|w| w == [0xff, 0xc4]) {
        let len = usize::from(u16::from_be_bytes([lean[at + 2], lean[at + 3]]));
        lean.drain(at..at + 2 + len);
    }
    assert!(lean.len() + 400 < whole.len());
    assert_eq!(read(&lean).unwrap().image, read(&whole).unwrap().image);
}

#[test]
fn restart_markers_out_of_order_are_damage() {
    let g = (1, 1);
    let mut file = support::Jpeg { restart: 2, ..support::Jpeg::new(64, 64, &[g]) }.encode();
    assert!(read(&file).is_ok());
    let at = file.windows(2).position(|w| w == [0xff, 0xd3]).unwrap();
    file[at + 1] = 0xd4;
    let message = read(&file).unwrap_err().to_string();
    assert!(message.contains("restart markers are out of order"), "{message}");
}

#[test]
fn animations_give_their_first_frame_and_say_so() {
    let webp = read(include_bytes!("../testdata/animation.webp")).unwrap();
    assert_eq!(
        (webp.image.width(), webp.image.height(), webp.animated, webp.format),
        (40, 30, true, Format::WebP)
    );
    let still = read(include_bytes!("../testdata/lossy.webp")).unwrap();
    assert!(!still.animated);

    let mut apng = Vec::new();
    let mut encoder = png::Encoder::new(&mut apng, 2, 1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[1, 2, 3, 4, 5, 6]).unwrap();
    writer.write_image_data(&[9; 6]).unwrap();
    writer.finish().unwrap();
    let first = read(&apng).unwrap();
    assert_eq!((first.image.data(), first.animated), (&[1, 2, 3, 4, 5, 6][..], true));
    let one = read(&encode_png(&Image::filled(2, 2, [5; 3])).unwrap()).unwrap();
    assert!(!one.animated);
    // GIF is not read; the message says what to do.
    let message =
        read(b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;")
            .unwrap_err();
    assert!(message.to_string().contains("a GIF; convert it to PNG or JPEG"), "{message}");
}

#[test]
fn no_size_and_great_width() {
    let good = encode_png(&Image::filled(3, 2, [5; 3])).unwrap();
    for (at, what) in [(16, "0x2"), (20, "3x0")] {
        let mut none = good.clone();
        none[at..at + 4].fill(0);
        assert!(read(&none).unwrap_err().to_string().contains(what));
    }
    let mut none = encode_jpeg(&Image::filled(3, 2, [5; 3]), 90).unwrap();
    let sof = none.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    none[sof + 7..sof + 9].fill(0);
    assert!(
        read(&none).unwrap_err().to_string().contains("3x0")
            || read(&none).unwrap_err().to_string().contains("0x2")
    );

    // 30,000 pixels wide: above the limit of a side, and fine where the limit is raised.
    let wide = encode_png(&Image::filled(30_000, 4, [9, 8, 7])).unwrap();
    let message = read(&wide).unwrap_err().to_string();
    assert!(message.contains("the longer side is 30000") && message.contains("16384"), "{message}");
    let raised = Limits { max_side: 40_000, ..Limits::default() };
    assert_eq!(dimensions(&wide, &raised).unwrap(), (30_000, 4));
    let image = decode(&wide, &raised, DecodeOptions::default()).unwrap().image;
    assert_eq!(image.pixel(29_999, 3), [9, 8, 7]);
    let wide = encode_jpeg(&Image::filled(30_000, 16, [90, 80, 70]), 90).unwrap();
    assert!(read(&wide).unwrap_err().to_string().contains("the longer side is 30000"));
    assert_eq!(decode(&wide, &raised, DecodeOptions::default()).unwrap().image.width(), 30_000);
}

#[test]
fn every_photo_of_the_odd_collection_decodes() {
    let Some(folder) = hrnet_proof::fixtures::data("imagenet-sample/images") else { return };
    let (mut count, mut grey) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let decoded =
            read(&std::fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        grey += usize::from(decoded.image.data().chunks(3).all(|p| p[0] == p[1] && p[1] == p[2]));
        assert!(!decoded.truncated && !decoded.animated);
        count += 1;
    }
    assert!(count > 0 && grey < count, "{count} images, {grey} grey");
}
