//! Checks B1 and B2: hostile images are refused before memory is allocated, or decoded within bounds.
//!
//! Memory is counted by an allocator of this test binary, per thread. B2 asks for a bounded time; tests do not
//! measure time, so they show that the decoder is not reached, or that the work (allocations) is bounded.

#![forbid(unsafe_code)]

mod support;

use hrnet_image::{DecodeOptions, Decoded, Image, ImageError, Limits, decode};
use hrnet_kernels::counting_alloc::{Counting, Usage, measure};
use support::{
    Jpeg, PNG_SIGNATURE, Rng, chunk, png_head, raw_adam7, raw_rows, scan_header, segment, zlib_bomb,
    zlib_stored,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Decodes and returns the peak of memory above the start, and the number of allocations.
fn measured(file: &[u8]) -> (Result<Decoded, ImageError>, usize, usize) {
    let (result, Usage { peak, calls }) =
        measure(|| decode(file, &Limits::default(), DecodeOptions::default()));
    (result, peak, calls)
}

const MIB: usize = 1 << 20;

/// The bombs of B1, each with a part of its refusal; `None` when it must decode.
fn bombs() -> Vec<(&'static str, Vec<u8>, Option<&'static str>)> {
    let mut out = Vec::new();
    let png = |w: u32, h: u32, depth: u8, colour: u8, interlace: u8, idat: &[u8]| {
        let mut file = png_head(w, h, depth, colour, interlace);
        chunk(&mut file, b"IDAT", idat);
        chunk(&mut file, b"IEND", b"");
        file
    };
    let tiny = zlib_stored(&[0; 8], 8);
    out.push(("PNG of 2^31 - 1 squared", png(0x7fff_ffff, 0x7fff_ffff, 8, 6, 0, &tiny), Some("longer side")));
    out.push(("PNG of 16384 squared RGBA", png(16384, 16384, 8, 6, 0, &tiny), Some("number of pixels")));
    out.push(("PNG Adam7 of 16000 squared", png(16000, 16000, 8, 2, 1, &tiny), Some("number of pixels")));
    out.push(("PNG 16-bit, header larger than data", png(8000, 8000, 16, 6, 0, &tiny), Some("can hold")));
    out.push(("PNG Adam7, header larger than data", png(8000, 8000, 8, 6, 1, &tiny), Some("can hold")));

    let g = (1, 1);
    let grey = Jpeg::new(65500, 65500, &[g]);
    let mut file = grey.head();
    scan_header(&mut file, &[0], (0, 63, 0, 0));
    file.extend([0x55; 8]);
    file.extend([0xff, 0xd9]);
    out.push(("JPEG grey of 65500 squared", file, Some("longer side")));
    let colour = Jpeg { progressive: true, ..Jpeg::new(65500, 65500, &[g, g, g]) };
    out.push(("JPEG progressive of 65500 squared", colour.head(), Some("longer side")));
    let mut twelve = vec![0xff, 0xd8];
    segment(&mut twelve, 0xc1, &Jpeg::new(640, 480, &[g, g, g]).frame(12));
    out.push(("JPEG with 12 bits", twelve, Some("12 bits")));
    let lean = Jpeg { progressive: true, ..Jpeg::new(7000, 7000, &[g, g, g]) };
    let mut file = lean.head();
    scan_header(&mut file, &[0, 1, 2], (0, 0, 0, 0));
    file.extend([0x55; 40]);
    file.extend([0xff, 0xd9]);
    out.push(("JPEG, header larger than data", file, Some("cannot hold")));
    let wide = Jpeg { progressive: true, ..Jpeg::new(16000, 4000, &[(4, 4), g, g]) };
    out.push(("JPEG progressive with much padding", wide.head(), Some("truncated")));

    // Metadata bombs of 1 GiB do not matter: metadata is never inflated.
    let bomb = zlib_bomb(1 << 30);
    for (kind, head) in
        [(b"zTXt", &b"comment\0\0"[..]), (b"iTXt", b"comment\0\x01\0\0\0"), (b"iCCP", b"profile\0\0")]
    {
        let mut file = png_head(16, 16, 8, 2, 0);
        chunk(&mut file, kind, &[head, &bomb].concat());
        chunk(&mut file, b"IDAT", &zlib_stored(&raw_rows(48, 16), 4096));
        chunk(&mut file, b"IEND", b"");
        out.push(("PNG with a metadata bomb", file, None));
    }
    // The same as pixel data: more data than the picture has.
    out.push(("PNG with a pixel data bomb", png(16, 16, 8, 2, 0, &bomb), Some("too many")));

    let mut gif = b"GIF89a\xff\xff\xff\xff\xf7\0\0".to_vec();
    gif.resize(469, 0x2c);
    out.push(("GIF with a large canvas", gif, Some("a GIF")));
    out.push(("WebP animation", include_bytes!("../testdata/animation.webp").to_vec(), None));
    // The same with a canvas of 16384 squared.
    let mut wide = include_bytes!("../testdata/animation.webp").to_vec();
    wide[24..30].copy_from_slice(&[0xff, 0x3f, 0, 0xff, 0x3f, 0]);
    out.push(("WebP animation on a large canvas", wide, Some("number of pixels")));
    let mut webp = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f".to_vec();
    webp.extend((0x3fffu32 | 0x3fff << 14).to_le_bytes());
    webp.resize(34, 0);
    out.push(("WebP of 16384 squared", webp, Some("number of pixels")));
    let mut tiff = b"II*\0\x08\0\0\0\x02\0".to_vec();
    for tag in [0x100u16, 0x101] {
        tiff.extend(tag.to_le_bytes());
        tiff.extend([4, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f]);
    }
    out.push(("TIFF of 2^31 - 1", tiff, Some("a TIFF")));
    out.push(("HDR", b"#?RADIANCE\n\n-Y 4294967295 +X 4294967295\n".to_vec(), Some("Radiance")));
    let bmp = |w: i32, h: i32, bits: u16, compression: u32| {
        let mut file = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
        file.extend(w.to_le_bytes());
        file.extend(h.to_le_bytes());
        file.extend([1, 0]);
        file.extend(bits.to_le_bytes());
        file.extend(compression.to_le_bytes());
        file.resize(54 + 1024, 0);
        file
    };
    out.push(("BMP with a negative width", bmp(-5, 5, 24, 0), Some("width is -5")));
    out.push(("BMP of -2^31 rows", bmp(5, i32::MIN, 24, 0), Some("longer side")));
    out.push(("BMP run-length coded", bmp(16000, 4000, 8, 1), Some("run-length")));
    out.push(("BMP, header larger than data", bmp(8000, 8000, 24, 0), Some("truncated")));
    let mut ico = b"\0\0\x01\0\x01\0\0\0\0\0\x01\0\x20\0\x10\0\0\0\x16\0\0\0".to_vec();
    ico.extend(png_head(1 << 30, 1 << 30, 8, 6, 0));
    out.push(("ICO around a PNG", ico, Some("icon")));
    out.push(("PNG of no size", png(0, 5, 8, 2, 0, &tiny), Some("0x5")));
    out
}

#[test]
fn bombs_by_size_are_refused_without_memory() {
    let bombs = bombs();
    assert!(bombs.len() >= 18);
    for (name, file, refusal) in bombs {
        let (result, peak, _) = measured(&file);
        match (refusal, result) {
            (Some(part), Err(error)) => {
                assert!(error.to_string().contains(part), "{name}: {error}");
                assert!(peak <= 16 * MIB, "{name}: {peak} bytes");
            }
            (None, Ok(decoded)) => {
                let pixels = decoded.image.width() * decoded.image.height();
                assert!(peak <= 8 * pixels + 32 * MIB, "{name}: {peak} bytes");
            }
            (_, result) => panic!("{name}: {result:?}"),
        }
    }
}

#[test]
fn accepted_images_stay_within_their_memory() {
    let g = (1, 1);
    let mut files = Vec::new();
    for (components, progressive) in [
        (&[g, g, g][..], true),
        (&[(2, 2), g, g], true),
        (&[(2, 2), g, g], false),
        (&[g], true),
        (&[g; 4], true),
    ] {
        let adobe = (components.len() == 4).then_some(2);
        files.push(Jpeg { progressive, adobe, ..Jpeg::new(1500, 1200, components) }.encode());
    }
    for (depth, colour, bits, interlace) in
        [(16, 6, 64, 0), (16, 6, 64, 1), (8, 6, 32, 1), (1, 0, 1, 1), (8, 2, 24, 0)]
    {
        let raw = match interlace {
            0 => raw_rows(1000 * bits / 8, 800),
            _ => raw_adam7(1000, 800, bits),
        };
        let mut file = png_head(1000, 800, depth, colour, interlace);
        chunk(&mut file, b"IDAT", &zlib_stored(&raw, 60000));
        chunk(&mut file, b"IEND", b"");
        files.push(file);
    }
    for (i, file) in files.iter().enumerate() {
        let (result, peak, _) = measured(file);
        let image = result.unwrap_or_else(|e| panic!("file {i}: {e}")).image;
        let pixels = image.width() * image.height();
        // Far below the pass line of 8 bytes a pixel + 32 MiB, which small pictures would meet trivially.
        assert!(peak <= 11 * pixels + MIB, "file {i}: {peak} bytes for {pixels} pixels");
    }
}

#[test]
fn too_many_scans_are_refused() {
    let g = (1, 1);
    let jpeg = Jpeg { progressive: true, ..Jpeg::new(512, 512, &[g, g, g]) };
    let mut file = jpeg.encode();
    file.truncate(file.len() - 2);
    for _ in 0..80_000 {
        scan_header(&mut file, &[0], (1, 63, 0, 0));
        file.extend([0x00]);
    }
    file.extend([0xff, 0xd9]);
    let (result, peak, calls) = measured(&file);
    let error = result.unwrap_err();
    assert!(error.to_string().contains("the number of scans is 101"), "{error}");
    assert!(peak <= MIB && calls < 200, "{peak} bytes, {calls} allocations");
    // Few scans of a huge picture are bounded by scans times pixels.
    let huge = Jpeg { progressive: true, ..Jpeg::new(8000, 8000, &[g]) };
    let mut file = huge.head();
    for _ in 0..50 {
        scan_header(&mut file, &[0], (0, 0, 0, 0));
        file.extend([0; 4]);
    }
    file.extend([0xff, 0xd9]);
    let error = measured(&file).0.unwrap_err();
    assert!(error.to_string().contains("scans times pixels"), "{error}");
}

#[test]
fn floods_are_refused_or_cheap() {
    let g = (1, 1);
    // A million restart markers where the data should be.
    let mut file = Jpeg { restart: 1, ..Jpeg::new(64, 64, &[g, g, g]) }.head();
    scan_header(&mut file, &[0, 1, 2], (0, 63, 0, 0));
    for i in 0..1_000_000u32 {
        file.extend([0xff, 0xd0 + (i % 8) as u8]);
    }
    file.extend([0xff, 0xd9]);
    let (_, peak, calls) = measured(&file);
    assert!(peak <= 4 * MIB && calls < 1000, "restarts: {peak} bytes, {calls} allocations");

    // 10^5 tiny application segments.
    let whole = Jpeg::new(64, 64, &[g]).encode();
    let mut file = whole[..2].to_vec();
    for _ in 0..100_000 {
        segment(&mut file, 0xe1, b"");
    }
    file.extend(&whole[2..]);
    let (result, peak, calls) = measured(&file);
    assert!(result.unwrap_err().to_string().contains("number of segments"));
    assert!(peak <= MIB && calls < 100, "segments: {peak} bytes, {calls} allocations");

    // 10^5 tiny pixel chunks; a hundred of them are fine.
    for (count, fine) in [(100_000usize, false), (100, true)] {
        let stream = zlib_stored(&raw_rows(3 * 64, 64), 4096);
        let mut file = png_head(64, 64, 8, 2, 0);
        let piece = stream.len().div_ceil(count).max(1);
        let mut chunks = 0;
        for data in stream.chunks(piece) {
            chunk(&mut file, b"IDAT", data);
            chunks += 1;
        }
        for _ in chunks..count {
            chunk(&mut file, b"IDAT", b"");
        }
        chunk(&mut file, b"IEND", b"");
        let (result, peak, _) = measured(&file);
        assert_eq!(result.is_ok(), fine, "{count} chunks: {result:?}");
        assert!(peak <= MIB);
    }
    let mut file = png_head(64, 64, 8, 2, 0);
    (0..100_000).for_each(|_| chunk(&mut file, b"tEXt", b"a\0b"));
    assert!(measured(&file).0.unwrap_err().to_string().contains("number of chunks"));

    // Stored blocks of one byte: six bytes of file for a byte of picture, decoded in one pass.
    let mut file = png_head(300, 200, 8, 2, 0);
    chunk(&mut file, b"IDAT", &zlib_stored(&raw_rows(900, 200), 1));
    chunk(&mut file, b"IEND", b"");
    let (result, peak, calls) = measured(&file);
    assert_eq!(result.unwrap().image.pixel(1, 0), [9, 12, 15]);
    assert!(peak <= 2 * MIB && calls < 200, "{peak} bytes, {calls} allocations");
}

#[test]
fn mutated_files_never_panic_or_allocate_much() {
    let g = (1, 1);
    let mut seeds = vec![
        Jpeg::new(40, 30, &[(2, 2), g, g]).encode(),
        Jpeg { progressive: true, ..Jpeg::new(40, 30, &[g, g, g]) }.encode(),
        Jpeg { restart: 2, orientation: Some(6), ..Jpeg::new(40, 30, &[g]) }.encode(),
        include_bytes!("../testdata/lossless.webp").to_vec(),
        include_bytes!("../testdata/lossy.webp").to_vec(),
        PNG_SIGNATURE.to_vec(),
    ];
    let mut png = png_head(20, 20, 8, 6, 1);
    chunk(&mut png, b"IDAT", &zlib_stored(&raw_adam7(20, 20, 32), 100));
    chunk(&mut png, b"IEND", b"");
    seeds.push(png);
    let seed = std::env::var("HRNET_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let count = std::env::var("HRNET_TEST_N").ok().and_then(|s| s.parse().ok()).unwrap_or(6000);
    for i in 0..count {
        let mut rng = Rng::new(seed, i);
        let mut file = seeds[rng.below(seeds.len() as u64) as usize].clone();
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(file.len() as u64) as usize;
            match rng.below(4) {
                0 => file[at] = rng.next_u64() as u8,
                1 => file[at] = [0, 1, 0x7f, 0x80, 0xff][rng.below(5) as usize],
                2 => drop(file.remove(at)),
                _ => file.insert(at, rng.next_u64() as u8),
            }
            if file.is_empty() {
                file.push(0);
            }
        }
        // Sides above 4096 are refused, to keep accepted mutants small.
        let limits = Limits { max_side: 4096, max_pixels: 1 << 20, ..Limits::default() };
        let (result, Usage { peak, .. }) = measure(|| decode(&file, &limits, DecodeOptions::default()));
        let result: Result<Image, _> = result.map(|d| d.image);
        assert!(peak <= 2 * file.len() + 64 * MIB, "seed {seed}, file {i}: {peak} bytes");
        if let Err(ImageError::Corrupt { detail, .. }) = &result {
            assert!(!detail.contains("the decoder failed"), "seed {seed}, file {i}: a decoder panicked");
        }
    }
}
