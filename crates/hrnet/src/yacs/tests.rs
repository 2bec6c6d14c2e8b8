use super::*;
use keys::{Fate, KEYS, Repository};
use std::collections::BTreeSet;

fn pose() -> String {
    std::fs::read_to_string(hrnet_proof::fixtures::repository().join("testdata/yacs/pose.yaml")).unwrap()
}

/// Why a file is refused, or why no configuration comes of it.
fn error(text: &str) -> String {
    match Imported::parse(text, &[], None) {
        Ok(imported) => imported.config.unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_key_of_the_table_is_written_once_and_has_a_line_in_the_documentation() {
    let paths: BTreeSet<&str> = KEYS.iter().map(|k| k.path).collect();
    assert_eq!(paths.len(), KEYS.len());
    let docs = std::fs::read_to_string(hrnet_proof::fixtures::repository().join("docs/yacs.md")).unwrap();
    let rows: Vec<String> = KEYS
        .iter()
        .map(|k| {
            let becomes = match k.fate {
                Fate::To(text) => text.to_string(),
                Fate::Idle => "without effect on results".into(),
                Fate::Remark(text) => format!("not taken over: {text}"),
            };
            format!("| `{}` | {} | {becomes} |", k.path, k.repositories)
        })
        .collect();
    let table: Vec<&str> = docs.lines().filter(|l| l.starts_with("| `")).collect();
    assert!(table == rows, "the table of docs/yacs.md should be:\n{}", rows.join("\n"));
}

#[test]
fn hostile_texts_are_refused_quickly() {
    let nested = |n: usize| (0..n).fold(String::new(), |t, i| t + &" ".repeat(i) + "A:\n");
    let mut bomb = String::from("A: &a [x, x, x, x, x, x, x, x, x]\n");
    for (from, to) in
        ["a", "b", "c", "d", "e", "f", "g", "h"].iter().zip(["b", "c", "d", "e", "f", "g", "h", "i"])
    {
        bomb += &format!(
            "{}: &{to} {{p: *{from}, q: *{from}, r: *{from}, s: *{from}, t: *{from}}}\n",
            to.to_uppercase()
        );
    }
    for (text, word) in [
        ("[".repeat(60_000), "brackets"),
        ("{a: ".repeat(15_000), "brackets"),
        (nested(200), "levels"),
        ("- ".repeat(30_000), "YAML"),
        (bomb, "values"),
        ("x".repeat(70_000), "bytes"),
        (format!("MODEL: {{NAME: {}}}", "x".repeat(60_000)), "MODEL.NAME"),
        (format!("MODEL:\n  NAME: [{}]", "1,".repeat(20_000)), "values"),
        (pose().replace("WORKERS: 6", "WORKERS: 6\nWORKERS: 7"), "WORKERS: given twice"),
        (pose().replace("WORKERS: 6", &format!("{}: 6", "W".repeat(500))), "unknown key"),
        (pose().replace("WORKERS: 6", "3: 6"), "YAML"),
        (pose() + "\n---\nA: 1\n", "YAML"),
        ("MODEL: &m {NAME: *m}".into(), ""),
        ("a: *b".into(), "YAML"),
        ("\u{0}".into(), "YAML"),
        (String::new(), "empty"),
        ("just text".into(), "a mapping of sections is wanted"),
        ("MODEL: 3".into(), "MODEL.NAME is missing"),
        ("MODEL: {NAME: pose_hrnet}\nTRAIN: 3".into(), "TRAIN: a section"),
        ("MODEL: {NAME: pose_hrnet}".into(), "MODEL.EXTRA.STAGE2"),
        (pose().replace("END_EPOCH: 210", "END_EPOCH: 99999999999999999999"), "TRAIN.END_EPOCH"),
        (pose().replace("END_EPOCH: 210", "END_EPOCH: -1"), "TRAIN.END_EPOCH"),
        (pose().replace("NUM_MODULES: 4", "NUM_MODULES: 4000000"), "STAGE3.NUM_MODULES"),
        (pose().replace("[192, 256]", "[192]"), "MODEL.IMAGE_SIZE"),
        (pose().replace("LR: 0.001", "LR: .nan"), "TRAIN.LR"),
    ] {
        let message = error(&text);
        let start: String = text.chars().take(40).collect();
        assert!(message.contains(word), "{start}: {message}");
        assert!(message.len() < 1000, "{start}: {} bytes of message", message.len());
    }
}

/// Cut anywhere, and with any byte changed, the text gives a result or an error.
#[test]
fn no_text_panics() {
    let text = pose();
    for end in 0..text.len() {
        let _ = Imported::parse(&text[..end], &[], None);
    }
    for (i, c) in text.char_indices().filter(|(_, c)| c.is_ascii()) {
        for by in ["[", "&", "\t", ":", "9"] {
            let _ = Imported::parse(&format!("{}{by}{}", &text[..i], &text[i + c.len_utf8()..]), &[], None);
        }
    }
}

#[test]
fn nearest_names() {
    for (path, hint) in [
        ("MODEL.EXTRA.STAGE3.NUM_BLOCK", "did you mean MODEL.EXTRA.STAGE3.NUM_BLOCKS?"),
        ("MODLE.NAME", "did you mean MODEL.NAME?"),
        ("TRAIN.IMAGE_SIZE", "did you mean MODEL.IMAGE_SIZE?"),
        ("MODEL.NUM_CLASSES", "a key of another repository"),
        ("QUITE.ANOTHER", "docs/yacs.md"),
        ("MODEL.EXTRA.STAGE#.BLOCK", "STAGE2.BLOCK"),
    ] {
        let message = keys::known(Repository::Pose, path).unwrap_err();
        assert!(message.contains(hint), "{message}");
    }
}

#[test]
fn literals() {
    use Value::*;
    for (text, value) in [
        ("(0,)", List(vec![Int(0)])),
        ("(0, 1)", List(vec![Int(0), Int(1)])),
        ("['cls', 'aux']", List(vec![Text("cls".into()), Text("aux".into())])),
        ("True", Bool(true)),
        ("None", Null),
        ("-3", Int(-3)),
        ("1e-4", Float(1e-4)),
        ("inf", Text("inf".into())),
        ("3D", Text("3D".into())),
        ("'7'", Text("7".into())),
        ("'", Text("'".into())),
        ("(", Text("(".into())),
    ] {
        assert_eq!(Value::of_text(text), value, "{text}");
    }
}
