//! The names of models, and the check that a name from a server is safe as a file name.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, clip};

/// A model on the Hub: `ORG/NAME`, or `ORG/NAME@REVISION` with a branch, a tag or a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelId {
    repo: String,
    revision: Option<String>,
}

impl ModelId {
    /// `ORG/NAME`
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// The branch, tag or commit; `main` by default.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repo)?;
        self.revision.as_ref().map_or(Ok(()), |revision| write!(f, "@{revision}"))
    }
}

impl FromStr for ModelId {
    type Err = Error;

    /// # Errors
    /// [`Error::Option`] named `model` if the Hub does not allow such a name.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |problem: &str| Error::Option {
            name: "model",
            problem: format!("{:?} {problem}", clip(text)),
            help: "Give ORG/NAME, or ORG/NAME@REVISION for a branch, a tag or a commit".into(),
        };
        let (repo, revision) = text.split_once('@').map_or((text, None), |(repo, revision)| (repo, Some(revision)));
        if repo.split('/').count() != 2 {
            return Err(wrong("is not the name of a model"));
        }
        // These are the rules of the Hub.
        let word = |word: &str| {
            is_plain(word) && !word.starts_with('-') && !word.ends_with(['-', '.']) && !word.contains("--")
        };
        if repo.len() > 96 || !repo.split('/').all(word) || repo.ends_with(".git") {
            return Err(wrong("is not the name of a model"));
        }
        if revision.is_some_and(|r| !is_path(r) || r.ends_with(['/', '.']) || r.ends_with(".lock")) {
            return Err(wrong("has no revision after its @"));
        }
        Ok(Self { repo: repo.into(), revision: revision.map(Into::into) })
    }
}

/// Whether this is a complete commit hash, which always means the same commit.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether this is a safe file name: no directory, not hidden, no step upwards.
pub(super) fn is_plain(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && !name.starts_with('.')
        && !name.contains("..")
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

/// Whether this is a safe relative path of such names.
pub(super) fn is_path(path: &str) -> bool {
    path.len() <= 255 && path.split('/').all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_revisions() {
        let id: ModelId = "deepset/bert-base_v1.1".parse().unwrap();
        assert_eq!((id.repo(), id.revision(), id.to_string().as_str()), ("deepset/bert-base_v1.1", "main", id.repo()));
        let id: ModelId = "a/b@refs/pr/3".parse().unwrap();
        assert_eq!((id.repo(), id.revision(), id.to_string().as_str()), ("a/b", "refs/pr/3", "a/b@refs/pr/3"));
        for bad in [
            "",
            "/",
            "a",
            "a/",
            "/b",
            "a/b/c",
            "../b",
            "a/..",
            "a/.b",
            "a/b.",
            "-a/b",
            "a/b-",
            "a--b/c",
            "a/b..c",
            "a\\b/c",
            "a/b.git",
            "a/b@",
            "a/b@..",
            "a/b@../c",
            "a/b@x/../y",
            "a/b@/x",
            "a/b@x/",
            "a/b@x//y",
            "a/b@.x",
            "a/b@x@y",
            "a/b@x y",
            "a/b@x.lock",
            "a b/c",
            "ä/b",
            "a/b\n",
            "a/b\0",
            "a/b?x",
            "a/b#x",
            "a/%2e%2e",
            "C:/b",
            "a/b@x\r\ny",
            "http://a/b",
        ] {
            let error = bad.parse::<ModelId>().expect_err(bad);
            assert!(error.code() == "option" && error.to_string().starts_with("model: "), "{bad}: {error}");
        }
        assert!(format!("a/{}", "b".repeat(95)).parse::<ModelId>().is_err());
        assert!(format!("a/b@{}", "c".repeat(256)).parse::<ModelId>().is_err());
        let long = "a/b".repeat(1 << 20).parse::<ModelId>().unwrap_err().to_string();
        assert!(long.len() < 400);
    }

    #[test]
    fn a_commit_is_forty_hex_digits() {
        assert!(is_commit(&"0a".repeat(20)));
        for bad in [&"0A".repeat(20), &"0a".repeat(19), &"0g".repeat(20), "main", ""] {
            assert!(!is_commit(bad));
        }
    }
}
