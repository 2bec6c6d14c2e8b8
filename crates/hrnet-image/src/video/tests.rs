//! Streams made in memory: exact frames, cut at every byte, flipped bytes, short reads.

use super::*;
use crate::yuv::{Chroma, Colour, Matrix, Range};
use crate::{Image, encode_jpeg};
use proptest::prelude::*;
use std::io::{Cursor, Read};

/// Gives a byte or a few at a time, as pipes do.
struct Trickle<R>(R, usize);

impl<R: Read> Read for Trickle<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 = self.1 % 7 + 1;
        let n = self.1.min(buffer.len());
        self.0.read(&mut buffer[..n])
    }
}

fn y4m(tag: &str, plane_bytes: usize, frames: u8) -> Vec<u8> {
    let mut out = format!("YUV4MPEG2 W4 H2 F30000:1001 Ip A1:1 {tag}\n").into_bytes();
    for frame in 0..frames {
        out.extend_from_slice(b"FRAME\n");
        out.extend((0..plane_bytes).map(|i| if i < 8 { 40 + frame * 10 + i as u8 } else { 128 }));
    }
    out
}

/// Frames until the end or an error.
fn read_y4m(bytes: &[u8]) -> (Vec<Image>, Option<VideoError>) {
    let mut frames = Vec::new();
    let mut reader = match Y4m::new(Trickle(Cursor::new(bytes), 0), &Limits::default()) {
        Ok(reader) => reader,
        Err(e) => return (frames, Some(e)),
    };
    loop {
        match reader.next_frame() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(e) => {
                assert!(reader.next_frame().unwrap().is_none(), "an error is the end");
                return (frames, Some(e));
            }
        }
    }
}

#[test]
fn y4m_of_every_sampling() {
    for (tag, bytes) in [
        ("", 12),
        ("C420jpeg", 12),
        ("C420mpeg2 XYSCSS=420MPEG2", 12),
        ("C420paldv", 12),
        ("C422", 16),
        ("C411", 12),
        ("C444", 24),
        ("C444alpha", 32),
        ("Cmono", 8),
    ] {
        for (range, gain, offset) in [("XCOLORRANGE=FULL", 1.0, 0.0), ("", 255.0 / 219.0, 16.0)] {
            let (frames, error) = read_y4m(&y4m(&format!("{tag} {range}"), bytes, 3));
            assert!(error.is_none() && frames.len() == 3, "{tag}: {error:?}");
            for (f, frame) in frames.iter().enumerate() {
                assert_eq!((frame.width(), frame.height()), (4, 2));
                for i in 0..8 {
                    let want = ((40 + f * 10 + i) as f64 - offset) * gain;
                    let got = frame.pixel(i % 4, i / 4);
                    assert!(
                        got.iter().all(|&v| (f64::from(v) - want).abs() <= 0.5001),
                        "{tag} {range}: {got:?}, {want}"
                    );
                }
            }
        }
    }
}

#[test]
fn y4m_headers() {
    let reader = Y4m::new(Cursor::new(y4m("C422", 16, 1)), &Limits::default()).unwrap();
    let header = reader.header();
    assert_eq!(header.rate, Some(30000.0 / 1001.0));
    assert_eq!(header.sampling, Sampling::Colour(Chroma::C422));
    assert_eq!(header.colour, Colour { matrix: Matrix::Bt601, range: Range::Limited });
    let open = |text: &str| Y4m::new(Cursor::new(text.as_bytes().to_vec()), &Limits::default());
    let hd = open("YUV4MPEG2 W1280 H720 F0:0\n").unwrap();
    assert_eq!((hd.header().colour.matrix, hd.header().rate), (Matrix::Bt709, None));
    for (text, word) in [
        ("", "empty"),
        ("YUV4MPEG2 W4 H2", "truncated"),
        ("YUV4MPEG W4 H2\n", "begin"),
        ("YUV4MPEG2 H2\n", "width"),
        ("YUV4MPEG2 W0 H2\n", "0x2"),
        ("YUV4MPEG2 W-4 H2\n", "size"),
        ("YUV4MPEG2 W4 H2 C420p10\n", "420p10"),
        ("YUV4MPEG2 W1000000 H2\n", "longer side"),
        ("YUV4MPEG2 W16000 H16000\n", "pixels"),
        ("YUV4MPEG2 W99999999999999999999 H2\n", "size"),
    ] {
        let message = open(text).unwrap_err().to_string();
        assert!(message.contains(word), "{text}: {message}");
    }
    assert!(
        open(&format!("YUV4MPEG2 {}\n", "W4 ".repeat(4000))).unwrap_err().to_string().contains("longer than")
    );
}

