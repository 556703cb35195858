// GELU and the pass back through it: one look at memory each, where torch takes several.
#include "gelu.hpp"

namespace {

template <typename T> void forward(const T* x, int64_t count, T* out, int threads) {
    in_parallel(count / LANES, threads, [&](int64_t first, int64_t last, int) {
        for (int64_t at = first * LANES; at < last * LANES; at += LANES) {
            store(out + at, gelu<T>(load(x + at)));
        }
    });
}

// out = gelu(x) again, and gradient turned from that of the output to that of the input, whose sum over rows goes to gsum (width):
// the gradient of the bias added before
template <typename T> void backward(const T* x, int64_t rows, int width, T* out, T* gradient, float* gsum, int threads) {
    const auto total = summed(rows, threads, width, [&](int64_t first, int64_t last, float* own) {
        for (int64_t row = first; row < last; ++row)
            for (int c = 0; c < width; c += LANES) {
                const int64_t at = row * width + c;
                const vec value = load(x + at);
                store(out + at, gelu<T>(value));
                const vec g = load(gradient + at) * gelu_slope<T>(value);
                store(gradient + at, g);
                store(own + c, load(own + c) + g);
            }
    });
    std::copy(total.begin(), total.end(), gsum);
}

}  // namespace

extern "C" {

void gelu_forward(int half, const void* x, int64_t count, void* out, int threads) {
    if (half) forward(static_cast<const bfloat16*>(x), count, static_cast<bfloat16*>(out), threads);
    else forward(static_cast<const float*>(x), count, static_cast<float*>(out), threads);
}

void gelu_backward(int half, const void* x, int64_t rows, int width, void* out, void* gradient, float* gsum, int threads) {
    if (half) backward(static_cast<const bfloat16*>(x), rows, width, static_cast<bfloat16*>(out), static_cast<bfloat16*>(gradient), gsum, threads);
    else backward(static_cast<const float*>(x), rows, width, static_cast<float*>(out), static_cast<float*>(gradient), gsum, threads);
}

}
