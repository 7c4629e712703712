//! The limits of a GPU that decide between kernels.

/// The limits by which kernels are chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of `var<workgroup>` memory.
    pub workgroup_bytes: u32,
    /// The invocations of a workgroup.
    pub invocations: u32,
    /// The workgroups in one dimension of a dispatch.
    pub groups: u32,
    /// The bytes of one storage binding.
    pub binding_bytes: u64,
    /// The bytes of one buffer.
    pub buffer_bytes: u64,
}
