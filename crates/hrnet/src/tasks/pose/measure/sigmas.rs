//! The constants of OKS: how far a point of each kind is labelled apart by different people, over the square root of the area.

use crate::error::{Result, bail};
use hrnet_data::dataset::model::Category;
use hrnet_data::sets::{PointSet, SigmaSource};

/// The known set with these names, in this order.
pub fn known(names: &[String]) -> Option<&'static str> {
    PointSet::by_points(names).map(|s| s.name)
}

/// The constants of a category: its own, or those of the known set with its names; and where they come from.
pub fn of(category: &Category) -> Result<(Vec<f64>, String)> {
    if let Some(own) = &category.sigmas {
        return Ok((own.clone(), "sigmas of the annotation file".into()));
    }
    let set = PointSet::by_points(&category.points);
    // AP-10K's are those that its own code has, though taken over from COCO. Others that nobody published are no measure.
    let usable = |s: &&PointSet| {
        matches!(s.sigmas_from, SigmaSource::Published(_)) || *s == &hrnet_data::sets::AP10K17
    };
    let Some(set) = set.filter(usable) else {
        bail!(
            "the OKS constants of the {} points of {:?} are not known: write one per point as `sigmas` into the \
             category, or measure PCK (--metric pck)",
            category.points.len(),
            category.name
        );
    };
    Ok((set.sigmas.to_vec(), format!("OKS constants of {}", set.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hrnet_data::dataset::model::PairSource;
    use hrnet_data::sets::{AIC14, AP10K17, COCO17, CROWDPOSE14, LSP14, MPII16};

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
        for (known, first) in
            [(CROWDPOSE14, 0.79 / 10.0), (AIC14, 0.01388152), (COCO17, 0.26 / 10.0), (AP10K17, 0.025)]
        {
            let (values, _) = of(&category(known.joints, None)).unwrap();
            assert_eq!((values.len(), values[0]), (known.count, first));
        }
        assert!(of(&category(&["a", "b"], None)).unwrap_err().to_string().contains("sigmas"));
        assert_eq!(of(&category(&["a", "b"], Some(vec![0.1, 0.2]))).unwrap().0, [0.1, 0.2]);
        assert!(of(&category(LSP14.joints, None)).is_err());
        // Constants that were never published for the set.
        assert!(of(&category(MPII16.joints, None)).is_err());
    }
}
