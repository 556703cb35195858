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

// bfloat16 has 65,536 values, so that both functions are tables, looked up faster than computed: rounded as they would be, and the
// derivative not rounded at all. The values that occur lie close together, in the first cache.
struct Table {
    std::vector<bfloat16> gelu;
    std::vector<float> derivative;
    Table() : gelu(65536), derivative(65536) {
        for (int bits = 0; bits < 65536; bits += LANES) {
            bfloat16 values[LANES];
            for (int lane = 0; lane < LANES; ++lane) values[lane].bits = bits + lane;
            const vec x = load(values);
            const Normal n = normal(x);
            store(&gelu[bits], x * n.below);
            store(&derivative[bits], n.below + x * n.density);
        }
    }
    static const Table& get() { static const Table table; return table; }
};

void forward(const float* x, int64_t count, float* out, int threads) {
    in_parallel(count / LANES, threads, [&](int64_t first, int64_t last, int) {
        for (int64_t at = first * LANES; at < last * LANES; at += LANES) {
            const vec value = load(x + at);
            store(out + at, value * normal(value).below);
        }
    });
}

void forward(const bfloat16* x, int64_t count, bfloat16* out, int threads) {
    const bfloat16* gelu = Table::get().gelu.data();
    in_parallel(count / LANES, threads, [&](int64_t first, int64_t last, int) {
        for (int64_t at = first * LANES; at < last * LANES; ++at) out[at] = gelu[x[at].bits];
    });
}

// out = gelu(x) again, and gradient turned from that of the output to that of the input
void backward(const float* x, int64_t count, float* out, float* gradient, int threads) {
    in_parallel(count / LANES, threads, [&](int64_t first, int64_t last, int) {
        for (int64_t at = first * LANES; at < last * LANES; at += LANES) {
            const vec value = load(x + at);
            const Normal n = normal(value);
            store(out + at, value * n.below);
            store(gradient + at, load(gradient + at) * (n.below + value * n.density));
        }
    });
}

void backward(const bfloat16* x, int64_t count, bfloat16* out, bfloat16* gradient, int threads) {
    const Table& table = Table::get();
    in_parallel(count / LANES, threads, [&](int64_t first, int64_t last, int) {
        float derivative[LANES];
        for (int64_t at = first * LANES; at < last * LANES; at += LANES) {
            for (int lane = 0; lane < LANES; ++lane) {
                out[at + lane] = table.gelu[x[at + lane].bits];
                derivative[lane] = table.derivative[x[at + lane].bits];
            }
            store(gradient + at, load(gradient + at) * load(derivative));
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
