//! What a GPU can do, as far as the choice of a kernel depends on it.

/// The limits that kernels are chosen by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of `var<workgroup>` memory.
    pub workgroup_bytes: u32,
    /// Invocations in a workgroup.
    pub invocations: u32,
    /// Workgroups in one dimension of a dispatch.
    pub groups: u32,
    /// Bytes of one storage binding.
    pub binding_bytes: u64,
    /// Bytes of one buffer.
    pub buffer_bytes: u64,
}
