// GELU and the pass back through it: one look at memory each, where torch takes several.
#include "gelu.hpp"

namespace {

template <typename T> void forward(const T* x, int64_t count, T* out, int threads) {
    in_parallel(count / LANES, threads, [&](int64_t first, int64_t last) {
        for (int64_t at = first * LANES; at < last * LANES; at += LANES) {
            store(out + at, gelu<T>(load(x + at)));
        }
    });
}

// out = gelu(x) again, and gradient turned from that of the output to that of the input
template <typename T> void backward(const T* x, int64_t count, T* out, T* gradient, int threads) {
    in_parallel(count / LANES, threads, [&](int64_t first, int64_t last) {
        for (int64_t at = first * LANES; at < last * LANES; at += LANES) {
            const Both both = gelu_and_slope<T>(load(x + at));
            store(out + at, both.value);
            store(gradient + at, load(gradient + at) * both.slope);
        }
    });
}

}  // namespace

extern "C" {

void gelu_forward(int half, const void* x, int64_t count, void* out, int threads) {
    if (half) forward(static_cast<const bfloat16*>(x), count, static_cast<bfloat16*>(out), threads);
    else forward(static_cast<const float*>(x), count, static_cast<float*>(out), threads);
}

void gelu_backward(int half, const void* x, int64_t count, void* out, void* gradient, int threads) {
    if (half) backward(static_cast<const bfloat16*>(x), count, static_cast<bfloat16*>(out), static_cast<bfloat16*>(gradient), threads);
    else backward(static_cast<const float*>(x), count, static_cast<float*>(out), static_cast<float*>(gradient), threads);
}

}
