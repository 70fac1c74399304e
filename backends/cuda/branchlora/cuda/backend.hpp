/// @file
/// The CUDA backend: the same primitives on an NVIDIA GPU.
#pragma once

#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "branchlora/core/backend.hpp"
#include "branchlora/cuda/attention.hpp"
#include "branchlora/cuda/bodies.hpp"
#include "branchlora/cuda/graph.hpp"
#include "branchlora/cuda/launch.hpp"
#include "branchlora/cuda/memory.hpp"
#include "branchlora/cuda/parts.hpp"
#include "branchlora/cuda/product.hpp"
#include "branchlora/cuda/skinny.hpp"

namespace branchlora::cuda {

/// Models `branchlora::Backend` on one device and one stream. Everything but `download`, `sum` and
/// `synchronize` returns before it is done. Equal calls give equal bits.
///
/// Bodies are compiled for the device by nvcc, and must be marked `BRANCHLORA_BODY`.
template <std::floating_point T = float>
class Backend {
 public:
  using Scalar = T;

  /// A frozen weight; `rounded` holds it where its storage is bfloat16.
  struct FrozenWeight {
    MatrixView<const T> weight;
    std::shared_ptr<const Bfloat16> rounded;
  };

  /// Sees what the other backends of the device were given to do before. Throws `Error` if there is
  /// no such device.
  explicit Backend(int device = 0)
      : stream_(stream_on(device)),
        pool_(device, stream_.get()),
        staging_(stream_.get()),
        products_(pool_, stream_.get()),
        workspace_(pool_),
        spans_(pool_),
        parts_(pool_) {}
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  ~Backend() { cudaStreamSynchronize(stream_.get()); }

  /// Lets products of floats round their factors to TF32. Off at first.
  void set_tf32(bool on) { products_.set_tf32(on); }

  /// On which all of it is queued.
  cudaStream_t stream() const { return stream_.get(); }

  /// Waits until everything is done.
  void synchronize() { check(cudaStreamSynchronize(stream_.get()), "waiting for the device"); }

  /// Records what `step()` does on this backend, without doing it. The step must allocate nothing
  /// and wait for nothing, as one like the one before does; throws `Error` otherwise.
  template <class F>
  Graph capture(F step) {
    spans_.forget();
    const ForgetSpans afterwards{spans_};
    return Graph(stream_.get(), pool_, staging_, step);
  }

  /// Does a recorded step once more: with what lies in the same device memory now, and with the
  /// same host data and arguments. Throws `Error` if memory was given back since `capture`.
  void replay(const Graph& graph) {
    const ForgetSpans afterwards{spans_};
    graph.launch();
  }

  /// Does `step()` by way of a `GraphedStep`, which is for steps of one shape: from the third on as
  /// one launch. Throws `Error` if the step waits, or if it allocates then.
  template <class F>
  void run(GraphedStep& graphed, F step) {
    spans_.forget();
    const ForgetSpans afterwards{spans_};
    graphed(stream_.get(), pool_, staging_, step);
  }

  /// The most bytes of device memory that were ever in use at the same time in this process.
  std::size_t peak_bytes() const { return pool_.peak(); }

  void* allocate(std::size_t bytes) { return pool_.allocate(bytes); }
  void release(void* pointer) noexcept { pool_.release(pointer); }

