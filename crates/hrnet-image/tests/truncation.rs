//! Check B3: a file that was cut is never a plain success, and never a panic.
#![forbid(unsafe_code)]

mod support;

use hrnet_image::{
    DecodeOptions, Format, Image, ImageError, Limits, Truncated, decode, encode_jpeg, encode_png,
};
use support::{Jpeg, chunk, png_head, raw_adam7, raw_rows, zlib_stored};

/// The valid files, with their number of channels irrelevant: each decodes to the given size.
fn files() -> Vec<(String, Vec<u8>, (usize, usize))> {
    let mut out = Vec::new();
    let g = (1, 1);
    let samplings: [(&str, &[(u8, u8)]); 6] = [
        ("grey", &[g]),
        ("444", &[g, g, g]),
        ("420", &[(2, 2), g, g]),
        ("422", &[(2, 1), g, g]),
        ("440", &[(1, 2), g, g]),
        ("cmyk", &[g, g, g, g]),
    ];
    for (name, components) in samplings {
        for progressive in [false, true] {
            let adobe = (components.len() == 4).then_some(0);
            let jpeg = Jpeg { progressive, adobe, ..Jpeg::new(93, 70, components) };
            out.push((format!("jpeg {name} progressive {progressive}"), jpeg.encode(), (93, 70)));
        }
    }
    let restart = Jpeg { restart: 3, ..Jpeg::new(93, 70, &[(2, 2), g, g]) };
    out.push(("jpeg restart".into(), restart.encode(), (93, 70)));
    let exif = Jpeg { orientation: Some(6), ..Jpeg::new(93, 70, &[g, g, g]) };
    out.push(("jpeg exif".into(), exif.encode(), (70, 93)));
    let data: Vec<u8> =
        (0..80 * 60).flat_map(|i| [(i % 80 * 3) as u8, (i / 80 * 4) as u8, (i * 7 % 256) as u8]).collect();
    let image = Image::new(80, 60, data).unwrap();
    out.push(("jpeg of the encoder".into(), encode_jpeg(&image, 90).unwrap(), (80, 60)));
    out.push(("png of the encoder".into(), encode_png(&image).unwrap(), (80, 60)));
    for (name, depth, colour, bits) in [
        ("grey1", 1, 0, 1),
        ("grey16", 16, 0, 16),
        ("grey alpha", 8, 4, 16),
        ("rgba16", 16, 6, 64),
        ("palette", 8, 3, 8),
        ("rgb", 8, 2, 24),
    ] {
        for interlace in [0, 1] {
            let mut file = png_head(41, 33, depth, colour, interlace);
            if colour == 3 {
                chunk(&mut file, b"PLTE", &[9; 768]);
                chunk(&mut file, b"tRNS", &[0, 128]);
            }
            let raw = match interlace {
                0 => raw_rows((41usize * bits).div_ceil(8), 33),
                _ => raw_adam7(41, 33, bits),
            };
            for piece in zlib_stored(&raw, 300).chunks(500) {
                chunk(&mut file, b"IDAT", piece);
            }
            chunk(&mut file, b"tEXt", b"comment\0after the pixels");
            chunk(&mut file, b"IEND", b"");
            out.push((format!("png {name} interlace {interlace}"), file, (41, 33)));
        }
    }
    let mut bmp = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bmp.extend(31i32.to_le_bytes());
    bmp.extend((-17i32).to_le_bytes());
    bmp.extend([1, 0, 24, 0]);
    bmp.resize(54, 0);
    bmp.extend((0..96 * 17).map(|i| i as u8));
    out.push(("bmp".into(), bmp, (31, 17)));
    out.push(("webp lossless".into(), include_bytes!("../testdata/lossless.webp").to_vec(), (40, 30)));
    out.push(("webp lossy".into(), include_bytes!("../testdata/lossy.webp").to_vec(), (40, 30)));
    out
}

/// Where to cut: 64 places spread over the file, and before and after every JPEG marker or PNG chunk.
fn cuts(file: &[u8]) -> Vec<usize> {
    let mut cuts: Vec<usize> = (0..64).map(|i| i * file.len() / 64).collect();
    for at in 0..file.len() - 1 {
        let marker = file.starts_with(b"\xff\xd8") && file[at] == 0xff && file[at + 1] != 0;
        let chunk = [&b"IDAT"[..], b"IHDR", b"PLTE", b"tRNS", b"tEXt", b"IEND", b"VP8 ", b"VP8L"]
            .iter()
            .any(|k| file[at..].starts_with(k));
        if marker || chunk {
            cuts.extend([at.saturating_sub(4), at.saturating_sub(1), at, at + 1, at + 2, at + 4, at + 8]);
        }
    }
    cuts.extend([file.len() - 3, file.len() - 2, file.len() - 1]);
    cuts.sort_unstable();
    cuts.dedup();
    cuts.retain(|&c| c < file.len());
    cuts
}

