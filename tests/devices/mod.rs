//! Devices and kernels: right values, the same bits, failures and pauses.

pub mod faults;
pub mod kernels;
pub mod lockstep;
pub mod pausing;
pub mod selection;
pub mod self_test;