  /// The host's memory may change as soon as this returns.
  void upload(void* to, const void* from, std::size_t bytes) { staging_.upload(to, from, bytes); }
  /// Waits for the data.
  void download(void* to, const void* from, std::size_t bytes) {
    if (bytes == 0) return;
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_.get()),
          "copying to the host");
    synchronize();
  }

  void fill(MatrixView<T> m, T value) {
    if (m.empty()) return;
    if (value == T(0)) {
      check(cudaMemset2DAsync(m.data, bytes_of(m.stride), 0, bytes_of(m.cols),
                              static_cast<std::size_t>(m.rows), stream_.get()),
            "filling with zeros");
    } else {
      launch_elements("fill", m.size(), body::Fill<T>{m, value}, stream_.get());
    }
  }

  void copy(MatrixView<const T> from, MatrixView<T> to) {
    expect_shape(to, from.rows, from.cols, "the target of a copy");
    if (to.empty()) return;
    check(cudaMemcpy2DAsync(to.data, bytes_of(to.stride), from.data, bytes_of(from.stride),
                            bytes_of(to.cols), static_cast<std::size_t>(to.rows),
                            cudaMemcpyDeviceToDevice, stream_.get()),
          "copying on the device");
  }

  /// c = alpha op(a) op(b) + beta c.
  void gemm(Op op_a, Op op_b, T alpha, MatrixView<const T> a, MatrixView<const T> b, T beta,
            MatrixView<T> c) {
    products_.gemm(op_a, op_b, alpha, a, b, beta, c);
  }

  /// y = x w^T + bias, 1 x y.cols, in each row: one launch where cuBLASLt can.
  void affine(MatrixView<const T> x, MatrixView<const T> w, MatrixView<const T> bias,
              MatrixView<T> y) {
    if (products_.affine(x, w, bias, y)) return;
    gemm(Op::none, Op::transpose, T(1), x, w, T(0), y);
    add_to_rows(bias, y);
  }

  /// The same with a frozen weight.
  void frozen_affine(MatrixView<const T> x, const FrozenWeight& w, MatrixView<const T> bias,
                     MatrixView<T> y) {
    if constexpr (std::is_same_v<T, float>) {
      if (w.rounded) {
        if (products_.affine(rounded(x), rounded_weight(w), bias, y)) return;
        frozen_forward(x, w, y);
        add_to_rows(bias, y);
        return;
      }
    }
    affine(x, w.weight, bias, y);
  }

  /// dw (+)= dy^T x and dbias (+)= the sums of dy's columns: one launch where cuBLASLt can, which
  /// adds to no bias.
  void affine_backward(MatrixView<const T> dy, MatrixView<const T> x, MatrixView<T> dw, bool add,
                       T* dbias, bool add_bias) {
    if (!add_bias && products_.affine_backward(dy, x, add, dw, dbias)) return;
    gemm(Op::transpose, Op::none, T(1), dy, x, T(add ? 1 : 0), dw);
    reduce_columns(dy.rows, dy.cols, body::Elements<T>{dy}, dbias, add_bias);
  }

  template <class Body>
  void for_each(Index n, Body body) {
    launch_elements("for_each", n, body, stream_.get());
  }

  /// One launch, however many parts there are.
  template <class Part, class Body>
  void for_each(std::span<const Part> list, Body body) {
    const auto pieces = parts_.cut(list, 256, staging_);
    launch_elements("for_each of parts", parts_.pieces() * pieces.size,
                    parts::Each<Part, Body>{pieces, std::ssize(list), body}, stream_.get());
  }

  template <class Body>
  void for_rows(Index n, Body body) {
    launch_rows<T>("for_rows", n, body, stream_.get());
  }

  template <class F>
  void reduce_columns(Index rows, Index cols, F f, T* out, bool add) {
    constexpr Index size = 64;
    const Index chunks = rows > 2 * size ? (rows + size - 1) / size : 1;
    if (chunks == 1) {
      launch_elements("reduce_columns", cols,
                      body::Columns<T, F>{rows, cols, 2 * size, f, out, add}, stream_.get());
      return;
    }
    T* partial = workspace_.get<T>(chunks * cols);
    launch_elements("reduce_columns", chunks * cols,
                    body::Columns<T, F>{rows, cols, size, f, partial, false}, stream_.get());
    launch_elements("reduce_columns", cols,
                    body::Columns<T, body::Elements<T>>{
                        chunks, cols, chunks, {{partial, chunks, cols}}, out, add},
                    stream_.get());
  }

  template <class Target>
  void scatter_add_rows(MatrixView<const T> from, MatrixView<T> to, T scale, Target target) {
    launch_elements("scatter_add_rows", to.cols, body::Scatter<T, Target>{from, to, scale, target},
                    stream_.get());
  }

  /// Waits for the result.
  template <class F>
  double sum(Index n, F f) {
    if (n <= 0) return 0;
    constexpr Index most = 128;
    const Index size = std::max<Index>((n + most - 1) / most, 1024);
    const Index chunks = (n + size - 1) / size;
    auto* partial = workspace_.get<double>(chunks);
    launch("sum", kernel::rows<double, 256, body::Total<F>>, chunks, 256, stream_.get(), chunks,
           body::Total<F>{n, size, f, partial});
    std::array<double, most> host;
    download(host.data(), partial, static_cast<std::size_t>(chunks) * sizeof(double));
    double total = 0;
    for (Index i = 0; i < chunks; ++i) total += host[static_cast<std::size_t>(i)];
    return total;
  }

  /// Two launches, and waits for the result.
  template <class Part, class F>
  double sum(std::span<const Part> list, F f) {
    const auto pieces = parts_.cut(list, 8192, staging_);
    const Index n = parts_.pieces();
    if (n == 0) return 0;
    auto* partial = workspace_.get<double>(n + 1);
    launch("sum of parts", kernel::rows<double, 256, parts::Total<Part, F>>, n, 256, stream_.get(),
           n, parts::Total<Part, F>{pieces, std::ssize(list), f, partial});
    using All = body::Total<body::Numbers>;
    launch("sum of parts", kernel::rows<double, 256, All>, 1, 256, stream_.get(), 1,
           All{n, n, {partial}, partial + n});
    double total = 0;
    download(&total, partial + n, sizeof(total));
    return total;
  }

  void skinny_dot(MatrixView<const T> x, MatrixView<const T> w, T scale, MatrixView<T> u, bool add,
                  Chosen chosen = {}) {
    expect_shape(u, x.rows, w.rows, "skinny_dot's u");
    expect_shape(w, w.rows, x.cols, "skinny_dot's w");
    skinny::expect_chosen(chosen, w.rows);
    if (chosen.everything()) {
      gemm(Op::none, Op::transpose, scale, x, w, T(add ? 1 : 0), u);
    } else {
      launch_rows<T>("skinny_dot", x.rows, skinny::Dot<T>{x, w, scale, u, add, chosen},
                     stream_.get());
    }
  }

  void skinny_axpy(MatrixView<const T> u, MatrixView<const T> w, T scale, MatrixView<T> y, bool add,
                   Chosen chosen = {}) {
    expect_shape(y, u.rows, w.cols, "skinny_axpy's y");
    expect_shape(w, u.cols, w.cols, "skinny_axpy's w");
    skinny::expect_chosen(chosen, w.rows);
    if (chosen.everything()) {
      gemm(Op::none, Op::none, scale, u, w, T(add ? 1 : 0), y);
    } else {
      launch_rows<T>("skinny_axpy", u.rows, skinny::Axpy<T>{u, w, scale, y, add, chosen},
                     stream_.get());
    }
  }

  void skinny_outer(MatrixView<const T> u, MatrixView<const T> x, T scale, MatrixView<T> g,
                    bool add, Chosen chosen = {}) {
    expect_shape(g, u.cols, x.cols, "skinny_outer's g");
    expect_shape(x, u.rows, x.cols, "skinny_outer's x");
    skinny::expect_chosen(chosen, g.rows);
    if (!chosen.everything() && !chosen.rest_is_zero) {
      const MatrixView<T> masked(workspace_.get<T>(u.size()), u.rows, u.cols);
      launch_elements("skinny_outer", u.size(), skinny::Mask<T>{u, masked, chosen}, stream_.get());
      u = masked;
    }
    gemm(Op::transpose, Op::none, scale, u, x, T(add ? 1 : 0), g);
  }

  /// `weight` (out x in) must stay alive for as long as the result is used, and the backend too.
  FrozenWeight freeze(MatrixView<const T> weight, Storage storage) {
    FrozenWeight frozen{weight, {}};
    if (storage == Storage::bfloat16) {
      expect(std::is_same_v<T, float>, "frozen weights in bfloat16: the backend must be of float");
      const std::shared_ptr<Bfloat16> memory(
          static_cast<Bfloat16*>(
              allocate(static_cast<std::size_t>(weight.size()) * sizeof(Bfloat16))),
          [this](Bfloat16* pointer) { release(pointer); });
      round(weight, memory.get());
      frozen.rounded = memory;
    }
    return frozen;
  }

  /// Whether products with a frozen weight read the matrix that was given to `freeze`.
  bool reads_weight(const FrozenWeight& w) const { return !w.rounded; }

  /// y = x w^T.
  void frozen_forward(MatrixView<const T> x, const FrozenWeight& w, MatrixView<T> y) {
    frozen_product(x, w, Op::transpose, y, false);
  }

  /// dx (+)= dy w.
  void frozen_backward(MatrixView<const T> dy, const FrozenWeight& w, MatrixView<T> dx, bool add) {
    frozen_product(dy, w, Op::none, dx, add);
  }

  /// One scalar for each token and head: the softmax's normaliser.
  Index attention_saved(const Sequences& sequences, const AttentionShape& shape) const {
    return sequences.tokens() * shape.heads;
  }

  void attention_forward(const Sequences& sequences, const AttentionShape& shape,
                         MatrixView<const T> q, MatrixView<const T> k, MatrixView<const T> v,
                         MatrixView<T> out, T* saved) {
    using Body = attention::Forward<T, attention::SpanKeys>;
    launch_attention(
        "attention_forward", shape, q.rows * shape.heads,
        Body{{shape, q, k, v}, {spans_.of(sequences, staging_), shape.causal}, out, saved});
  }

  void attention_backward(const Sequences& sequences, const AttentionShape& shape,
                          MatrixView<const T> q, MatrixView<const T> k, MatrixView<const T> v,
                          const T* saved, MatrixView<const T> dout, MatrixView<T> dq,
                          MatrixView<T> dk, MatrixView<T> dv) {
    T* means = workspace_.get<T>(q.rows * shape.heads);
    const attention::Gradients<T> g{
        {shape, q, k, v}, spans_.of(sequences, staging_), saved, dout, means};
    launch_attention("attention_backward of queries", shape, q.rows * shape.heads,
                     attention::BackwardQuery<T>{g, dq});
    launch_attention("attention_backward of keys", shape, k.rows * shape.kv_heads,
                     attention::BackwardKey<T>{g, dk, dv});
  }

  /// `ranges` is device memory.
  void attention_cached(const KeyRange* ranges, const AttentionShape& shape, MatrixView<const T> q,
                        MatrixView<const T> k, MatrixView<const T> v, MatrixView<T> out) {
    using Body = attention::Forward<T, attention::CachedKeys>;
    launch_attention("attention_cached", shape, q.rows * shape.heads,
                     Body{{shape, q, k, v}, {ranges}, out, nullptr});
  }

 private:
  /// The spans of the batch that was seen last, in device memory: all layers of a step share them.
  class Spans {
   public:
    explicit Spans(Pool& pool) : spans_memory_(pool), span_of_memory_(pool) {}

    attention::SpanTable of(const Sequences& sequences, Staging& staging) {
      attention::link_spans(sequences, spans_, span_of_);
      if (same(spans_, uploaded_)) return table_;
      uploaded_.clear();
      auto* spans = spans_memory_.template get<attention::LinkedSpan>(std::ssize(spans_));
      auto* span_of = span_of_memory_.template get<std::int32_t>(std::ssize(span_of_));
      staging.upload(spans, spans_.data(), spans_.size() * sizeof(attention::LinkedSpan));
      staging.upload(span_of, span_of_.data(), span_of_.size() * sizeof(std::int32_t));
      uploaded_ = spans_;
      return table_ = {spans, span_of};
    }

    /// Takes what is on the device for nobody's.
    void forget() { uploaded_.clear(); }

   private:
    static bool same(const std::vector<attention::LinkedSpan>& a,
                     const std::vector<attention::LinkedSpan>& b) {
      return a.size() == b.size() && !a.empty() &&
             std::memcmp(a.data(), b.data(), a.size() * sizeof(attention::LinkedSpan)) == 0;
    }

    std::vector<attention::LinkedSpan> spans_, uploaded_;
    std::vector<std::int32_t> span_of_;
    Workspace spans_memory_, span_of_memory_;
    attention::SpanTable table_;
  };

  struct ForgetSpans {
    Spans& spans;
    ~ForgetSpans() { spans.forget(); }
  };

  static Stream stream_on(int device) {
    expect_device(device);
    check(cudaSetDevice(device), "choosing the device");
    check(cudaDeviceSynchronize(), "waiting for other backends");
    return make_stream();
  }

  static std::size_t bytes_of(Index n) { return static_cast<std::size_t>(n) * sizeof(T); }

  void round(MatrixView<const T> from, Bfloat16* to) {
    launch_elements("rounding to bfloat16", from.size(), body::Round<T>{from, to}, stream_.get());
  }

  /// A copy in bfloat16, until the next primitive.
  MatrixView<const Bfloat16> rounded(MatrixView<const T> x) {
    auto* copy = workspace_.get<Bfloat16>(x.size());
    round(x, copy);
    return {copy, x.rows, x.cols};
  }

  static MatrixView<const Bfloat16> rounded_weight(const FrozenWeight& w) {
    return {w.rounded.get(), w.weight.rows, w.weight.cols};
  }

  void add_to_rows(MatrixView<const T> row, MatrixView<T> y) {
    launch_elements("adding a bias", y.size(), body::AddToRows<T>{row.data, y}, stream_.get());
  }

  void frozen_product(MatrixView<const T> x, const FrozenWeight& w, Op op, MatrixView<T> y,
                      bool add) {
    if constexpr (std::is_same_v<T, float>) {
      if (w.rounded) {
        products_.gemm(Op::none, op, 1, rounded(x), rounded_weight(w), T(add ? 1 : 0), y);
        return;
      }
    }
    gemm(Op::none, op, T(1), x, w.weight, T(add ? 1 : 0), y);
  }

  template <class Body>
  void launch_attention(const char* what, const AttentionShape& shape, Index n, const Body& body) {
    expect(shape.head_size <= attention::max_head_size,
           "CUDA: attention: expected heads of at most {}, found {}", attention::max_head_size,
           shape.head_size);
    if (n <= 0) return;
    launch(what, kernel::rows_with_memory<T, attention::tile, attention::memory_size, Body>, n,
           attention::tile, stream_.get(), n, body);
  }

  Stream stream_;
  Pool pool_;
  Staging staging_;
  Products products_;
  Workspace workspace_;
  Spans spans_;
  parts::List parts_;
};

static_assert(branchlora::Backend<Backend<float>>);
static_assert(branchlora::Backend<Backend<double>>);

}  // namespace branchlora::cuda