#[test]
fn a_cut_y4m_gives_the_frames_before_the_cut() {
    let whole = y4m("C420jpeg", 12, 3);
    let header = whole.iter().position(|&b| b == b'\n').unwrap() + 1;
    let (all, _) = read_y4m(&whole);
    for cut in 0..whole.len() {
        let (frames, error) = read_y4m(&whole[..cut]);
        let complete = cut.saturating_sub(header) / 18;
        assert_eq!(frames, all[..complete], "cut at {cut}");
        let between = cut >= header && (cut - header) % 18 == 0;
        assert_eq!(error.is_none(), between, "cut at {cut}: {error:?}");
    }
    let mut reader = Y4m::new(Cursor::new(whole), &Limits::default()).unwrap();
    assert!(reader.skip_frame().unwrap());
    assert_eq!(reader.next_frame().unwrap().unwrap(), all[1]);
    assert!(reader.skip_frame().unwrap() && !reader.skip_frame().unwrap());
}

fn jpegs() -> Vec<Vec<u8>> {
    (0..3u8)
        .map(|i| {
            let data: Vec<u8> =
                (0..24 * 16).flat_map(|p| [(p % 24 * 9) as u8, 80 * i, (p / 24 * 12) as u8]).collect();
            encode_jpeg(&Image::new(24, 16, data).unwrap(), 90).unwrap()
        })
        .collect()
}

fn read_mjpeg(bytes: &[u8]) -> (Vec<Jpeg>, Option<VideoError>) {
    let mut reader = Mjpeg::new(Trickle(Cursor::new(bytes), 0), &Limits::default());
    let mut frames = Vec::new();
    loop {
        match reader.next_jpeg() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(e) => return (frames, Some(e)),
        }
    }
}

fn whole(pictures: &[Vec<u8>]) -> Vec<Jpeg> {
    pictures.iter().cloned().map(Jpeg::Whole).collect()
}

#[test]
fn mjpeg_bare_and_multipart() {
    let pictures = jpegs();
    let (frames, error) = read_mjpeg(&pictures.concat());
    assert!(error.is_none());
    assert_eq!(frames, whole(&pictures));

    let mut body = Vec::new();
    for p in &pictures {
        body.extend_from_slice(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: ");
        body.extend_from_slice(format!("{}\r\n\r\n", p.len()).as_bytes());
        body.extend_from_slice(p);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--frame--\r\n");
    let (frames, error) = read_mjpeg(&body);
    assert!(error.is_none());
    assert_eq!(frames, whole(&pictures));
}

#[test]
fn a_thumbnail_ends_no_picture() {
    let [picture, thumbnail, _] = <[Vec<u8>; 3]>::try_from(jpegs()).unwrap();
    let mut with = picture[..2].to_vec();
    with.extend([0xff, 0xe1]);
    with.extend(u16::try_from(thumbnail.len() + 2).unwrap().to_be_bytes());
    with.extend(&thumbnail);
    with.extend(&picture[2..]);
    let (frames, error) = read_mjpeg(&[with.clone(), picture.clone()].concat());
    assert!(error.is_none());
    assert_eq!(frames, whole(&[with, picture]));
}

#[test]
fn a_cut_mjpeg_gives_the_pictures_before_the_cut() {
    let pictures = jpegs();
    let all = pictures.concat();
    let ends: Vec<usize> = pictures
        .iter()
        .scan(0, |at, p| {
            *at += p.len();
            Some(*at)
        })
        .collect();
    for cut in 3..all.len() {
        let (frames, error) = read_mjpeg(&all[..cut]);
        assert!(error.is_none(), "cut at {cut}: {error:?}");
        let complete = ends.iter().filter(|&&e| e <= cut).count();
        assert_eq!(frames[..complete], whole(&pictures[..complete]), "cut at {cut}");
        // Fewer than three bytes of the next picture are not yet seen as one.
        let begun = cut - complete.checked_sub(1).map_or(0, |last| ends[last]);
        assert_eq!(frames.len() - complete, usize::from(begun >= 3), "cut at {cut}");
        if let Some(last) = frames.get(complete) {
            assert!(matches!(last, Jpeg::Cut(bytes) if bytes.len() == begun), "cut at {cut}");
        }
    }
    assert!(read_mjpeg(b"no picture here").1.is_some());
    let limits = Limits { max_between: 100, max_frame: 300, ..Limits::default() };
    let noise = [vec![b'x'; 1000], all.clone()].concat();
    assert!(matches!(Mjpeg::new(Cursor::new(noise), &limits).next_jpeg(), Err(VideoError::Limit { .. })));
    // A picture without an end stops at the limit.
    let endless = [&pictures[0][..pictures[0].len() - 2], &[7; 200_000][..]].concat();
    assert!(matches!(Mjpeg::new(Cursor::new(endless), &limits).next_jpeg(), Err(VideoError::Limit { .. })));
}

#[test]
fn one_more_picture_is_seen() {
    let pictures = jpegs();
    let mut reader = Mjpeg::new(Cursor::new(pictures[..2].concat()), &Limits::default());
    assert!(reader.has_more().unwrap());
    reader.next_jpeg().unwrap();
    assert!(reader.has_more().unwrap());
    reader.next_jpeg().unwrap();
    assert!(!reader.has_more().unwrap() && reader.next_jpeg().unwrap().is_none());
}

fn chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = kind.to_vec();
    out.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    out.extend(body);
    if body.len() % 2 == 1 {
        out.push(0);
    }
    out
}

fn list(kind: &[u8; 4], name: &[u8; 4], parts: &[Vec<u8>]) -> Vec<u8> {
    chunk(kind, &[name.to_vec(), parts.concat()].concat())
}

/// An AVI with sound as stream 0, video as stream 1 and an index.
fn avi(codec: &[u8; 4], pictures: &[Vec<u8>]) -> Vec<u8> {
    let header = |kind: &[u8; 4], codec: &[u8; 4]| {
        let mut h = [&kind[..], &codec[..], &[0; 12]].concat();
        h.extend(1u32.to_le_bytes());
        h.extend(15u32.to_le_bytes());
        h.extend([0; 28]);
        list(b"LIST", b"strl", &[chunk(b"strh", &h), chunk(b"strf", &[0; 40])])
    };
    let headers = list(
        b"LIST",
        b"hdrl",
        &[chunk(b"avih", &[0; 56]), header(b"auds", b"\0\0\0\0"), header(b"vids", codec)],
    );
    let frames: Vec<Vec<u8>> =
        pictures.iter().flat_map(|p| [chunk(b"00wb", &[9; 5]), chunk(b"01dc", p)]).collect();
    let movie = list(b"LIST", b"movi", &frames);
    list(b"RIFF", b"AVI ", &[headers, chunk(b"JUNK", &[0; 33]), movie, chunk(b"idx1", &[0; 64])])
}

fn read_avi(bytes: &[u8]) -> (Vec<Vec<u8>>, Option<VideoError>) {
    let mut frames = Vec::new();
    let mut reader = match Avi::new(Trickle(Cursor::new(bytes), 0), &Limits::default()) {
        Ok(reader) => reader,
        Err(e) => return (frames, Some(e)),
    };
    loop {
        match reader.next_jpeg() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(e) => return (frames, Some(e)),
        }
    }
}

