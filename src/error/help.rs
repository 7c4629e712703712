//! The remedy for an error: a text in which options and remedies are values, so that each front end can word them.

use std::fmt;

/// An option by its name in the library, such as `top_k`. The command line calls it `--top-k`, the npm package `topK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionName(pub &'static str);

/// A remedy that each front end words in its own way, with a phrase such as "use the CPU".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// Use the CPU instead of a GPU.
    UseCpu,
    /// Get a GPU that can be used.
    GetGpu,
    /// List the GPUs.
    ListGpus,
    /// Test the GPU, to see what it computes wrong.
    TestGpu,
    /// Make one f32 model of an adapter and its base.
    MergeAdapter,
    /// Make an i8 model of a larger one.
    ConvertToI8,
    /// Fetch an adapter's base from the Hub.
    FetchBase,
}

/// The words of a front end for the values in an error.
pub trait Dialect {
    /// The name of an option. A name in capitals is an environment variable and is the same everywhere.
    fn option(&self, option: OptionName) -> String;
    /// A remedy, as a phrase without a capital or a full stop.
    fn remedy(&self, remedy: Remedy) -> &'static str;
}

/// The dialect of `Display`: options have the names of their Rust fields, and remedies name no front end.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Dialect for Plain {
    fn option(&self, OptionName(name): OptionName) -> String {
        name.to_owned()
    }

    fn remedy(&self, remedy: Remedy) -> &'static str {
        match remedy {
            Remedy::UseCpu => "use the CPU",
            Remedy::GetGpu => "install a Vulkan, Metal or DX12 driver",
            Remedy::ListGpus => "list the adapters",
            Remedy::TestGpu => "run the self-test for details",
            Remedy::MergeAdapter => "merge the adapter into its base",
            Remedy::ConvertToI8 => "convert the model to i8",
            Remedy::FetchBase => "download the base from the Hub",
        }
    }
}

/// The remedy for an error. Plain text converts into it; `help!` makes one with options and remedies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Help(Vec<Part>);

/// A part of a [`Help`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Plain text.
    Text(String),
    /// An option's name.
    Option(OptionName),
    /// A remedy's phrase.
    Remedy(Remedy),
}

/// Makes a [`Help`] from parts that follow each other: texts, [`OptionName`]s and [`Remedy`]s.
macro_rules! help {
    ($($part:expr),+ $(,)?) => { $crate::error::Help::from_iter([$($crate::error::Part::from($part)),+]) };
}
pub(crate) use help;

impl Help {
    /// Writes the parts in the words of the dialect.
    pub(super) fn write(&self, to: &mut dyn fmt::Write, dialect: &dyn Dialect) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => to.write_str(text),
            Part::Option(option) => to.write_str(&dialect.option(*option)),
            Part::Remedy(remedy) => to.write_str(dialect.remedy(*remedy)),
        })
    }

    /// Adds a text at the end.
    pub fn and(mut self, text: impl Into<String>) -> Self {
        self.0.push(Part::Text(text.into()));
        self
    }
}

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &Plain)
    }
}

impl FromIterator<Part> for Help {
    fn from_iter<I: IntoIterator<Item = Part>>(parts: I) -> Self {
        Self(parts.into_iter().collect())
    }
}

impl From<String> for Help {
    fn from(text: String) -> Self {
        Self(vec![Part::Text(text)])
    }
}

impl From<&str> for Help {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<&Help> for Help {
    fn from(help: &Help) -> Self {
        help.clone()
    }
}

impl From<String> for Part {
    fn from(text: String) -> Self {
        Part::Text(text)
    }
}

impl From<&str> for Part {
    fn from(text: &str) -> Self {
        Part::Text(text.to_owned())
    }
}

impl From<OptionName> for Part {
    fn from(option: OptionName) -> Self {
        Part::Option(option)
    }
}

impl From<Remedy> for Part {
    fn from(remedy: Remedy) -> Self {
        Part::Remedy(remedy)
    }
}
