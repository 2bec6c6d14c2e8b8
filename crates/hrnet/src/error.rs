//! What went wrong: one type for the whole library.
//!
//! An [`Error`] has a [kind](Error::kind) for programs and a chain of messages for people: what failed first, its causes behind.
//! `{}` shows the first message, `{:#}` and [`one_line`] the whole chain.

use std::error::Error as StdError;
use std::fmt;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Boxed = Box<dyn StdError + Send + Sync>;

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file or folder cannot be read or written.
    Io,
    /// A picture or video cannot be decoded, or is beyond the limits.
    Image,
    /// A model file, or a network that cannot be used as asked.
    Model,
    /// Labels, boxes or results in files.
    Labels,
    /// A training configuration.
    Config,
    /// A training run.
    Training,
    /// The run was asked to end ([`crate::Stop`]).
    Stopped,
    /// Everything ran and a check did not hold.
    Check,
    /// What was asked for does not fit together.
    Invalid,
}

/// Why something did not work.
pub struct Error {
    kind: ErrorKind,
    what: What,
}

enum What {
    /// A message, with what it was about.
    Message(String, Option<Boxed>),
    /// An error of another type as it is.
    Other(Boxed),
}

impl Error {
    /// An error with a message that says what, where, and what to do.
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, what: What::Message(message.to_string(), None) }
    }

    /// An error of another type.
    pub fn from_other(kind: ErrorKind, error: impl StdError + Send + Sync + 'static) -> Self {
        Self { kind, what: What::Other(Box::new(error)) }
    }

    /// What it is about.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same error with what was being done in front.
    #[must_use]
    pub fn context(self, message: impl fmt::Display) -> Self {
        Self { kind: self.kind, what: What::Message(message.to_string(), Some(Box::new(self))) }
    }

    /// The same error as one of another kind.
    #[must_use]
    pub fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// The error of a type in the chain.
    pub fn find<T: StdError + 'static>(&self) -> Option<&T> {
        let mut next: Option<&(dyn StdError + 'static)> = match &self.what {
            What::Other(error) => Some(error.as_ref()),
            What::Message(_, source) => source.as_deref().map(|e| e as _),
        };
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<T>() {
                return Some(found);
            }
            next = match error.downcast_ref::<Self>() {
                Some(own) => return own.find(),
                None => error.source(),
            };
        }
        None
    }
}

/// An error and its causes in one line; a cause that the text already tells is not said twice.
pub fn one_line(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let message = cause.to_string();
        if text.is_empty() {
            text = message;
        } else if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        next = cause.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Message(message, _) => f.write_str(message)?,
            What::Other(error) => write!(f, "{error}")?,
        }
        if f.alternate() {
            let mut next = self.source();
            while let Some(cause) = next {
                write!(f, ": {cause}")?;
                next = cause.source();
            }
        }
        Ok(())
    }
}

/// What `main() -> hrnet::Result<()>` prints: the chain in one line.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(self))
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.what {
            What::Message(_, source) => source.as_deref().map(|e| e as _),
            What::Other(error) => error.source(),
        }
    }
}

macro_rules! kinds {
    ($($kind:ident: $($error:ty),+;)*) => {$($(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::from_other(ErrorKind::$kind, error)
            }
        }
    )+)*};
}

