/// @file
/// Memory of a backend with an owner, and a matrix in it.
#pragma once

#include <utility>

#include "branchlora/core/backend.hpp"

namespace branchlora {

/// A contiguous matrix that owns its memory on a backend. Movable, not copyable. The backend must
/// outlive it. Fresh memory holds zeros.
template <Backend B>
class Buffer {
 public:
  using T = typename B::Scalar;

  Buffer() = default;
  Buffer(B& backend, Index rows, Index cols) : Buffer() {
    backend_ = &backend;
    rows_ = rows;
    cols_ = cols;
    data_ = static_cast<T*>(backend.allocate(static_cast<std::size_t>(rows * cols) * sizeof(T)));
    backend.fill(view(), T(0));
  }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).swap(*this);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_ != nullptr) backend_->release(data_);
  }

  MatrixView<T> view() const { return {data_, rows_, cols_}; }
  bool empty() const { return data_ == nullptr; }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(data_, other.data_);
    std::swap(rows_, other.rows_);
    std::swap(cols_, other.cols_);
  }

  B* backend_ = nullptr;
  T* data_ = nullptr;
  Index rows_ = 0;
  Index cols_ = 0;
};

}  // namespace branchlora