#[test]
fn no_cut_file_decodes_silently() {
    let limits = Limits::default();
    let lenient = DecodeOptions { truncated: Truncated::Accept, ..DecodeOptions::default() };
    let (mut tried, mut partial) = (0, 0);
    for (name, file, size) in files() {
        let whole =
            decode(&file, &limits, DecodeOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(
            (whole.image.width(), whole.image.height(), whole.truncated),
            (size.0, size.1, false),
            "{name}"
        );
        assert_eq!(decode(&file, &limits, lenient).unwrap().image, whole.image, "{name}");
        for cut in cuts(&file) {
            tried += 1;
            match decode(&file[..cut], &limits, DecodeOptions::default()) {
                Err(ImageError::Truncated { .. }) => {}
                Err(ImageError::Empty) if cut == 0 => {}
                Err(ImageError::NotAnImage { .. }) if cut < 12 => {}
                other => panic!("{name} cut at {cut} of {}: {other:?}", file.len()),
            }
            if let Ok(part) = decode(&file[..cut], &limits, lenient) {
                assert!(part.truncated, "{name} cut at {cut}");
                partial += 1;
            }
        }
    }
    assert!(tried >= 2500, "{tried} cut files");
    assert!(partial >= 500, "lenient decoding gave only {partial} pictures");
}

#[test]
fn a_cut_file_with_an_end_marker_is_not_plain_either() {
    // What some repair tools do. Most of the picture is missing, so the data cannot hold the claimed size.
    for progressive in [false, true] {
        let file = Jpeg { progressive, ..Jpeg::new(200, 160, &[(1, 1), (1, 1), (1, 1)]) }.encode();
        let start = file.windows(2).position(|w| w == [0xff, 0xda]).unwrap();
        let mut cut = file[..start + 16].to_vec();
        cut.extend([0xff, 0xd9]);
        let error = decode(&cut, &Limits::default(), DecodeOptions::default()).unwrap_err();
        assert!(matches!(error, ImageError::Truncated { format: Format::Jpeg, .. }), "{error}");
    }
}

#[test]
fn the_visible_part_of_a_cut_file_is_right() {
    let file = Jpeg::new(96, 96, &[(1, 1)]).encode();
    let whole = decode(&file, &Limits::default(), DecodeOptions::default()).unwrap().image;
    let lenient = DecodeOptions { truncated: Truncated::Accept, ..DecodeOptions::default() };
    let part = decode(&file[..file.len() * 3 / 4], &Limits::default(), lenient).unwrap();
    assert!(part.truncated);
    let rows = 96 * 3 * 48;
    assert_eq!(part.image.data()[..rows], whole.data()[..rows]);
}

#[test]
fn orientation_is_honoured_or_ignored() {
    use hrnet_image::{Exif, Orientation};
    let file = Jpeg { orientation: Some(6), ..Jpeg::new(93, 70, &[(1, 1)]) }.encode();
    let honoured = decode(&file, &Limits::default(), DecodeOptions::default()).unwrap();
    let ignored =
        decode(&file, &Limits::default(), DecodeOptions { exif: Exif::Ignore, ..Default::default() })
            .unwrap();
    assert_eq!(honoured.orientation_applied, Orientation::Rotate90);
    assert_eq!(ignored.orientation_applied, Orientation::Upright);
    assert_eq!(honoured.image.pixel(69 - 10, 20), ignored.image.pixel(20, 10));
}

#[test]
fn real_photographs_decode_whole_and_not_cut() {
    // The photographs may not be copied into the repository.
    let Some(data) = hrnet_proof::fixtures::data("") else { return };
    let mut files = Vec::new();
    for dir in ["imagenet-sample/images", "coco128/train2017", "camvid/labels", "faces68/images"] {
        let entries = std::fs::read_dir(data.join(dir)).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
        names.sort();
        files.extend(names.into_iter().take(60));
    }
    assert!(files.len() >= 120, "{} files", files.len());
    for (i, path) in files.iter().enumerate() {
        let file = std::fs::read(path).unwrap();
        let whole = decode(&file, &Limits::default(), DecodeOptions::default());
        assert!(whole.is_ok_and(|d| !d.truncated), "{}", path.display());
        for k in 0..8 {
            let cut = file.len() * (8 * k + i % 8 + 1) / 66;
            let result = decode(&file[..cut], &Limits::default(), DecodeOptions::default());
            assert!(matches!(result, Err(ImageError::Truncated { .. })), "{} at {cut}", path.display());
        }
    }
}
