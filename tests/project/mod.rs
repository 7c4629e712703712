//! The project itself: its rules, its dependencies and its guides.

pub mod dependencies;
pub mod guides;
pub mod imports;
pub mod shaders;
pub mod tidy;
