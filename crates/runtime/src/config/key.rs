//! The path to a value: `nodes[1].endpoint`.

use std::fmt;

use serde_json::Value;
use serde_path_to_error::Segment;

/// A path to a value, from the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Key(pub(super) Vec<Step>);

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Name(String),
    Index(usize),
}

impl Key {
    /// Dotted names only: what flags and variables can say.
    pub(super) fn dotted(text: &str) -> Self {
        Self(text.split('.').map(|name| Step::Name(name.to_owned())).collect())
    }

    pub(super) fn name(&self, name: &str) -> Self {
        self.step(Step::Name(name.to_owned()))
    }

    pub(super) fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    pub(super) fn ends_with(&self, name: &str) -> bool {
        matches!(self.0.last(), Some(Step::Name(last)) if last == name)
    }

    pub(super) fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    pub(super) fn find<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(root, |value, step| match step {
            Step::Name(name) => value.get(name),
            Step::Index(index) => value.get(index),
        })
    }

    /// Puts a value where the path leads; `None` takes it away. A path that leads nowhere is left alone.
    pub(super) fn put(&self, root: &mut Value, value: Option<Value>) {
        let Some((end, steps)) = self.0.split_last() else {
            *root = value.unwrap_or_default();
            return;
        };
        let parent = steps.iter().try_fold(root, |value, step| match step {
            Step::Name(name) => value.get_mut(name),
            Step::Index(index) => value.get_mut(index),
        });
        match (parent, end, value) {
            (Some(Value::Object(table)), Step::Name(name), Some(value)) => {
                table.insert(name.clone(), value);
            }
            (Some(Value::Object(table)), Step::Name(name), None) => {
                table.remove(name);
            }
            (Some(Value::Array(list)), Step::Index(index), Some(value)) if *index < list.len() => list[*index] = value,
            _ => {}
        }
    }
}

impl From<&serde_path_to_error::Path> for Key {
    fn from(path: &serde_path_to_error::Path) -> Self {
        let step = |segment: &Segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Name(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        Self(path.iter().filter_map(step).collect())
    }
}

impl From<&serde_ignored::Path<'_>> for Key {
    fn from(path: &serde_ignored::Path<'_>) -> Self {
        use serde_ignored::Path;
        match path {
            Path::Root => Self::default(),
            Path::Seq { parent, index } => Self::from(*parent).step(Step::Index(*index)),
            Path::Map { parent, key } => Self::from(*parent).name(key),
            Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
                Self::from(*parent)
            }
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Name(name) if position == 0 => f.write_str(name)?,
                Step::Name(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
