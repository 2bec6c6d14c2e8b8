//! Broken landmark tables (check G1): each is refused with the file, the line and the column.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use hrnet_data::dataset::landmark_csv::{
    CsvError, CsvLimits, CsvOptions, LandmarkTable, MissingImages, parse, read,
};

const HEAD: &str = "image_name,scale,center_w,center_h,original_0_x,original_0_y,original_1_x,original_1_y\n";

fn options() -> CsvOptions {
    CsvOptions { missing: MissingImages::DoNotCheck, ..CsvOptions::default() }
}

fn table(text: impl AsRef<[u8]>) -> Result<LandmarkTable, CsvError> {
    parse(text.as_ref(), Path::new("faces.csv"), Path::new("images"), &options())
}

#[test]
fn good_tables_in_all_dresses() {
    let row = "a.jpg,0.5,10,20,1,2,3.5,-4\n";
    let plain = table(format!("{HEAD}{row}")).unwrap();
    assert_eq!((plain.points, plain.samples.len()), (2, 1));
    let s = &plain.samples[0];
    assert_eq!((s.image.as_path(), s.line), (Path::new("images/a.jpg"), 2));
    assert_eq!((s.centre, s.scale, s.box_size), ([10.0, 20.0], 0.5, None));
    assert_eq!(s.points, [[1.0, 2.0], [3.5, -4.0]]);
    for other in [
        format!("\u{feff}{HEAD}{row}"),
        format!("{HEAD}{row}").replace('\n', "\r\n"),
        format!("{HEAD}{}", row.trim_end()),
        format!("{}{row}", HEAD.to_uppercase()),
        format!("{HEAD}{}", row.replace(',', " , ")),
        format!("{HEAD}\"a.jpg\",0.5,1e1,2.0E1,1,+2,3.5,-4\n\n"),
    ] {
        assert_eq!(table(&other).unwrap().samples[0], plain.samples[0], "{other}");
    }
    // AFLW has another column; the same image may hold two faces.
    let aflw = "image_path,scale,box_size,center_w,center_h,original_0_x,original_0_y\n\
                sub/b.png,0.5,101.5,10,20,1,2\nsub/b.png,0.5,90,10,20,5,6\n";
    let aflw = table(aflw).unwrap();
    assert_eq!((aflw.samples[0].box_size, aflw.points, aflw.samples.len()), (Some(101.5), 1, 2));
}

#[test]
fn broken_tables_name_the_place() {
    let row = |fields: &str| format!("{HEAD}ok.jpg,1,1,1,1,1,1,1\n{fields}\n");
    let no = |column: &str| HEAD.replace(column, "other");
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "no column scale"),
        (HEAD.into(), "has no rows"),
        (format!("{}a.jpg,1,1,1,1,1,1,1\n", no("scale")), "no column scale"),
        (format!("{}a.jpg,1,1,1,1,1,1,1\n", no("center_w")), "no column center_w"),
        (format!("{}a.jpg,1,1,1,1,1,1,1\n", HEAD.replace("center_h", "scale")), "occurs twice"),
        ("image_name,scale,center_w,center_h\na,1,1,1\n".into(), "not pairs"),
        ("image_name,scale,center_w,center_h,p_x\na,1,1,1,1\n".into(), "1 point columns are not pairs"),
        ("image_name,scale,center_w,center_h,p_y,p_x\na,1,1,1,1,1\n".into(), "not x and y"),
        (row("a.jpg,1,1,1,1,1,1"), "line: 3"),
        (row("a.jpg,1,1,1,1,1,1,1,1"), "line: 3"),
        (row("a.jpg,NaN,1,1,1,1,1,1"), "line 3, column scale: \"NaN\" is not a finite number"),
        (row("a.jpg,inf,1,1,1,1,1,1"), "column scale"),
        (row("a.jpg,0,1,1,1,1,1,1"), "column scale: \"0\" is not above zero"),
        (row("a.jpg,-1,1,1,1,1,1,1"), "not above zero"),
        (row("a.jpg,1e9,1,1,1,1,1,1"), "above the limit for a scale"),
        (row("a.jpg,1,1000000000,1,1,1,1,1"), "column center_w: \"1000000000\" is too large"),
        (row("a.jpg,1,1,1,1e400,1,1,1"), "column original_0_x"),
        (row("a.jpg,1,1,1,1,1,1,nan"), "column original_1_y: \"nan\" is not a finite number"),
        (row("a.jpg,1,1,1,1,,1,1"), "column original_0_y: \"\" is empty"),
        (row("a.jpg,1,1,1,1,0x10,1,1"), "is not a number"),
        (row("a.jpg,1,1,1,1,1 2,1,1"), "is not a number"),
        (row(",1,1,1,1,1,1,1"), "column image_name: \"\" is empty"),
        (row("../secret.jpg,1,1,1,1,1,1,1"), "outside of the image folder"),
        (row("a/../../b.jpg,1,1,1,1,1,1,1"), "outside of the image folder"),
        (row("/etc/passwd,1,1,1,1,1,1,1"), "outside of the image folder"),
        (row("a\0b.jpg,1,1,1,1,1,1,1"), "not a file name"),
        (row("ok.jpg,1,1,1,1,1,1,1"), "line 3: image images/ok.jpg and its points repeat line 2"),
        (row("\"a.jpg,1,1,1,1,1,1,1"), "line: 3"),
        (row(&format!("a.jpg,{},1,1,1,1,1,1", "9".repeat(500))), "..."),
    ];
    assert!(cases.len() >= 25);
    for (text, want) in cases {
        let error = table(&text).unwrap_err().to_string();
        assert!(error.contains(want) && error.contains("faces.csv"), "{text:?}\n{error}\nwanted {want}");
        assert!(error.len() < 400, "{error}");
    }
    assert!(matches!(
        table([HEAD.as_bytes(), b"\xff\xfe,1,1,1,1,1,1,1\n"].concat()),
        Err(CsvError::Format { .. })
    ));
}

