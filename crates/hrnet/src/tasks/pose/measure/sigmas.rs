//! The constants of OKS: how far a point of each kind is labelled apart by different people, over the square root of the area.

use crate::error::{Result, bail};
use hrnet_data::dataset::model::Category;
use hrnet_data::dataset::skeletons;
use hrnet_data::metric::oks::COCO_SIGMAS;
use hrnet_data::points::{COCO17, MPII16};

/// CrowdPose, as its tools have them: COCO's of the same points, and 0.79 for head and neck.
const CROWDPOSE: [f64; 14] =
    [0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89, 0.79, 0.79];

/// AI Challenger, from the evaluation code of the contest (whose delta is twice these).
const AI_CHALLENGER: [f64; 14] = [
    0.01388152, 0.01515228, 0.01057665, 0.01417709, 0.01497891, 0.01402144, 0.03909642, 0.03686941,
    0.01981803, 0.03843971, 0.03412318, 0.02415081, 0.01291456, 0.01236173,
];

/// AP-10K, as mmpose has them: COCO's of the points that correspond.
const AP10K: [f64; 17] = [
    0.025, 0.025, 0.026, 0.035, 0.035, 0.079, 0.072, 0.062, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089, 0.107,
    0.087, 0.089,
];

/// The known set with these names, in this order.
pub fn known(names: &[String]) -> Option<&'static str> {
    let of = |set: &hrnet_data::points::PointSet| (set.names() == names).then_some(set.name);
    skeletons::by_names(names).map(|k| k.name).or_else(|| of(&COCO17)).or_else(|| of(&MPII16))
}

/// The constants of a category: its own, or those of the known set with its names; and where they come from.
pub fn of(category: &Category) -> Result<(Vec<f64>, String)> {
    if let Some(own) = &category.sigmas {
        return Ok((own.clone(), "sigmas of the annotation file".into()));
    }
    let set = known(&category.points);
    let values = match set {
        Some("coco17") => COCO_SIGMAS.to_vec(),
        Some("crowdpose14") => CROWDPOSE.map(|s| s / 10.0).to_vec(),
        Some("aic14") => AI_CHALLENGER.to_vec(),
        Some("ap10k17") => AP10K.to_vec(),
        _ => bail!(
            "the OKS constants of the {} points of {:?} are not known: write one per point as `sigmas` into the \
             category, or measure PCK (--metric pck)",
            category.points.len(),
            category.name
        ),
    };
    Ok((values, format!("OKS constants of {}", set.unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hrnet_data::dataset::model::PairSource;

    fn category(names: &[&str], sigmas: Option<Vec<f64>>) -> Category {
        Category {
            id: 1,
            name: "person".into(),
            points: names.iter().map(ToString::to_string).collect(),
            skeleton: Vec::new(),
            flip_pairs: Vec::new(),
            pairs_from: PairSource::None,
            sigmas,
        }
    }

    #[test]
    fn constants_by_names() {
        for (known, first) in [
            (skeletons::CROWDPOSE14.points, 0.79 / 10.0),
            (skeletons::AIC14.points, 0.01388152),
            (COCO17.joints, 0.26 / 10.0),
        ] {
            let (values, _) = of(&category(known, None)).unwrap();
            assert_eq!((values.len(), values[0]), (known.len(), first));
        }
        assert!(of(&category(&["a", "b"], None)).unwrap_err().to_string().contains("sigmas"));
        assert_eq!(of(&category(&["a", "b"], Some(vec![0.1, 0.2]))).unwrap().0, [0.1, 0.2]);
        assert!(of(&category(skeletons::LSP14.points, None)).is_err());
    }
}
