//! What checkpoints say about themselves: real layouts of mmengine and mmcv, and configuration texts alone. The four files and the
//! texts are fixtures beside the repository; without them their tests say that they were left out.

use hrnet_formats::{ConfigFacts, Decoder, LoadOptions, Meta, Origin, Recipe, inspect_path};
use hrnet_ir::sets::{AP10K17, COCO17};
use hrnet_ir::{Arch, Head, Model};
use hrnet_proof::fixtures::beside;
use serde_json::{Value, json};
use std::path::Path;

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The facts in the words of the fixtures; only the keys that `like` has.
fn described(facts: &ConfigFacts, like: &Value) -> Value {
    let wh = |size: Option<(usize, usize)>| size.map(|(h, w)| json!([w, h]));
    let number = |n: f64| if n.fract() == 0.0 { json!(n as i64) } else { json!(n) };
    let all = json!({
        "codec": facts.codec,
        "type": facts.codec,
        "coordinates": facts.decoder.map(|d| if d.is_unbiased() { "udp" } else { "classic" }),
        "refine": facts.decoder.map(|d| match d {
            Decoder::Udp | Decoder::Dark => "dark",
            Decoder::UdpCombined => "offset maps",
            Decoder::ArgMaxQuarter => "quarter",
            _ => "other",
        }),
        "sigma": facts.sigma.map(number),
        "blur_kernel": facts.blur_kernel,
        "input_size_wh": wh(facts.input_size),
        "heatmap_size_wh": wh(facts.heatmap_size),
        "channels_per_point": facts.channels_per_point(),
        "flip_test": facts.flip_test,
        "flip_shift": facts.flip_shift,
        "unreadable": facts.unreadable,
    });
    let keys = like.as_object().unwrap().keys();
    Value::Object(keys.map(|k| (k.clone(), all[k].clone())).collect())
}

#[test]
fn configuration_texts() {
    let Some(folder) = beside("fixtures/checkpoints") else { return };
    for case in json_of(&folder.join("configs.json")).as_array().unwrap() {
        let name = &case["name"];
        let facts = ConfigFacts::read(case["text"].as_str().unwrap());
        match &case["expect"] {
            Value::Null => assert_eq!((facts.decoder, facts.codec), (None, None), "{name}"),
            expect => {
                let mut expect = expect.clone();
                // Two deviations are no number; the codec that has them is not one of ours.
                if expect["codec"] == "SPR" {
                    expect["sigma"] = Value::Null;
                }
                assert_eq!(described(&facts, &expect), expect, "{name}");
            }
        }
        assert_eq!(facts.cut_at.is_some(), name == "cut off", "{name}");
    }
}

#[test]
fn real_layouts() {
    let Some(folder) = beside("fixtures/checkpoints") else { return };
    let expected = json_of(&folder.join("expected.json"));
    for (file, want) in expected.as_object().unwrap() {
        let found = inspect_path(folder.join(file), &LoadOptions::default()).unwrap();
        // Toy networks: the structure is read, and that it is none of ours is the one problem.
        assert_eq!(
            found.tensors.len(),
            want["state_dict"]["keys"].as_u64().unwrap() as usize,
            "{file}: {:?}",
            found.problems
        );
        assert!(!found.problems.is_empty(), "{file}");
        let config = found.meta.config.as_ref().unwrap_or_else(|| panic!("{file}: no config"));
        assert_eq!(found.meta.config_entry, want["config_entry"], "{file}");
        assert_eq!(described(config, &want["codec"]), want["codec"], "{file}");
        assert_eq!(config.head_outputs.map(|n| json!(n)).unwrap(), want["head_outputs"], "{file}");
        assert_eq!(
            (json!(config.flip_test), json!(config.flip_shift)),
            (want["flip_test"].clone(), want["flip_shift"].clone())
        );
        let (mean, std) = config.normalise.unwrap();
        let norm = &want["normalise"];
        for (got, key, scale) in
            [(mean, "mean_1", 1.0), (std, "std_1", 1.0), (mean, "mean_255", 255.0), (std, "std_255", 255.0)]
        {
            for (i, v) in norm[key].as_array().into_iter().flatten().enumerate() {
                assert!((got[i] * scale - v.as_f64().unwrap()).abs() < 1e-9, "{file} {key}");
            }
        }
        assert_eq!(json!(config.rgb.unwrap()), norm["rgb"]);
        match &want["dataset"] {
            Value::Null => assert_eq!(found.meta.dataset, None, "{file}"),
            set => {
                let meta = found.meta.dataset.as_ref().unwrap_or_else(|| panic!("{file}: no dataset_meta"));
                assert_eq!(
                    (json!(meta.name), json!(meta.names)),
                    (set["name"].clone(), set["names"].clone()),
                    "{file}"
                );
                let mut flip: Vec<usize> = (0..meta.names.len()).collect();
                meta.flip_pairs.iter().for_each(|&[a, b]| flip.swap(a, b));
                assert_eq!(json!(flip), set["flip_indices"], "{file}");
                assert_eq!(
                    meta.set().map(|s| s.aliases.contains(&meta.name.as_deref().unwrap())),
                    Some(true)
                );
            }
        }
    }
}

fn model(joints: usize) -> Model {
    Model { arch: Arch::new(32), head: Head::Pose { joints, kernel: 1, branch: 0 } }
}

