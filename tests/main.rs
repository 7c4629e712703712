
mod kernels;
mod support;
