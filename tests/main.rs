mod kernels;
mod support;
