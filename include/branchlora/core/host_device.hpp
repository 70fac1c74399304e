/// @file
/// The mark of functions that run on the host and, where CUDA compiles them, on the device.
#pragma once

#if defined(__CUDACC__)
#define BRANCHLORA_HD __host__ __device__
#else
#define BRANCHLORA_HD
#endif