kinds! {
    Io: std::io::Error;
    Image: hrnet_image::ImageError, hrnet_image::video::VideoError, hrnet_image::resize::ResizeError;
    Model: hrnet_formats::LoadError, hrnet_formats::RecipeError, hrnet_formats::WriteError,
        hrnet_engine::EngineError, hrnet_engine::PlanError, hrnet_engine::RunError, hrnet_ir::ModelError,
        hrnet_ir::ShapeError, hrnet_ir::TensorError, hrnet_ir::interp::InterpError,
        hrnet_kernels::IsaError, hrnet_data::codec::bottom_up::BottomUpError,
        hrnet_data::codec::segmentation::SegmentationError;
    Labels: hrnet_data::loader::LoaderError, hrnet_data::dataset::model::DataError, hrnet_data::dataset::landmark_csv::CsvError,
        hrnet_data::metric::coco::FileError, hrnet_data::metric::coco::ApError, hrnet_data::metric::nme::NmeError,
        hrnet_data::metric::pck::PckError, hrnet_data::metric::topk::TopKError,
        hrnet_data::metric::segmentation::SegmentationError, hrnet_data::convert::ConvertError, csv::Error;
    Config: crate::yacs::YacsError, toml::de::Error, toml::ser::Error;
    Training: hrnet_train::TrainError, hrnet_train::TapeError, hrnet_train::LossError,
        hrnet_train::CheckpointError, hrnet_train::AdaptError, hrnet_train::storage::StorageError;
    Invalid: std::collections::TryReserveError, glob::PatternError, glob::GlobError, serde_json::Error, std::string::FromUtf8Error, std::str::Utf8Error, std::num::ParseIntError,
        std::num::ParseFloatError, std::num::TryFromIntError, std::fmt::Error;
}

impl From<Boxed> for Error {
    fn from(error: Boxed) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => *own,
            Err(other) => Self { kind: ErrorKind::Invalid, what: What::Other(other) },
        }
    }
}

/// Says what was being done when something failed.
pub trait Context<T> {
    /// Puts a message in front of the error.
    fn context(self, message: impl fmt::Display) -> Result<T>;

    /// The same with a message that is made when it is needed.
    fn with_context<M: fmt::Display>(self, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, message: impl fmt::Display) -> Result<T> {
        self.map_err(|e| e.into().context(message))
    }

    fn with_context<M: fmt::Display>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|e| e.into().context(message()))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, message: impl fmt::Display) -> Result<T> {
        self.ok_or_else(|| Error::new(ErrorKind::Invalid, message))
    }

    fn with_context<M: fmt::Display>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.ok_or_else(|| Error::new(ErrorKind::Invalid, message()))
    }
}

/// An [`Error`] from a format, of kind `Invalid` or the one in front: `err!(Labels, "line {n}: …")`.
#[macro_export]
#[doc(hidden)]
macro_rules! err {
    ($kind:ident, $($arg:tt)+) => {
        $crate::error::Error::new($crate::error::ErrorKind::$kind, format_args!($($arg)+))
    };
    ($($arg:tt)+) => { $crate::error::Error::new($crate::error::ErrorKind::Invalid, format_args!($($arg)+)) };
}

/// Returns [`err!`].
#[macro_export]
#[doc(hidden)]
macro_rules! bail {
    ($($arg:tt)+) => { return Err($crate::err!($($arg)+)) };
}

/// Returns [`err!`] unless something holds.
#[macro_export]
#[doc(hidden)]
macro_rules! ensure {
    ($holds:expr, $($arg:tt)+) => { if !$holds { $crate::bail!($($arg)+) } };
}

#[doc(hidden)]
pub use crate::{bail, ensure, err};

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("root")]
    struct Root;

    #[test]
    fn a_chain_is_told_once_and_keeps_its_kind() {
        let error = Error::from_other(ErrorKind::Labels, Root).context("a.csv, line 3").context("a.csv");
        assert_eq!(error.kind(), ErrorKind::Labels);
        assert_eq!(error.to_string(), "a.csv");
        assert_eq!(format!("{error:#}"), "a.csv: a.csv, line 3: root");
        assert_eq!(one_line(&error), "a.csv: a.csv, line 3: root");
        assert_eq!(one_line(&error.context("a.csv: a.csv, line 3")), "a.csv: a.csv, line 3: root");
    }

    #[test]
    fn an_error_is_found_through_boxes() {
        let error = Error::from_other(ErrorKind::Check, Root).context("outer");
        assert!(error.find::<Root>().is_some());
        let boxed: Boxed = Box::new(error);
        let back = Error::from(boxed);
        assert_eq!(back.kind(), ErrorKind::Check);
        assert!(back.context("more").find::<Root>().is_some());
        assert!(Error::new(ErrorKind::Io, "x").find::<Root>().is_none());
    }
}