#[test]
fn avi_with_motion_jpeg() {
    let mut pictures = jpegs();
    pictures.insert(1, Vec::new());
    let bytes = avi(b"MJPG", &pictures);
    assert_eq!(Avi::new(Cursor::new(&bytes), &Limits::default()).unwrap().rate(), Some(15.0));
    let (frames, error) = read_avi(&bytes);
    assert!(error.is_none());
    assert_eq!(frames, pictures);
    let message = read_avi(&avi(b"H264", &pictures)).1.unwrap().to_string();
    assert!(message.contains("H264") && message.contains("ffmpeg"), "{message}");
    for cut in 0..bytes.len() {
        let (frames, _) = read_avi(&bytes[..cut]);
        assert_eq!(frames, pictures[..frames.len()], "cut at {cut}");
    }
}

#[test]
fn kinds_from_first_bytes() {
    for (bytes, want) in [
        (&b"YUV4MPEG2 W4 H2\n"[..], Some(Kind::Y4m)),
        (b"\xff\xd8\xff\xe0", Some(Kind::Jpeg)),
        (b"RIFF\0\0\0\0AVI LIST", Some(Kind::Avi)),
        (b"RIFF\0\0\0\0WEBPVP8 ", None),
        (b"\r\n--frame\r\nConte", Some(Kind::Multipart)),
        (b"Content-Type: ima", Some(Kind::Multipart)),
        (b"\0\0\0\x18ftypmp42", Some(Kind::Coded)),
        (b"\0\0\0\x18ftypavif", None),
        (b"\0\0\0\x18ftypheic", None),
        (b"\x1aE\xdf\xa3", Some(Kind::Coded)),
        (b"\x89PNG\r\n\x1a\n", None),
        (b"", None),
    ] {
        assert_eq!(sniff(bytes), want, "{}", bytes.escape_ascii());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Any bytes, and any change of a good stream, end in frames and perhaps an error.
    #[test]
    fn damaged_streams_never_panic(noise in prop::collection::vec(any::<u8>(), 0..400),
                                   at in any::<prop::sample::Index>(), value in any::<u8>()) {
        for good in [y4m("C420jpeg", 12, 3), jpegs().concat(), avi(b"MJPG", &jpegs())] {
            let mut changed = good.clone();
            let place = at.index(good.len());
            changed[place] = value;
            let mixed = [&good[..place], &noise[..], &good[place..]].concat();
            for bytes in [&changed, &mixed, &noise] {
                read_y4m(bytes);
                read_mjpeg(bytes);
                read_avi(bytes);
                sniff(bytes);
            }
        }
    }
}
