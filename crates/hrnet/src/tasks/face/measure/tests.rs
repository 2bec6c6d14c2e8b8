use super::*;
use hrnet_data::dataset::model::MissingImages;
use hrnet_proof::fixtures::repository;

fn options<'a>() -> FaceOptions<'a> {
    FaceOptions {
        read: ReadOptions { missing: MissingImages::DoNotCheck, ..ReadOptions::default() },
        ..FaceOptions::default()
    }
}

/// A `.pts` file of a face at a place.
fn write_pts(path: &Path, x: f64) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let points: String = (0..68).map(|i| format!("{} {}\n", x + f64::from(i % 9) * 10.0, 20 + i)).collect();
    std::fs::write(path, format!("version: 1\nn_points: 68\n{{\n{points}}}\n")).unwrap();
}

/// All points moved to the right by so much.
fn moved(set: &FaceSet, by: f64) -> Vec<(usize, Vec<[f64; 2]>)> {
    let points = |s: &LandmarkSample| s.points.iter().map(|p| [p[0] + by, p[1]]).collect();
    set.samples().iter().map(points).enumerate().collect()
}

#[test]
fn the_parts_of_300w() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["helen/testset/a.pts", "lfpw/testset/b.pts", "ibug/c.pts"] {
        write_pts(&root.join(name), 30.0);
    }
    let full = FaceSet::open(root, &options()).unwrap();
    let counts: Vec<(&str, usize)> = full.parts().iter().map(|p| (p.name.as_str(), p.faces.len())).collect();
    assert_eq!((full.len(), full.points(), counts), (3, 68, vec![("common", 2), ("challenge", 1)]));
    assert_eq!(full.normaliser(), Normaliser::InterOcular { a: 36, b: 45 });
    // MATLAB counts from 1; the official protocol starts from the file's own numbers.
    let official = FaceOptions { protocol: Protocol::Official, ..options() };
    let official = FaceSet::open(root, &official).unwrap();
    assert_eq!(official.samples()[0].points[0][0] - full.samples()[0].points[0][0], 1.0);

    let eyes = |s: &LandmarkSample| {
        let (a, b) = (s.points[36], s.points[45]);
        (a[0] - b[0]).hypot(a[1] - b[1])
    };
    let want = 2.0 / eyes(&full.samples()[0]);
    let mut found = moved(&full, 2.0);
    // The face of ibug is right.
    found[2].1 = full.samples()[2].points.clone();
    let m = full.measure(found, 5).unwrap();
    assert!((m.value("nme").unwrap() - want * 2.0 / 3.0).abs() < 1e-12);
    let parts = m.tables.iter().find(|t| t.key == "parts").unwrap();
    assert_eq!((parts.rows[0].1[0], parts.rows[1].1[1]), (Some(2.0), Some(0.0)));
    assert!((parts.rows[0].1[1].unwrap() - want).abs() < 1e-12);
    assert_eq!((m.worst.len(), m.worst[2].index, m.curves[0].points.len()), (3, 2, CED_STEPS + 1));
    // A face without a result is said; a repeated or wrong one is an error.
    let one = full.measure(moved(&full, 0.0).into_iter().take(1), 5).unwrap();
    assert!(one.settings.iter().any(|s| s.key == "ignored" && s.value.starts_with("2 faces")));
    assert!(full.measure([], 5).is_err());
    assert!(full.measure([(0, vec![[0.0; 2]; 3])], 5).is_err());
    assert!(full.measure([(9, vec![])], 5).is_err());
    let twice = moved(&full, 0.0).into_iter().chain(moved(&full, 0.0));
    assert!(full.measure(twice, 5).is_err());
    assert!(full.mean_shape_error(&full).unwrap() < 1e-9);

    let split = FaceOptions { split: Some("challenge"), ..options() };
    assert_eq!(FaceSet::open(root, &split).unwrap().len(), 1);
    let wrong = FaceOptions { split: Some("easy"), ..options() };
    assert!(FaceSet::open(root, &wrong).err().unwrap().to_string().contains("challenge"));
}

#[test]
fn the_categories_of_300vw() {
    let folder = tempfile::tempdir().unwrap();
    for name in
        ["114/annot/000001.pts", "114/annot/000002.pts", "203/annot/000001.pts", "001/annot/000001.pts"]
    {
        write_pts(&folder.path().join(name), 40.0);
    }
    let set = FaceSet::open(folder.path(), &options()).unwrap();
    let counts: Vec<(&str, usize)> = set.parts().iter().map(|p| (p.name.as_str(), p.faces.len())).collect();
    assert_eq!((set.len(), counts), (3, vec![("category1", 2), ("category2", 1)]));
    let split = FaceOptions { split: Some("category2"), ..options() };
    assert_eq!(FaceSet::open(folder.path(), &split).unwrap().len(), 1);
}

#[test]
fn the_attributes_of_wflw() {
    let folder = tempfile::tempdir().unwrap();
    let line = |shift: usize, attributes: &str, image: &str| {
        let points: Vec<String> = (0..196).map(|i| format!("{}", 100 + shift + (i * 7) % 90)).collect();
        format!("{} 90 90 200 200 {attributes} {image}\n", points.join(" "))
    };
    let text = line(0, "1 0 0 0 0 1", "a.jpg") + &line(5, "0 0 0 0 0 1", "b.jpg");
    let path = folder.path().join("list_98pt_rect_attr_test.txt");
    std::fs::write(&path, text).unwrap();
    let set = FaceSet::open(&path, &options()).unwrap();
    let counts: Vec<(&str, usize)> = set.parts().iter().map(|p| (p.name.as_str(), p.faces.len())).collect();
    assert_eq!((set.name(), set.points(), counts), ("WFLW", 98, vec![("pose", 1), ("blur", 2)]));
    assert_eq!(set.normaliser(), Normaliser::InterOcular { a: 60, b: 72 });
}

#[test]
fn cofw_has_its_images_inside() {
    let path = repository().join("crates/hrnet-data/testdata/dataset/cofw.mat");
    let set = FaceSet::open(&path, &options()).unwrap();
    assert_eq!((set.name(), set.points()), ("COFW", 29));
    assert!(set.image(0).unwrap().width() > 0 && set.image(set.len()).is_err());
    let m = set.measure(moved(&set, 0.0), 3).unwrap();
    assert_eq!((m.value("nme"), m.value("auc_08")), (Some(0.0), Some(1.0)));
}

#[test]
fn faces_in_cocos_form() {
    let Some(data) = hrnet_proof::fixtures::data("formats") else { return };
    for (file, points, normaliser) in [
        ("300w/test_300w.json", 68, Normaliser::InterOcular { a: 36, b: 45 }),
        ("wflw/test_wflw.json", 98, Normaliser::InterOcular { a: 60, b: 72 }),
        ("cofw/test_cofw.json", 29, Normaliser::InterOcular { a: 8, b: 9 }),
        ("aflw/test_aflw.json", 19, Normaliser::BoxSize),
    ] {
        let set = FaceSet::open(&data.join(file), &FaceOptions::default()).unwrap();
        assert_eq!((set.points(), set.normaliser()), (points, normaliser), "{file}");
        assert!(set.image(0).unwrap().width() > 0);
        let m = set.measure(moved(&set, 1.0), 3).unwrap();
        assert!((0.001..0.1).contains(&m.value("nme").unwrap()), "{file}: {:?}", m.value("nme"));
    }
}
