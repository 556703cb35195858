// GELU by the error function, x Φ(x), and the pass back through it: one look at memory each, where torch takes several.
// The error function is Abramowitz and Stegun 7.1.26, good to 1.5e-7; its e^(-x²/2) serves the derivative Φ(x) + x φ(x) as well.
#include "vectors.hpp"

namespace {

struct Normal { vec below, density; };  // Φ(x) and φ(x)

Normal normal(vec x) {
    const vec z = (vec)((ivec)x & 0x7fffffff) * 0.70710678118654752f;
    const vec t = 1.0f / (1.0f + 0.3275911f * z);
    const vec e = exponential(-z * z);
    vec p = t * 1.061405429f - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const vec beyond = 0.5f * p * t * e;  // Φ(-|x|)
    return {x < 0 ? beyond : 1.0f - beyond, e * 0.39894228040143268f};
}

template <typename T> void forward(const T* x, int64_t count, T* out, int threads) {
    in_parallel(count / LANES, threads, [&](int64_t first, int64_t last, int) {
        for (int64_t at = first * LANES; at < last * LANES; at += LANES) {
            const vec value = load(x + at);
            store(out + at, value * normal(value).below);
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
                const Normal n = normal(value);
                store(out + at, value * n.below);
                const vec g = load(gradient + at) * (n.below + value * n.density);
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
