/// @file
/// The marks of functions that run on the host and, where CUDA compiles them, on the device.
#pragma once

/// `BRANCHLORA_HD` marks functions for both. `BRANCHLORA_BODY` marks the lambdas that are given to
/// a backend's primitives: CUDA compiles them for the device alone, since it allows no generic
/// lambda for both. So a source that nvcc compiles gives its bodies to the CUDA backend only.
#if defined(__CUDACC__)
#define BRANCHLORA_HD __host__ __device__
#define BRANCHLORA_BODY __device__
#else
#define BRANCHLORA_HD
#define BRANCHLORA_BODY
#endif