#[test]
fn limits_and_missing_files() {
    let text = format!("{HEAD}a.jpg,1,1,1,1,1,1,1\nb.jpg,1,1,1,1,1,1,1\n");
    let with = |o: CsvOptions| parse(text.as_bytes(), Path::new("t.csv"), Path::new("no-such-folder"), &o);
    assert!(matches!(with(CsvOptions::default()), Err(CsvError::MissingImage { line: 2, .. })));
    let skipped = with(CsvOptions { missing: MissingImages::Skip, ..CsvOptions::default() }).unwrap();
    assert_eq!((skipped.samples.len(), skipped.skipped.len(), skipped.skipped[1].0), (0, 2, 3));
    let limited = |limits: CsvLimits| with(CsvOptions { limits, ..options() }).unwrap_err().to_string();
    assert!(limited(CsvLimits { max_rows: 1, ..CsvLimits::default() }).contains("more than 1 rows"));
    assert!(limited(CsvLimits { max_points: 1, ..CsvLimits::default() }).contains("more than 1 points"));
    assert!(limited(CsvLimits { max_bytes: 50, ..CsvLimits::default() }).contains("more than 50 bytes"));
    let outside = format!("{HEAD}../a.jpg,1,1,1,1,1,1,1\n");
    let allowed = CsvOptions { allow_outside_root: true, ..options() };
    let outside = parse(outside.as_bytes(), Path::new("t.csv"), Path::new("images"), &allowed).unwrap();
    assert_eq!(outside.samples[0].image, PathBuf::from("images/../a.jpg"));
    assert!(matches!(
        read(Path::new("no-such-table.csv"), Path::new("."), &options()),
        Err(CsvError::Io { .. })
    ));
}

#[test]
fn any_cut_or_changed_byte_is_no_panic() {
    let text = format!("{HEAD}a.jpg,0.5,10,20,1,2,3.5,-4\nb.jpg,0.5,10,20,1,2,3.5,-4\n");
    for cut in 0..text.len() {
        let _ = table(&text[..cut]);
        for byte in [0, b'"', b',', b'\n', 0xff] {
            let mut changed = text.clone().into_bytes();
            changed[cut] = byte;
            let _ = table(changed);
        }
    }
}

#[test]
fn the_real_tables() {
    let Some(root) = hrnet_proof::fixtures::data("faces68") else { return };
    for (name, rows) in [("train.csv", 2793), ("val.csv", 339), ("outside.csv", 6)] {
        let table = read(&root.join(name), &root.join("images"), &CsvOptions::default()).unwrap();
        assert_eq!((table.samples.len(), table.points), (rows, 68), "{name}");
    }
}