fn config(text: &str) -> Meta {
    Meta { config: Some(ConfigFacts::read(text)), config_entry: "meta.cfg", ..Meta::default() }
}

const AP10K_TEXTS: [&str; 5] = [
    "dataset_type = 'AP10KDataset'\n",
    "dataset_type = 'AnimalAP10KDataset'\ndata = dict(test=dict(type='AnimalAP10KDataset'))\n",
    "dataset_type = 'TopDownCocoDataset'\ndata = dict(val=dict(type='TopDownCocoDataset', dataset_info=dict(dataset_name='ap10k')))\n",
    "val_dataloader = dict(dataset=dict(type='CocoDataset', metainfo=dict(from_file='configs/_base_/datasets/ap10k.py')))\n",
    "dataset_info = dict(dataset_name='AP-10K', keypoint_info={0: dict(name='L_Eye')})\n",
];

#[test]
fn an_ap10k_file_never_gets_the_pairs_of_coco() {
    for text in AP10K_TEXTS {
        let recipe = Recipe::of_checkpoint(&model(17), "test", &config(text)).unwrap();
        let pairs: Vec<(usize, usize)> = recipe.flip_pairs.iter().map(|&[a, b]| (a, b)).collect();
        assert_eq!(
            (recipe.points.as_deref(), pairs.as_slice()),
            (Some("ap10k17"), AP10K17.flip_pairs),
            "{text}"
        );
        assert_eq!((recipe.origins.names, recipe.guess()), (Some(Origin::Config), None));
    }
    // A set that is not in the table: no names are better than wrong ones.
    let recipe =
        Recipe::of_checkpoint(&model(17), "test", &config("dataset_type = 'GiraffeDataset'\n")).unwrap();
    assert!(recipe.names.is_empty() && recipe.flip_pairs.is_empty() && recipe.guess().is_none());
    // Nothing said: a guess, and called one.
    let recipe = Recipe::of_checkpoint(&model(17), "test", &Meta::default()).unwrap();
    assert_eq!(recipe.names, COCO17.names());
    let said = recipe.guess().unwrap();
    assert_eq!(said, "points: coco17 (guessed from 17 outputs; name the set with --points)");
}

#[test]
fn what_the_caller_names_wins() {
    let mut recipe = Recipe::of_checkpoint(&model(17), "test", &config(AP10K_TEXTS[0])).unwrap();
    recipe.take_points(&COCO17, Origin::Named).unwrap();
    assert_eq!((recipe.points.as_deref(), &recipe.names), (Some("coco17"), &COCO17.names()));
    assert!(recipe.names_from(false).contains("from --points"), "{}", recipe.names_from(false));
    let error = recipe.take_points(&hrnet_ir::sets::MPII16, Origin::Named).unwrap_err().to_string();
    assert!(error.contains("17 points"), "{error}");
    recipe.take_decoder(Decoder::Dark).unwrap();
    assert_eq!(recipe.origins.decoder, Some(Origin::Named));
    assert!(
        recipe.take_decoder(Decoder::UdpCombined).is_err() && recipe.take_decoder(Decoder::TopK).is_err()
    );
    // The file keeps what was said; it is then what the file says.
    let read = Recipe::from_json(&recipe.to_json().unwrap()).unwrap();
    assert_eq!(
        (&read.points, &read.flip_pairs, read.decoder),
        (&recipe.points, &recipe.flip_pairs, recipe.decoder)
    );
    assert_eq!((read.origins.is_empty(), read.guess()), (true, None));
}

#[test]
fn offset_maps_are_three_a_point() {
    let text = "codec = dict(type='UDPHeatmap', input_size=(192, 256), heatmap_size=(48, 64), heatmap_type='combined')\n\
                dataset_type = 'AP10KDataset'\n";
    let recipe = Recipe::of_checkpoint(&model(51), "test", &config(text)).unwrap();
    assert_eq!((recipe.decoder, recipe.point_count()), (Decoder::UdpCombined, 17));
    assert_eq!((recipe.points.as_deref(), recipe.input_size), (Some("ap10k17"), (256, 192)));
    let error = Recipe::of_checkpoint(&model(17), "test", &config(text)).unwrap_err().to_string();
    assert!(error.contains("3 maps per point") && error.contains("17 outputs"), "{error}");
}

#[test]
fn unknown_sets_fall_back_on_the_recipe() {
    let mut recipe = Recipe::for_model(&model(3), "test");
    recipe.points = Some("my-animal-3".into());
    recipe.names = ["nose", "left_x", "right_x"].map(String::from).to_vec();
    recipe.flip_pairs = vec![[1, 2]];
    let read = Recipe::from_json(&recipe.to_json().unwrap()).unwrap();
    assert_eq!((read.set_name(), read.point_set()), (Some("my-animal-3"), None));
    assert_eq!((&read.names, &read.flip_pairs), (&recipe.names, &recipe.flip_pairs));
    // A file of before: no set is named, the names tell it.
    let mut old = Recipe::for_model(&model(17), "test");
    (old.points, old.origins) = (None, Default::default());
    let read = Recipe::from_json(&old.to_json().unwrap()).unwrap();
    assert_eq!((read.point_set(), read.guess()), (Some(&COCO17), None));
    assert_eq!(read.names_from(true), "points: coco17 (from the file's recipe)");
}
