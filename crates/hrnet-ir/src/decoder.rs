//! How outputs become results. The one decoder type: recipes, configurations and the command line use it; `hrnet-data`'s codecs are
//! made from it.

use serde::{Deserialize, Serialize};

/// How outputs become results. The serialised names are those of recipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decoder {
    /// Largest value of the map.
    ArgMax,
    /// Largest value, a quarter of a pixel towards the larger neighbour.
    ArgMaxQuarter,
    /// DARK: second-order fit on the blurred map.
    Dark,
    /// Weighted least-squares paraboloid through the logarithm of the 5 x 5 pixels about the maximum.
    LogQuadratic,
    /// UDP: unbiased coordinates with a second-order fit.
    Udp,
    /// UDP with three maps per point: a score and two offsets.
    UdpCombined,
    /// Grouping by associative embedding.
    Associative,
    /// Largest value along the classes, per pixel.
    ArgMaxClass,
    /// The best few classes.
    TopK,
    /// None: features are the result.
    None,
}

impl Decoder {
    /// Those that read points off heat maps, in the order of the command line.
    pub const OF_HEATMAPS: [Self; 6] =
        [Self::ArgMax, Self::ArgMaxQuarter, Self::Dark, Self::Udp, Self::UdpCombined, Self::LogQuadratic];

    /// Its name on the command line and in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::ArgMax => "argmax",
            Self::ArgMaxQuarter => "quarter",
            Self::Dark => "dark",
            Self::LogQuadratic => "log-quadratic",
            Self::Udp => "udp",
            Self::UdpCombined => "udp-combined",
            Self::Associative => "associative",
            Self::ArgMaxClass => "argmax-class",
            Self::TopK => "top-k",
            Self::None => "none",
        }
    }

    /// The decoder of heat maps of that name.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.replace('_', "-");
        Self::OF_HEATMAPS.into_iter().find(|d| d.name() == name)
    }

    /// Whether it reads points off heat maps.
    pub fn is_of_heatmaps(self) -> bool {
        Self::OF_HEATMAPS.contains(&self)
    }

    /// Whether its coordinates are UDP's: corners of the input on corners of the map.
    pub fn is_unbiased(self) -> bool {
        matches!(self, Self::Udp | Self::UdpCombined)
    }

    /// Maps per point.
    pub fn maps_per_point(self) -> usize {
        if self == Self::UdpCombined { 3 } else { 1 }
    }
}

impl std::fmt::Display for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for d in Decoder::OF_HEATMAPS {
            assert_eq!((Decoder::parse(d.name()), d.is_of_heatmaps()), (Some(d), true));
        }
        assert_eq!(Decoder::parse("log_quadratic"), Some(Decoder::LogQuadratic));
        assert_eq!((Decoder::parse("top-k"), Decoder::parse("")), (None, None));
    }
}
