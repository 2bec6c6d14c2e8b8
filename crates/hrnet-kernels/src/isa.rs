//! Instruction-set levels, ordered. `HRNET_ISA` can only lower what the hardware offers.

use std::fmt;

/// An instruction-set level. One level = one set of result bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust, multiply then add.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, VL, BW and DQ (and everything of [`Isa::Avx2`]).
    Avx512,
}

/// Why `HRNET_ISA` was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsaError {
    /// Not the name of a level.
    #[error("HRNET_ISA={0:?}: unknown level; use portable, avx2 or avx512, or unset the variable")]
    Unknown(String),
    /// A level that this processor does not have.
    #[error(
        "HRNET_ISA={wanted}: this processor offers at most {available}; the variable can only lower the level"
    )]
    Unavailable {
        /// The level asked for.
        wanted: Isa,
        /// The highest level of this processor.
        available: Isa,
    },
}

/// Proof that a level was checked against the hardware. Only [`Isa::prove`] makes one, so a kernel that takes
/// it can never meet an illegal instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proven(Isa);

impl Proven {
    pub(crate) fn isa(self) -> Isa {
        self.0
    }
}

impl Isa {
    /// All levels, lowest first.
    pub const ALL: [Isa; 3] = [Isa::Portable, Isa::Avx2, Isa::Avx512];

    /// The highest level of this processor.
    pub fn detect() -> Isa {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq");
            if avx2 && avx512 {
                return Isa::Avx512;
            }
            if avx2 {
                return Isa::Avx2;
            }
        }
        Isa::Portable
    }

    /// The level to use: the hardware's, or the lower one that the environment variable `HRNET_ISA` names.
    pub fn from_env() -> Result<Isa, IsaError> {
        match std::env::var_os("HRNET_ISA") {
            None => Ok(Isa::detect()),
            Some(value) => Isa::lowered(&value.to_string_lossy(), Isa::detect()),
        }
    }

    fn lowered(name: &str, available: Isa) -> Result<Isa, IsaError> {
        let wanted = Isa::ALL
            .into_iter()
            .find(|isa| isa.name() == name)
            .ok_or_else(|| IsaError::Unknown(name.to_string()))?;
        if wanted > available { Err(IsaError::Unavailable { wanted, available }) } else { Ok(wanted) }
    }

    /// `portable`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    /// The levels of this processor, lowest first.
    pub fn available() -> Vec<Isa> {
        let top = Isa::detect();
        Isa::ALL.into_iter().filter(|&isa| isa <= top).collect()
    }

    /// Checks the level against the hardware. Panics for a level that the processor lacks.
    pub(crate) fn prove(self) -> Proven {
        let available = Isa::detect();
        assert!(
            self <= available,
            "kernel level {self} asked for, this processor offers at most {available}"
        );
        Proven(self)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_can_only_lower() {
        assert_eq!(Isa::lowered("portable", Isa::Avx512), Ok(Isa::Portable));
        assert_eq!(Isa::lowered("avx2", Isa::Avx2), Ok(Isa::Avx2));
        assert_eq!(
            Isa::lowered("avx512", Isa::Avx2),
            Err(IsaError::Unavailable { wanted: Isa::Avx512, available: Isa::Avx2 })
        );
        assert_eq!(Isa::lowered("AVX2", Isa::Avx512), Err(IsaError::Unknown("AVX2".into())));
        assert!(
            Isa::lowered("sse9", Isa::Avx2).unwrap_err().to_string().contains("portable, avx2 or avx512")
        );
    }

    #[test]
    fn levels_are_ordered_and_available_ends_with_the_detected_one() {
        assert!(Isa::Portable < Isa::Avx2 && Isa::Avx2 < Isa::Avx512);
        assert_eq!(Isa::available().last(), Some(&Isa::detect()));
        assert_eq!(Isa::available()[0], Isa::Portable);
    }
}
