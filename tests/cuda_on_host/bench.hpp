/// @file
/// A CUDA backend on the stand-in, and what is checked when it goes.
#pragma once

#include <doctest/doctest.h>
#include <cuda_on_host/device.hpp>

#include <memory>

#include "branchlora/cuda/backend.hpp"

namespace branchlora::test {

using cuda_on_host::Device;

/// Checks that nothing is left on the device and that no rule was broken. In
/// `instances/float.cpp`.
void check_clean();

/// A backend that leaves nothing behind.
template <std::floating_point T>
class OnHost {
 public:
  OnHost();
  OnHost(const OnHost&) = delete;
  OnHost& operator=(const OnHost&) = delete;
  ~OnHost();
  cuda::Backend<T>& operator*() { return *backend_; }

 private:
  std::unique_ptr<cuda::Backend<T>> backend_;
};

template <std::floating_point T>
OnHost<T>::OnHost() : backend_(std::make_unique<cuda::Backend<T>>()) {}

template <std::floating_point T>
OnHost<T>::~OnHost() {
  backend_.reset();
  check_clean();
}

}  // namespace branchlora::test
